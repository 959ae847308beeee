"""
The callbacks of Telnyx TeXML: forms about a call's status, its answering machine and its
recordings, much like Twilio's, and about who is in a conference.

Fields: https://developers.telnyx.com/api-reference/callbacks/texml-call-completed and the pages
beside it. No field is documented to hold the direction: the address may state that of the call, and
a leg that has a parent was dialled.
"""

from collections.abc import Callable, Container, Mapping
from typing import Final

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import seconds
from service.sources.common.forms import query_values
from service.sources.common.ids import call_id
from service.sources.common.leg_events import (
    earlier_events,
    hung_up_by,
    recording_event,
    unrecognised,
)
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.telnyx.addresses import to_address, to_agent
from service.sources.telnyx.hangup_causes import CAUSES, read_cause
from service.sources.telnyx.texml_form import (
    CALL_STATUS,
    CONFERENCE_EVENT,
    CONFERENCE_ID,
    RECORDING_STATUS,
    Form,
    is_member_event,
    leg_id,
    moment,
    parent_id,
    read_callback,
)
from service.sources.telnyx.vocabulary import (
    ANSWERERS,
    CALL_STATUSES,
    DIRECTION,
    HANGUP_SIDES,
    RECORDING_STATUSES,
    STATUS_CAUSES,
    TEXML_DIRECTIONS,
    TEXML_MEMBER_EVENTS,
)

ANSWERED_BY: Final = "AnsweredBy"
DIAL_STATUS: Final = "DialCallStatus"
ANSWERED_AT: Final = "AnsweredTime"
# The value of `RecordingSource` for `<Record>`, with which a caller leaves a message.
RECORD_VERB: Final = "RecordVerb"
# A telephone that rang in vain or was busy is given up by whoever called it, which the network then
# reports (SIP 487, 480). Only these say more than the status does.
UNREACHED: Final = frozenset({HangupCause.BUSY, HangupCause.NO_ANSWER})
MORE_PRECISE: Final = frozenset({HangupCause.REJECTED, HangupCause.INVALID_NUMBER})
VAGUE: Final = frozenset({HangupCause.COMPLETED, HangupCause.FAILED})
TABLES: Final[Mapping[str, Container[str]]] = {
    CALL_STATUS: CALL_STATUSES,
    ANSWERED_BY: ANSWERERS,
    RECORDING_STATUS: RECORDING_STATUSES,
    DIAL_STATUS: STATUS_CAUSES,
    "Direction": TEXML_DIRECTIONS,
    "HangupCause": CAUSES,
}


def keys(request: WebhookRequest) -> MessageKeys:
    """Name a callback, which has no id of its own, by its body."""
    form = request.body_as(read_callback)
    return MessageKeys(digest("form", request.body), parent_id(form) or leg_id(form))


def parse(request: WebhookRequest, message_id: str) -> list[CallEvent]:
    """
    Turn a callback into events; what else in it is not understood becomes events of type `UNKNOWN`
    beside them.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    form = request.body_as(read_callback)
    # The address is not signed; like `record` elsewhere it decides no more than this.
    directions = query_values(request, DIRECTION)
    call_direction = TEXML_DIRECTIONS.get(next(iter(directions), ""))
    common = _common(form, message_id, call_direction)
    events = _events(common, form)
    if common.parent_leg_id is not None and call_direction is not None:
        events.insert(0, _first_leg_event(common, call_direction))
    faults = unrecognised((direction, TEXML_DIRECTIONS) for direction in sorted(directions))
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _events(common: CallEvent, form: Form) -> list[CallEvent]:
    if is_member_event(form):
        return _member_events(common, form)
    deciding_field = next((name for name in READERS if name in form), None)
    if deciding_field is None:
        raise MalformedPayload(
            "none of CallStatus, AnsweredBy, RecordingStatus and DialCallStatus is there: "
            "no callback about a call"
        )
    if form[deciding_field] in TABLES[deciding_field]:
        events = READERS[deciding_field](common, form)
    else:
        events = [unknown_event(common, form[deciding_field])]
    # A value that no table lists, beside the one that decides, takes nothing away from that.
    other_values = unrecognised(
        (form.get(name), table) for name, table in TABLES.items() if name != deciding_field
    )
    return [*events, *(unknown_event(common, value) for value in other_values)]


def _common(form: Form, message_id: str, call_direction: Direction | None) -> CallEvent:
    event_leg_id = leg_id(form)
    parent_leg_id = parent_id(form)
    direction = TEXML_DIRECTIONS.get(form.get("Direction", ""))
    if direction is None:
        direction = call_direction
        if parent_leg_id is not None:
            direction = Direction.OUTBOUND
    return CallEvent(
        source="telnyx",
        message_id=message_id,
        source_call_id=parent_leg_id or event_leg_id,
        leg_id=event_leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_leg_id,
        occurred_at=moment(form, "OccurredAt", "Timestamp"),
        direction=direction,
        from_number=to_address(form.get("From")),
        to_number=to_address(form.get("To")),
        agent=to_agent(form.get("From")) or to_agent(form.get("To")),
    )


def _first_leg_event(leg: CallEvent, direction: Direction) -> CallEvent:
    """The direction of the call, which the address of a dialled leg's callback states."""
    return CallEvent(
        source=leg.source,
        message_id=leg.message_id,
        source_call_id=leg.source_call_id,
        leg_id=leg.source_call_id,
        event_type=EventType.UPDATED,
        direction=direction,
        vendor_status=DIRECTION,
    )


def _member_events(common: CallEvent, form: Form) -> list[CallEvent]:
    name = form[CONFERENCE_EVENT]
    member = replace(
        common,
        event_type=TEXML_MEMBER_EVENTS[name],
        conference_id=form[CONFERENCE_ID],
        vendor_status=name,
    )
    if common.parent_leg_id is None:
        return [member]
    # The conference is named after the customer's call, so that its other members are ours.
    return [replace(member, party=Party.AGENT, direction=None)]


def _status_events(common: CallEvent, form: Form) -> list[CallEvent]:
    status = form[CALL_STATUS]
    event = replace(
        common,
        event_type=CALL_STATUSES[status],
        vendor_status=status,
        answered_by=ANSWERERS.get(form.get(ANSWERED_BY, "")),
    )
    if event.event_type is EventType.ENDED:
        return _end_events(common, event, form)
    return [event]


def _end_events(common: CallEvent, event: CallEvent, form: Form) -> list[CallEvent]:
    """All that the last callback of a leg reports of it: start, answer, recording, end, dial."""
    status = form[CALL_STATUS]
    cause = _hangup_cause(status, form)
    started_at = [
        (name, EventType.CREATED, moment(form, name)) for name in ("CallInitiatedAt", "StartTime")
    ]
    events = earlier_events(common, started_at)
    if cause is HangupCause.COMPLETED:
        answered_at = moment(form, ANSWERED_AT)
        events += earlier_events(common, [(ANSWERED_AT, EventType.ANSWERED, answered_at)])
    if "RecordingUrl" in form:
        events += _recording_events(common, form)
    events.append(
        replace(
            event,
            occurred_at=moment(form, "EndTime") or event.occurred_at,
            hangup_cause=cause,
            duration_s=seconds(form.get("CallDuration")),
            vendor_status=form.get("HangupCause", status)[:MAX_WORD_LENGTH],
            hung_up_by=hung_up_by(event, HANGUP_SIDES.get(form.get("HangupSource", ""))),
        )
    )
    if form.get(DIAL_STATUS) in STATUS_CAUSES:
        events += _dial_events(common, form)
    return events


def _hangup_cause(status: str, form: Form) -> HangupCause:
    """
    Why the leg ended: by the status, unless the network's cause is more precise. A leg that has the
    time of its answer was talked on.
    """
    by_status = STATUS_CAUSES[status]
    by_network = read_cause(form.get("HangupCause"), form.get("SipHangupCause"))
    if by_network is None:
        return by_status
    if by_status is HangupCause.COMPLETED:
        is_more_precise = ANSWERED_AT not in form
    elif by_status in UNREACHED:
        is_more_precise = by_network in MORE_PRECISE
    else:
        is_more_precise = by_network not in VAGUE
    return by_network if is_more_precise else by_status


def _answerer_events(common: CallEvent, form: Form) -> list[CallEvent]:
    answerer = form[ANSWERED_BY]
    return [
        replace(
            common,
            event_type=EventType.ANSWERED_BY,
            vendor_status=answerer,
            answered_by=ANSWERERS[answerer],
        )
    ]


def _recording_events(common: CallEvent, form: Form) -> list[CallEvent]:
    recording = Recording(
        form.get("RecordingSid"),
        form.get("RecordingUrl"),
        seconds(form.get("RecordingDuration")),
    )
    event = replace(common, vendor_status=form.get(RECORDING_STATUS, "RecordingUrl"))
    is_voicemail = form.get("RecordingSource") == RECORD_VERB
    return [recording_event(event, recording, is_voicemail=is_voicemail)]


def _dial_action_events(common: CallEvent, form: Form) -> list[CallEvent]:
    # Addresses and times are those of the leg that dialled.
    return [replace(common, vendor_status=DIAL_STATUS), *_dial_events(common, form)]


def _dial_events(common: CallEvent, form: Form) -> list[CallEvent]:
    # Of the dialled leg only its id, its end and its length are reported.
    dial_status = form[DIAL_STATUS]
    ended = replace(
        common,
        event_type=EventType.ENDED,
        leg_id=_dialled_leg_id(common, form),
        parent_leg_id=common.leg_id,
        occurred_at=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
        hangup_cause=STATUS_CAUSES[dial_status],
        duration_s=seconds(form.get("DialCallDuration")),
        vendor_status=dial_status,
    )
    return [ended]


def _dialled_leg_id(common: CallEvent, form: Form) -> str:
    leg_id = form.get("DialCallSid")
    if leg_id is None or leg_id == common.leg_id:
        return f"{common.leg_id}:dial"
    return call_id(leg_id, name="DialCallSid")


# Which field says what kind of callback it is, the deciding one first: a status callback may carry
# any of the others.
READERS: Final[Mapping[str, Callable[[CallEvent, Form], list[CallEvent]]]] = {
    RECORDING_STATUS: _recording_events,
    CALL_STATUS: _status_events,
    ANSWERED_BY: _answerer_events,
    DIAL_STATUS: _dial_action_events,
}
