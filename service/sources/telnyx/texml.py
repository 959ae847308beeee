"""
The callbacks of Telnyx TeXML: forms about a call's status, its answering machine and its
recordings, much like Twilio's.

Fields: https://developers.telnyx.com/api-reference/callbacks/texml-call-completed and the pages
beside it. No field is documented to tell the direction; a leg that has a parent was dialled.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Recording,
    Voicemail,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import iso_moment, seconds
from service.sources.common.forms import read_form
from service.sources.common.ids import call_id
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.telnyx.call_control import to_address, to_agent
from service.sources.telnyx.hangup_causes import CAUSES, read_cause

Form = Mapping[str, str]
EMPTY: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
STATUS: Final = "CallStatus"
ANSWERER: Final = "AnsweredBy"
RECORDING: Final = "RecordingStatus"
DIALLED: Final = "DialCallStatus"
RECORD_VERB: Final = "RecordVerb"
COST: Final = "call-cost-events"

CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "initiated": EventType.CREATED,
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "canceled": EventType.ENDED,
    "failed": EventType.ENDED,
}
STATUS_CAUSES: Final[Mapping[str, HangupCause]] = {
    "completed": HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "no-answer": HangupCause.NO_ANSWER,
    "canceled": HangupCause.CANCELLED,
    "failed": HangupCause.FAILED,
}
# A telephone that rang in vain or was busy is given up by whoever called it, which the network then
# reports (SIP 487, 480). Only these say more than the status does.
UNREACHED: Final = frozenset({HangupCause.BUSY, HangupCause.NO_ANSWER})
SAYS_MORE: Final = frozenset({HangupCause.REJECTED, HangupCause.INVALID_NUMBER})
# https://developers.telnyx.com/api-reference/callbacks/texml-call-amd, and `machine` from
# https://developers.telnyx.com/docs/voice/programmable-voice/texml-answering-machine
ANSWERERS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "machine": AnsweredBy.MACHINE,
    "machine_start": AnsweredBy.MACHINE,
    "machine_end_beep": AnsweredBy.MACHINE,
    "machine_end_silence": AnsweredBy.MACHINE,
    "machine_end_other": AnsweredBy.MACHINE,
    "fax": AnsweredBy.FAX,
    "unknown": None,
}
# https://developers.telnyx.com/api-reference/callbacks/texml-recording-completed
RECORDINGS: Final = frozenset({"completed"})
IGNORED_RECORDINGS: Final = frozenset({"in-progress", "absent"})
# Not documented; read where it comes, as Twilio writes it.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
}
# The last callback of a leg tells when it began and was answered.
BEGINNINGS: Final = ("CallInitiatedAt", "StartTime")
ANSWERED_AT: Final = "AnsweredTime"
KNOWN_WORDS: Final[Mapping[str, Mapping[str, object] | frozenset[str]]] = {
    STATUS: CALL_STATUSES,
    ANSWERER: ANSWERERS,
    RECORDING: RECORDINGS,
    DIALLED: STATUS_CAUSES,
    "Direction": DIRECTIONS,
    "HangupCause": CAUSES,
}


def keys(request: WebhookRequest) -> MessageKeys:
    """Name a callback, which has no id of its own, by its body."""
    form = _form(request)
    return MessageKeys(digest("form", request.body), _parent(form) or _own(form))


def parse(request: WebhookRequest, message_id: str) -> list[CallEvent]:
    """
    Turn a callback into events; what else in it is not understood becomes events of type `UNKNOWN`
    beside them.
    """
    form = _form(request)
    own, parent = _own(form), _parent(form)
    common = CallEvent(
        source="telnyx",
        message_id=message_id,
        source_call_id=parent or own,
        leg_id=own,
        event_type=EventType.UPDATED,
        parent_leg_id=parent,
        occurred_at=_moment(form, "OccurredAt", "Timestamp"),
        direction=DIRECTIONS.get(
            form.get("Direction", ""), None if parent is None else Direction.OUTBOUND
        ),
        from_number=to_address(form.get("From")),
        to_number=to_address(form.get("To")),
        agent=to_agent(form.get("From")) or to_agent(form.get("To")),
    )
    kind = next((name for name in READERS if name in form), None)
    if kind is None:
        raise MalformedPayload(
            "none of CallStatus, AnsweredBy, RecordingStatus and DialCallStatus is there: no callback about a call"
        )
    events = (
        READERS[kind](common, form)
        if form[kind] in KNOWN_WORDS[kind]
        else [unknown_event(common, form[kind])]
    )
    # A strange word beside the one that says what happened takes nothing away from that.
    strange = [
        form[name]
        for name, known in KNOWN_WORDS.items()
        if name != kind and name in form and form[name] not in known
    ]
    return events + [unknown_event(common, word) for word in strange]


def _form(request: WebhookRequest) -> dict[str, str]:
    """The fields, the first of a name. Raises `IgnoredEvent` for a callback that is not wanted."""
    form: dict[str, str] = {}
    for name, value in request.body_as(read_form):
        if value:
            form.setdefault(name, value)
    if form.get("CallbackSource") == COST or form.get(RECORDING) in IGNORED_RECORDINGS:
        raise IgnoredEvent("what a call cost, or a recording that is not ready or was not made")
    return form


def _own(form: Form) -> str:
    return call_id(form.get("CallSid"), name="CallSid")


def _parent(form: Form) -> str | None:
    parent = form.get("ParentCallSid")
    return None if parent is None or parent == _own(form) else call_id(parent, name="ParentCallSid")


def _status_events(common: CallEvent, form: Form) -> list[CallEvent]:
    word = form[STATUS]
    event = replace(
        common,
        event_type=CALL_STATUSES[word],
        vendor_status=word,
        answered_by=ANSWERERS.get(form.get(ANSWERER, "")),
    )
    if event.event_type is not EventType.ENDED:
        return [event]
    cause = _cause(word, form)
    ended = replace(
        event,
        occurred_at=_moment(form, "EndTime") or event.occurred_at,
        hangup_cause=cause,
        duration_s=seconds(form.get("CallDuration")),
        vendor_status=form.get("HangupCause", word)[:MAX_WORD_LENGTH],
    )
    told = [(name, EventType.CREATED) for name in BEGINNINGS]
    told += [(ANSWERED_AT, EventType.ANSWERED)] if cause is HangupCause.COMPLETED else []
    times = [
        (name, kind, moment) for name, kind in told if (moment := _moment(form, name)) is not None
    ]
    began = [
        replace(common, event_type=kind, vendor_status=name, occurred_at=moment)
        for name, kind, moment in times
    ]
    recorded = _recording_events(common, form) if "RecordingUrl" in form else []
    return [
        *began,
        *recorded,
        ended,
        *(_dial_events(common, form) if form.get(DIALLED) in STATUS_CAUSES else []),
    ]


def _cause(word: str, form: Form) -> HangupCause:
    """
    Why the leg ended: as the status says, unless the cause beside it says more. One that tells when
    it was answered was talked on.
    """
    by_status, told = (
        STATUS_CAUSES[word],
        read_cause(form.get("HangupCause"), form.get("SipHangupCause")),
    )
    if by_status is HangupCause.COMPLETED:
        return by_status if ANSWERED_AT in form or told is None else told
    if by_status in UNREACHED:
        return told if told in SAYS_MORE else by_status
    return (
        by_status if told is None or told in {HangupCause.COMPLETED, HangupCause.FAILED} else told
    )


def _answerer_events(common: CallEvent, form: Form) -> list[CallEvent]:
    word = form[ANSWERER]
    return [
        replace(
            common,
            event_type=EventType.ANSWERED_BY,
            vendor_status=word,
            answered_by=ANSWERERS[word],
        )
    ]


def _recording_events(common: CallEvent, form: Form) -> list[CallEvent]:
    url, length_s, word = (
        form.get("RecordingUrl"),
        seconds(form.get("RecordingDuration")),
        form.get(RECORDING, "RecordingUrl"),
    )
    if form.get("RecordingSource") == RECORD_VERB:
        return [
            replace(
                common,
                event_type=EventType.VOICEMAIL,
                vendor_status=word,
                voicemail=Voicemail(url, length_s),
            )
        ]
    return [
        replace(
            common,
            event_type=EventType.RECORDING,
            vendor_status=word,
            recording=Recording(form.get("RecordingSid"), url, length_s),
        )
    ]


def _dial_events(common: CallEvent, form: Form) -> list[CallEvent]:
    # Of the dialled leg only its id, its end and its length are told; addresses and times are those
    # of the leg that dialled.
    word, dialled = form[DIALLED], form.get("DialCallSid")
    ended = replace(
        common,
        event_type=EventType.ENDED,
        leg_id=f"{common.leg_id}:dial"
        if dialled in {None, common.leg_id}
        else call_id(dialled, name="DialCallSid"),
        parent_leg_id=common.leg_id,
        occurred_at=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
        hangup_cause=STATUS_CAUSES[word],
        duration_s=seconds(form.get("DialCallDuration")),
        vendor_status=word,
    )
    return [ended]


# Which field says what kind of callback it is, the most telling first: a status callback may carry
# any of the others.
READERS: Final[Mapping[str, Callable[[CallEvent, Form], list[CallEvent]]]] = {
    RECORDING: _recording_events,
    STATUS: _status_events,
    ANSWERER: _answerer_events,
    DIALLED: _dial_events,
}


def _moment(form: Form, *names: str) -> datetime | None:
    """
    The first of the fields that holds a moment, in ISO 8601 as in the examples or in RFC 2822 as
    the text says.
    """
    return next(
        (
            moment
            for moment in (_read_moment(form[name]) for name in names if name in form)
            if moment is not None
        ),
        None,
    )


def _read_moment(value: str) -> datetime | None:
    found = iso_moment(value)
    if found is not None:
        return found
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
