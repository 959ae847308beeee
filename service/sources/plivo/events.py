"""
What Plivo's requests report of a leg, as events.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import iso_moment, seconds
from service.sources.common.ids import queried_buildr_call_id
from service.sources.common.leg_events import earlier_events, hung_up_by, recording_event
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.plivo.addresses import endpoint_user
from service.sources.plivo.dial import (
    dial_action_events,
    dial_status_events,
    dialled_leg,
    dialling_leg_events,
)
from service.sources.plivo.hangup_causes import (
    MACHINE_HUNG_UP,
    STATUS_CAUSES,
    is_after_answer,
    is_known_code,
    read_cause,
)
from service.sources.plivo.members import conference_events, multiparty_events
from service.sources.plivo.payload import Parameters, is_multiparty, leg_ids
from service.sources.plivo.vocabulary import (
    CALL_STATUSES,
    CODE_FIELDS,
    CONFERENCE_RECORD,
    DIRECTIONS,
    HANGUP,
    HANGUP_SIDES,
    KNOWN_VALUES,
    MACHINE,
    MACHINE_DETECTION,
    RECORD,
    VOICEMAIL,
)
from service.sources.request import WebhookRequest

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
    if kind in DIAL_FIELDS:
        dialled = _known_events(kind, dialled_leg(common, parameters), parameters)
        return [*dialling_leg_events(common), *dialled]
    return _known_events(kind, common, parameters)


def _known_events(kind: str, leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
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
    party = None
    if ids.is_agent:
        party = Party.AGENT
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
        party=party,
        from_number=bare_to_e164(from_address),
        to_number=bare_to_e164(to_address),
        agent=endpoint_user(from_address) or endpoint_user(to_address),
        buildr_call_id=buildr_call_id,
        is_forwarded=_is_forwarded(parameters),
    )


def _is_forwarded(parameters: Parameters) -> bool | None:
    """True where the number that the caller chose sent the call on to ours; else not known."""
    if "ForwardedFrom" in parameters:
        return True
    return None


def _kind(parameters: Parameters) -> str | None:
    """The name of the field, or the event, that tells what happened; None if there is none."""
    # The most specific field first: nearly every request repeats the CallStatus of the leg for
    # which it is made.
    for name in DIAL_FIELDS:
        if name in parameters:
            return name
    if is_multiparty(parameters):
        return "EventName"
    if parameters.get("ConferenceAction", CONFERENCE_RECORD) != CONFERENCE_RECORD:
        return "ConferenceAction"
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
    # Of a caller's leg it is the time at which Plivo answered.
    is_broken_off = is_after_answer(code) and leg.direction is Direction.OUTBOUND
    if cause is HangupCause.COMPLETED or (is_broken_off and duration_s):
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
        hung_up_by=hung_up_by(leg, HANGUP_SIDES.get(parameters.get("HangupSource", "").lower())),
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


READERS: Final[Mapping[str, Callable[[CallEvent, Parameters], list[CallEvent]]]] = {
    "DialAction": dial_action_events,
    "DialStatus": dial_status_events,
    "RecordUrl": _record_events,
    "EventName": multiparty_events,
    "ConferenceAction": conference_events,
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
