"""
What Twilio's requests report of a leg, as events.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    CallEvent,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import unknown_event
from service.sources.common import sip
from service.sources.common.fields import seconds
from service.sources.common.ids import queried_buildr_call_id
from service.sources.common.leg_events import recording_event, seconds_between
from service.sources.common.phone_numbers import to_e164
from service.sources.request import WebhookRequest
from service.sources.twilio.actions import dial_event, queue_event
from service.sources.twilio.conferences import CONFERENCE_EVENT, conference_event
from service.sources.twilio.payload import (
    Parameters,
    is_conference_event,
    leg_id,
    moment,
    parent_leg_id,
)
from service.sources.twilio.vocabulary import (
    CALL_STATUSES,
    DIRECTIONS,
    HANGUP_CAUSES,
    KNOWN_VALUES,
    RECORD_VERB,
    SIP_CODE_FIELDS,
    TRUNK_INBOUND,
    answered_by,
    is_known,
)

CLIENT: Final = "client:"
# An event of a conference is none of a call, and `QueueResult` decides by itself.
CHECKED_FIELDS: Final = tuple(name for name in KNOWN_VALUES if name != "QueueResult")


def read_events(
    source: str, request: WebhookRequest, parameters: Parameters, message_id: str
) -> list[CallEvent]:
    """
    The events of a request: one, or two where it reports two legs, or two things of one; what in it
    is not understood becomes events of type `UNKNOWN` at the end.

    Raises `MalformedPayload` for a request that is not about a call, or has no id.
    """
    buildr_call_id, id_fault = queried_buildr_call_id(request)
    common = _common(source, request, parameters, message_id, buildr_call_id=buildr_call_id)
    kind = _kind(parameters)
    events = []
    if kind is not None:
        events.append(_event_of(kind, common, parameters))
    if "DialCallStatus" in parameters:
        events.append(dial_event(common, parameters))
    if "QueueResult" in parameters:
        events.append(queue_event(common, parameters))
    if not events:
        raise MalformedPayload(
            "none of CallStatus, AnsweredBy, RecordingStatus, DialCallStatus, QueueResult and "
            "StatusCallbackEvent of a conference is there: no callback about a call"
        )
    # A value that is not known takes nothing away from the field that decides what happened.
    faults = [
        parameters[name]
        for name in CHECKED_FIELDS
        if name != kind and name in parameters and not is_known(name, parameters[name])
    ]
    if id_fault is not None:
        faults.append(id_fault)
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _kind(parameters: Parameters) -> str | None:
    """The field that decides what kind of request it is, the most specific first."""
    if is_conference_event(parameters) and "RecordingStatus" not in parameters:
        is_read = is_known(CONFERENCE_EVENT, parameters[CONFERENCE_EVENT])
        if is_read or "CallStatus" not in parameters:
            return CONFERENCE_EVENT
    return next((name for name in READERS if name in parameters), None)


def _common(
    source: str,
    request: WebhookRequest,
    parameters: Parameters,
    message_id: str,
    *,
    buildr_call_id: str | None,
) -> CallEvent:
    own_id = leg_id(request, parameters)
    parent_id = parent_leg_id(request, parameters)
    from_address = parameters.get("From") or parameters.get("Caller")
    to_address = parameters.get("To") or parameters.get("Called")
    if parent_id == own_id:
        parent_id = None
    party = None
    if parameters.get("Direction") == TRUNK_INBOUND:
        party = Party.CUSTOMER
    return CallEvent(
        source=source,
        message_id=message_id,
        source_call_id=parent_id or own_id,
        leg_id=own_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_id,
        party=party,
        occurred_at=moment(parameters.get("Timestamp")),
        sequence=_sequence(parameters),
        direction=DIRECTIONS.get(parameters.get("Direction", "")),
        from_number=to_e164(from_address),
        to_number=to_e164(to_address),
        agent=_agent(from_address) or _agent(to_address),
        buildr_call_id=buildr_call_id,
        is_forwarded=_is_forwarded(parameters, parent_id),
    )


def _sequence(parameters: Parameters) -> int | None:
    """The number of an event of a leg; those of a conference are counted for the conference."""
    if is_conference_event(parameters):
        return None
    return seconds(parameters.get("SequenceNumber"))


def _event_of(kind: str, common: CallEvent, parameters: Parameters) -> CallEvent:
    if not is_known(kind, parameters[kind]):
        return unknown_event(common, parameters[kind])
    if kind == CONFERENCE_EVENT:
        return conference_event(common, parameters)
    return READERS[kind](common, parameters)


def _status_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    status = parameters["CallStatus"]
    event_type = CALL_STATUSES[status]
    hangup_cause = None
    duration_s = None
    if event_type is EventType.ENDED:
        hangup_cause = _hangup_cause(status, parameters)
        duration_s = _duration_s(parameters)
    return replace(
        common,
        event_type=event_type,
        vendor_status=status,
        answered_by=answered_by(parameters.get("AnsweredBy")),
        hangup_cause=hangup_cause,
        duration_s=duration_s,
    )


def _duration_s(parameters: Parameters) -> int | None:
    """
    How long a leg that is over was up, in seconds; `Duration` is in billed minutes and not read.
    """
    duration_s = seconds(parameters.get("CallDuration"))
    if duration_s is not None or parameters["CallStatus"] != "completed":
        return duration_s
    return seconds_between(moment(parameters.get("StartTime")), moment(parameters.get("EndTime")))


def _answered_by_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    value = parameters["AnsweredBy"]
    return replace(
        common,
        event_type=EventType.ANSWERED_BY,
        vendor_status=value,
        answered_by=answered_by(value),
    )


def _recording_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    return recording_event(
        replace(common, vendor_status=parameters["RecordingStatus"]),
        Recording(
            parameters.get("RecordingSid"),
            parameters.get("RecordingUrl"),
            seconds(parameters.get("RecordingDuration")),
        ),
        is_voicemail=parameters.get("RecordingSource") == RECORD_VERB,
    )


# By the field that decides, the most specific first: a status callback may hold AnsweredBy too.
READERS: Final[Mapping[str, Callable[[CallEvent, Parameters], CallEvent]]] = {
    "RecordingStatus": _recording_event,
    "CallStatus": _status_event,
    "AnsweredBy": _answered_by_event,
}


def _hangup_cause(status: str, parameters: Parameters) -> HangupCause:
    cause = HANGUP_CAUSES[status]
    sip_code = next((parameters[name] for name in SIP_CODE_FIELDS if name in parameters), None)
    if cause is HangupCause.COMPLETED or sip_code is None:
        return cause
    if cause is HangupCause.FAILED and sip_code in sip.NOT_REACHED:
        return HangupCause.NO_ANSWER
    return sip.DECISIVE.get(sip_code, cause)


def _agent(address: str | None) -> str | None:
    """The user of the Client SDK in an address, None for any other address."""
    if address is None or not address.startswith(CLIENT):
        return None
    return address.removeprefix(CLIENT) or None


def _is_forwarded(parameters: Parameters, parent_id: str | None) -> bool | None:
    """
    True for an inbound call that came from another number by a forwarding there, None else.

    Carriers put other numbers into the field too: that of the caller, or the called one.
    """
    is_inbound_call = parent_id is None and parameters.get("Direction") == "inbound"
    if "ForwardedFrom" not in parameters or not is_inbound_call:
        return None
    if to_e164(parameters["ForwardedFrom"]) in {
        to_e164(parameters.get("From")),
        to_e164(parameters.get("To")),
    }:
        return None
    return True
