"""
What Plivo's requests report of a leg, as events.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from service.errors import MalformedPayload
from service.events import AnsweredBy, CallEvent, Direction, EventType, HangupCause, Recording
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import iso_moment, seconds
from service.sources.common.ids import call_id, queried_buildr_call_id
from service.sources.common.leg_events import earlier_events, recording_event
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.plivo.hangup_causes import (
    ENDS_TALK,
    MACHINE_HUNG_UP,
    STATUS_CAUSES,
    is_known_code,
    read_cause,
)
from service.sources.plivo.payload import Parameters, leg_ids
from service.sources.plivo.vocabulary import (
    CALL_STATUSES,
    CODE_FIELDS,
    DIAL_ACTIONS,
    DIRECTIONS,
    HANGUP,
    KNOWN_VALUES,
    MACHINE,
    MACHINE_DETECTION,
    RECORD,
    VOICEMAIL,
)
from service.sources.request import WebhookRequest

# A SIP endpoint of the customer's own account at Plivo: an agent's telephone.
ENDPOINT: Final = "sip:"
ENDPOINT_HOST: Final = "phone.plivo.com"
DIAL_FIELDS: Final = ("DialAction", "DialStatus")


def read_events(
    request: WebhookRequest, parameters: Parameters, message_id: str
) -> list[CallEvent]:
    """
    The events of a request: one, or more where a hangup repeats when the leg began and was
    answered; what in it is not understood becomes events of type `UNKNOWN` at the end.

    Raises `MalformedPayload` for a request that is not about a call, or has no id.
    """
    buildr_call_id, id_fault = queried_buildr_call_id(request)
    common = _common(request, parameters, message_id, buildr_call_id=buildr_call_id)
    kind = _kind(parameters)
    if kind is None:
        raise MalformedPayload(
            "none of CallStatus, DialAction, DialStatus, RecordUrl and Machine is there: "
            "no callback about a call"
        )
    faults = _faults(kind, parameters)
    if id_fault is not None:
        faults.append(id_fault)
    events = _events_of(kind, common, parameters)
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _events_of(kind: str, common: CallEvent, parameters: Parameters) -> list[CallEvent]:
    leg = common
    if kind in DIAL_FIELDS:
        leg = _dialled_leg(common, parameters)
    if kind in KNOWN_VALUES and parameters[kind] not in KNOWN_VALUES[kind]:
        return [unknown_event(leg, parameters[kind])]
    return READERS[kind](leg, parameters)


def _faults(kind: str, parameters: Parameters) -> list[str]:
    """The values that are not known beside the field that decides what happened."""
    values = [
        parameters[name]
        for name, known_values in KNOWN_VALUES.items()
        if name != kind and name in parameters and parameters[name] not in known_values
    ]
    codes = [
        f"{name} {parameters[name]}"
        for name in CODE_FIELDS
        if name in parameters and not is_known_code(parameters[name])
    ]
    return values + codes


def _common(
    request: WebhookRequest,
    parameters: Parameters,
    message_id: str,
    *,
    buildr_call_id: str | None,
) -> CallEvent:
    ids = leg_ids(request, parameters)
    from_address = parameters.get("From")
    to_address = parameters.get("To")
    return CallEvent(
        source="plivo",
        message_id=message_id,
        source_call_id=ids.source_call_id,
        leg_id=ids.leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=ids.parent_leg_id,
        direction=DIRECTIONS.get(parameters.get("Direction", "")),
        from_number=bare_to_e164(from_address),
        to_number=bare_to_e164(to_address),
        agent=_agent(from_address) or _agent(to_address),
        buildr_call_id=buildr_call_id,
    )


def _kind(parameters: Parameters) -> str | None:
    """The name of the field, or the event, that tells what happened; None if there is none."""
    # The most specific field first: nearly every request repeats the CallStatus of the leg for
    # which it is made.
    for name in DIAL_FIELDS:
        if name in parameters:
            return name
    event_name = parameters.get("Event")
    if event_name == HANGUP or "HangupCauseCode" in parameters:
        return HANGUP
    names = ["RecordUrl", "CallStatus", "Machine"]
    if event_name == MACHINE_DETECTION:
        names = ["RecordUrl", "Machine", "CallStatus"]
    return next((name for name in names if name in parameters), None)


def _status_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    status = parameters["CallStatus"]
    if CALL_STATUSES[status] is EventType.ENDED:
        return _hangup_events(leg, parameters)
    return [
        replace(
            leg,
            event_type=CALL_STATUSES[status],
            vendor_status=status,
            answered_by=_answered_by(parameters),
        )
    ]


def _hangup_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    code = parameters.get("HangupCauseCode")
    status = parameters.get("CallStatus", "")
    duration_s = seconds(parameters.get("Duration"))
    cause = read_cause(code, STATUS_CAUSES.get(status), is_answered=duration_s != 0)
    times = [("StartTime", EventType.CREATED, iso_moment(parameters.get("StartTime")))]
    if cause is HangupCause.COMPLETED:
        # Without talk it is only the time at which Plivo answered.
        answered_at = iso_moment(parameters.get("AnswerTime"))
        times.append(("AnswerTime", EventType.ANSWERED, answered_at))
    events = earlier_events(leg, times)
    if "RecordUrl" in parameters:
        events += _record_events(leg, parameters)
    ended = replace(
        leg,
        event_type=EventType.ENDED,
        vendor_status=(code or status or HANGUP)[:MAX_WORD_LENGTH],
        hangup_cause=cause,
        occurred_at=iso_moment(parameters.get("EndTime")),
        duration_s=duration_s,
        answered_by=_answered_by(parameters),
    )
    return [*events, ended]


def _machine_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    return [
        replace(
            leg,
            event_type=EventType.ANSWERED_BY,
            vendor_status=MACHINE_DETECTION,
            answered_by=_answered_by(parameters),
        )
    ]


def _record_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    status = parameters.get("Event", "RecordUrl")[:MAX_WORD_LENGTH]
    recording = Recording(
        parameters.get("RecordingID"),
        parameters["RecordUrl"],
        seconds(parameters.get("RecordingDuration")),
    )
    is_voicemail = parameters.get(RECORD) == VOICEMAIL
    return [
        recording_event(replace(leg, vendor_status=status), recording, is_voicemail=is_voicemail)
    ]


def _dialled_leg(common: CallEvent, parameters: Parameters) -> CallEvent:
    """The dialled leg; addresses and direction of the request are otherwise the first leg's."""
    leg_id = f"{common.source_call_id}:dial"
    if "DialBLegUUID" in parameters:
        leg_id = call_id(parameters["DialBLegUUID"], name="DialBLegUUID")
    to_address = parameters.get("DialBLegTo")
    return replace(
        common,
        leg_id=leg_id,
        parent_leg_id=common.source_call_id,
        direction=Direction.OUTBOUND,
        from_number=bare_to_e164(parameters.get("DialBLegFrom")),
        to_number=bare_to_e164(to_address),
        agent=_agent(to_address),
    )


def _dial_action_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    action = parameters["DialAction"]
    event = replace(leg, event_type=DIAL_ACTIONS[action], vendor_status=action)
    if event.event_type is not EventType.ENDED:
        return [event]
    code = parameters.get("DialBLegHangupCauseCode")
    duration_s = seconds(parameters.get("DialBLegDuration"))
    status_cause = None
    if code in ENDS_TALK:
        # Normal clearing of a telephone that was never picked up: the caller hung up while it rang.
        status_cause = HangupCause.CANCELLED
    elif duration_s is not None:
        status_cause = HangupCause.COMPLETED
    return [
        replace(
            event,
            hangup_cause=read_cause(code, status_cause, is_answered=duration_s != 0),
            duration_s=duration_s,
            vendor_status=(code or action)[:MAX_WORD_LENGTH],
        )
    ]


def _dial_status_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    status = parameters["DialStatus"]
    return [
        replace(
            leg,
            event_type=EventType.ENDED,
            vendor_status=status,
            hangup_cause=STATUS_CAUSES[status],
        )
    ]


READERS: Final[Mapping[str, Callable[[CallEvent, Parameters], list[CallEvent]]]] = {
    "DialAction": _dial_action_events,
    "DialStatus": _dial_status_events,
    "RecordUrl": _record_events,
    HANGUP: _hangup_events,
    "CallStatus": _status_events,
    "Machine": _machine_events,
}


def _answered_by(parameters: Parameters) -> AnsweredBy | None:
    # Plivo reports a machine, and nothing for a human or where it cannot tell.
    is_machine = parameters.get("Machine", "").lower() == MACHINE
    if is_machine or parameters.get("HangupCauseCode") == MACHINE_HUNG_UP:
        return AnsweredBy.MACHINE
    return None


def _agent(address: str | None) -> str | None:
    """The user of one of the customer's own SIP endpoints, None for any other address."""
    if address is None or not address.startswith(ENDPOINT):
        return None
    user, _, host = address.removeprefix(ENDPOINT).partition("@")
    if host.partition(";")[0] != ENDPOINT_HOST:
        return None
    return user or None
