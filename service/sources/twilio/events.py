"""
What Twilio's requests report of a leg, as events.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

from service.errors import MalformedPayload
from service.events import CallEvent, Direction, EventType, HangupCause, Party, Recording
from service.sources.base import unknown_event
from service.sources.common import sip
from service.sources.common.fields import in_utc, seconds
from service.sources.common.ids import call_id, queried_buildr_call_id
from service.sources.common.leg_events import recording_event
from service.sources.common.phone_numbers import to_e164
from service.sources.request import WebhookRequest
from service.sources.twilio.payload import Parameters, leg_id, parent_leg_id
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


def read_events(
    source: str, request: WebhookRequest, parameters: Parameters, message_id: str
) -> list[CallEvent]:
    """
    The events of a request: one, or two where a `<Dial action>` reports the caller's leg and the
    dialled one; what in it is not understood becomes events of type `UNKNOWN` at the end.

    Raises `MalformedPayload` for a request that is not about a call, or has no id.
    """
    buildr_call_id, id_fault = queried_buildr_call_id(request)
    common = _common(source, request, parameters, message_id, buildr_call_id=buildr_call_id)
    kind = next((name for name in READERS if name in parameters), None)
    events = []
    if kind is not None:
        events.append(_event_of(kind, common, parameters))
    if "DialCallStatus" in parameters:
        events.append(_dial_event(common, parameters))
    if not events:
        raise MalformedPayload(
            "none of CallStatus, AnsweredBy, RecordingStatus and DialCallStatus is there: "
            "no callback about a call"
        )
    # A value that is not known takes nothing away from the field that decides what happened.
    faults = [
        parameters[name]
        for name in KNOWN_VALUES
        if name != kind and name in parameters and not is_known(name, parameters[name])
    ]
    if id_fault is not None:
        faults.append(id_fault)
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _common(
    source: str,
    request: WebhookRequest,
    parameters: Parameters,
    message_id: str,
    *,
    buildr_call_id: str | None,
) -> CallEvent:
    own_id = leg_id(parameters)
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
        occurred_at=_moment(parameters.get("Timestamp")),
        sequence=seconds(parameters.get("SequenceNumber")),
        direction=DIRECTIONS.get(parameters.get("Direction", "")),
        from_number=to_e164(from_address),
        to_number=to_e164(to_address),
        agent=_agent(from_address) or _agent(to_address),
        buildr_call_id=buildr_call_id,
    )


def _event_of(kind: str, common: CallEvent, parameters: Parameters) -> CallEvent:
    if not is_known(kind, parameters[kind]):
        return unknown_event(common, parameters[kind])
    return READERS[kind](common, parameters)


def _status_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    status = parameters["CallStatus"]
    event = replace(
        common,
        event_type=CALL_STATUSES[status],
        vendor_status=status,
        answered_by=answered_by(parameters.get("AnsweredBy")),
    )
    if event.event_type is not EventType.ENDED:
        return event
    # CallDuration is in seconds; Duration beside it is in billed minutes.
    return replace(
        event,
        hangup_cause=_hangup_cause(status, parameters),
        duration_s=seconds(parameters.get("CallDuration")),
    )


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


# By the field that tells what kind of request it is, the most specific first: a status callback may
# hold AnsweredBy too.
READERS: Final[Mapping[str, Callable[[CallEvent, Parameters], CallEvent]]] = {
    "RecordingStatus": _recording_event,
    "CallStatus": _status_event,
    "AnsweredBy": _answered_by_event,
}


def _dial_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    # Addresses, time and number of the request are those of the caller's leg; of the dialled leg it
    # holds only the id and the end.
    status = parameters["DialCallStatus"]
    event = replace(
        common,
        event_type=EventType.ENDED,
        leg_id=_dialled_leg_id(common, parameters),
        parent_leg_id=common.leg_id,
        occurred_at=None,
        sequence=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
    )
    if status not in HANGUP_CAUSES:
        return unknown_event(event, status)
    return replace(
        event,
        vendor_status=status,
        hangup_cause=HANGUP_CAUSES[status],
        duration_s=seconds(parameters.get("DialCallDuration")),
    )


def _dialled_leg_id(common: CallEvent, parameters: Parameters) -> str:
    dialled_id = parameters.get("DialCallSid")
    if dialled_id is None:
        # A dialled conference has no id of its own:
        # https://www.twilio.com/docs/voice/twiml/dial#dialcallsid
        return f"{common.leg_id}:dial"
    return call_id(dialled_id, name="DialCallSid")


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


def _moment(timestamp: str | None) -> datetime | None:
    if timestamp is None:
        return None
    try:
        return in_utc(parsedate_to_datetime(timestamp))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
