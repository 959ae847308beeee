"""
The callbacks of Telnyx TeXML: forms about a call's status, its answering machine and its
recordings, much like Twilio's.

Fields: https://developers.telnyx.com/api-reference/callbacks/texml-call-completed and the pages
beside it. No field is documented to hold the direction; a leg that has a parent was dialled.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, Direction, EventType, HangupCause, Recording
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import iso_moment, seconds
from service.sources.common.forms import read_form
from service.sources.common.ids import call_id
from service.sources.common.leg_events import earlier_events, recording_event, unrecognised
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.telnyx.addresses import to_address, to_agent
from service.sources.telnyx.hangup_causes import CAUSES, read_cause
from service.sources.telnyx.vocabulary import (
    ANSWERERS,
    CALL_STATUSES,
    RECORDING_STATUSES,
    STATUS_CAUSES,
    TEXML_DIRECTIONS,
    UNWANTED_RECORDINGS,
)

# The form of a callback: see `payload.TexmlCallback`.
Form = Mapping[str, str]
EMPTY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
CALL_STATUS: Final = "CallStatus"
ANSWERED_BY: Final = "AnsweredBy"
RECORDING_STATUS: Final = "RecordingStatus"
DIAL_STATUS: Final = "DialCallStatus"
ANSWERED_AT: Final = "AnsweredTime"
# The value of `RecordingSource` for `<Record>`, with which a caller leaves a message.
RECORD_VERB: Final = "RecordVerb"
COST: Final = "call-cost-events"
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
    return MessageKeys(digest("form", request.body), _parent_id(form) or _leg_id(form))


def parse(request: WebhookRequest, message_id: str) -> list[CallEvent]:
    """
    Turn a callback into events; what else in it is not understood becomes events of type `UNKNOWN`
    beside them.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    form = request.body_as(read_callback)
    common = _common(form, message_id)
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


def read_callback(body: bytes) -> Form:
    """
    The fields that are not empty, of a repeated name the first.

    Raises `IgnoredEvent` for a callback that is not wanted, `MalformedPayload` for no form.
    """
    form: dict[str, str] = {}
    for name, value in read_form(body):
        if value:
            form.setdefault(name, value)
    if form.get("CallbackSource") == COST or form.get(RECORDING_STATUS) in UNWANTED_RECORDINGS:
        raise IgnoredEvent("what a call cost, or a recording that is not ready or was not made")
    return form


def _leg_id(form: Form) -> str:
    return call_id(form.get("CallSid"), name="CallSid")


def _parent_id(form: Form) -> str | None:
    """The id of the leg that dialled this one; None for the first leg of a call."""
    parent_id = form.get("ParentCallSid")
    if parent_id is None or parent_id == _leg_id(form):
        return None
    return call_id(parent_id, name="ParentCallSid")


def _common(form: Form, message_id: str) -> CallEvent:
    leg_id = _leg_id(form)
    parent_id = _parent_id(form)
    direction = TEXML_DIRECTIONS.get(form.get("Direction", ""))
    if direction is None and parent_id is not None:
        direction = Direction.OUTBOUND
    return CallEvent(
        source="telnyx",
        message_id=message_id,
        source_call_id=parent_id or leg_id,
        leg_id=leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_id,
        occurred_at=_moment(form, "OccurredAt", "Timestamp"),
        direction=direction,
        from_number=to_address(form.get("From")),
        to_number=to_address(form.get("To")),
        agent=to_agent(form.get("From")) or to_agent(form.get("To")),
    )


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
        (name, EventType.CREATED, _moment(form, name)) for name in ("CallInitiatedAt", "StartTime")
    ]
    events = earlier_events(common, started_at)
    if cause is HangupCause.COMPLETED:
        answered_at = _moment(form, ANSWERED_AT)
        events += earlier_events(common, [(ANSWERED_AT, EventType.ANSWERED, answered_at)])
    if "RecordingUrl" in form:
        events += _recording_events(common, form)
    events.append(
        replace(
            event,
            occurred_at=_moment(form, "EndTime") or event.occurred_at,
            hangup_cause=cause,
            duration_s=seconds(form.get("CallDuration")),
            vendor_status=form.get("HangupCause", status)[:MAX_WORD_LENGTH],
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


def _dial_events(common: CallEvent, form: Form) -> list[CallEvent]:
    # Of the dialled leg only its id, its end and its length are reported; addresses and times are
    # those of the leg that dialled.
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
    DIAL_STATUS: _dial_events,
}


def _moment(form: Form, *names: str) -> datetime | None:
    """The first of the fields that holds a moment (UTC); None if none does."""
    for name in names:
        moment = _read_moment(form.get(name, ""))
        if moment is not None:
            return moment
    return None


def _read_moment(value: str) -> datetime | None:
    # ISO 8601 as in Telnyx's examples, or RFC 2822 as its text says.
    moment = iso_moment(value)
    if moment is not None:
        return moment
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
