"""
What each of Bandwidth's webhooks says of a leg, as events.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.bandwidth.legs import (
    common_event,
    first_leg_events,
    moment,
    transferred_leg,
)
from service.sources.bandwidth.payload import event_type, iso_duration_s
from service.sources.bandwidth.vocabulary import (
    ANSWER,
    ANSWERERS,
    CANCEL,
    CAUSES,
    DIRECTIONS,
    DISCONNECT,
    HANGUP,
    INITIATE,
    MACHINE_DETECTION,
    MEMBER_EVENTS,
    MEMBER_EXIT,
    MEMBER_JOIN,
    RECORDING_EVENTS,
    RECORDING_STATUSES,
    TRANSFER_ANSWER,
    TRANSFER_COMPLETE,
    TRANSFER_DISCONNECT,
    TRANSFERRED_LEG_EVENTS,
    VAGUE_CAUSES,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common import sip
from service.sources.common.fields import Fields, child, text
from service.sources.common.leg_events import earlier_events, recording_event, unrecognised

# The value of the query parameter `record` for a URL at which callers' messages arrive.
VOICEMAIL: Final = "voicemail"
SIP: Final = "sip:"


def read_events(
    fields: Fields, message_id: str, *, record_kinds: Collection[str]
) -> list[CallEvent]:
    """
    The events of a webhook; what in it is not understood becomes events of type `UNKNOWN` at the
    end.

    `record_kinds` are the values of `record` in the URL. Raises `MalformedPayload` without ids.
    """
    common, id_fault = common_event(fields, message_id)
    name = event_type(fields)
    if name in RECORDING_EVENTS:
        events = _recording_events(common, fields, record_kinds)
    elif name in READERS:
        events = READERS[name](common, fields)
    else:
        events = [unknown_event(common, name)]
    if name in TRANSFERRED_LEG_EVENTS:
        events = [*first_leg_events(common, fields), *events]
    faults = unrecognised([(text(fields, "direction"), DIRECTIONS), (id_fault, ())])
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _initiate_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    occurred_at = moment(fields, "startTime") or event.occurred_at
    return [
        replace(
            event,
            event_type=EventType.RINGING,
            occurred_at=occurred_at,
            is_forwarded=_is_forwarded(fields),
        )
    ]


def _is_forwarded(fields: Fields) -> bool | None:
    """True where the number that the caller chose sent the call on to ours; else not known."""
    if child(fields, "diversion"):
        return True
    return None


def _answer_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    started = [("startTime", EventType.CREATED, moment(fields, "startTime"))]
    answerer = text(child(fields, "machineDetectionResult"), "value")
    answered = replace(
        event,
        event_type=EventType.ANSWERED,
        occurred_at=moment(fields, "answerTime") or event.occurred_at,
        answered_by=ANSWERERS.get(answerer or ""),
    )
    answerers = unrecognised([(answerer, ANSWERERS)])
    return [
        *earlier_events(event, started),
        answered,
        *(unknown_event(event, value) for value in answerers),
    ]


def _machine_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    answerer = text(child(fields, "machineDetectionResult"), "value") or ""
    if answerer not in ANSWERERS:
        return [unknown_event(event, answerer)]
    return [
        replace(
            event,
            event_type=EventType.ANSWERED_BY,
            vendor_status=answerer,
            answered_by=ANSWERERS[answerer],
        )
    ]


def _disconnect_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    cause = text(fields, "cause")
    answered_at = moment(fields, "answerTime")
    earlier = earlier_events(
        event,
        [
            ("startTime", EventType.CREATED, moment(fields, "startTime")),
            ("answerTime", EventType.ANSWERED, answered_at),
        ],
    )
    unknown = [unknown_event(event, value) for value in unrecognised([(cause, CAUSES)])]
    if unknown and answered_at is None and event.parent_leg_id is not None:
        # Only the cause could tell whether an agent's telephone was not reached, or the caller gave
        # up first.
        return [*earlier, *unknown]
    ended = replace(
        event,
        event_type=EventType.ENDED,
        vendor_status=(cause or event.vendor_status or "")[:MAX_WORD_LENGTH],
        occurred_at=moment(fields, "endTime") or event.occurred_at,
        hangup_cause=_hangup_cause(event, fields),
        hung_up_by=_hung_up_by(event, cause),
    )
    # The leg is over for whatever cause; one that no table lists takes nothing away from that.
    return [*earlier, ended, *unknown]


def _hangup_cause(event: CallEvent, fields: Fields) -> HangupCause | None:
    cause = text(fields, "cause")
    if cause is None or cause not in CAUSES:
        return None
    if cause == HANGUP and text(fields, "answerTime") is None:
        # Our side hung up what nobody had answered: it turned a caller away, or gave up a call that
        # rang.
        if event.direction is Direction.INBOUND:
            return HangupCause.REJECTED
        return HangupCause.CANCELLED
    if cause in VAGUE_CAUSES and text(fields, "sipResponseCode") in sip.INVALID_NUMBER:
        return HangupCause.INVALID_NUMBER
    return CAUSES[cause]


def _hung_up_by(event: CallEvent, cause: str | None) -> Party | None:
    """Who gave up an inbound call before it was answered; of other ends the cause does not tell."""
    if cause != CANCEL or event.direction is not Direction.INBOUND:
        return None
    if (event.from_number or "").startswith(SIP):
        return Party.AGENT
    return Party.CUSTOMER


def _transfer_complete_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    # The id and the times are those of the leg that was transferred, the cause is that of the leg
    # that was called, whose id is not in the message. Without a time, the message of that leg
    # itself, if it comes too, counts before this one.
    cause = text(fields, "cause")
    called = replace(
        transferred_leg(event, fields),
        leg_id=f"{event.source_call_id}:transfer",
        occurred_at=None,
    )
    if cause is None:
        return [event]
    if cause not in CAUSES:
        return [event, unknown_event(called, cause)]
    ended = replace(
        called, event_type=EventType.ENDED, vendor_status=cause, hangup_cause=CAUSES[cause]
    )
    return [event, ended]


def _member_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    return [
        replace(
            event,
            event_type=MEMBER_EVENTS[event_type(fields)],
            conference_id=text(fields, "conferenceId"),
        )
    ]


def _recording_events(
    common: CallEvent, fields: Fields, record_kinds: Collection[str]
) -> list[CallEvent]:
    status = text(fields, "status")
    name = event_type(fields)
    event = replace(
        common,
        vendor_status=name,
        occurred_at=moment(fields, "endTime") or common.occurred_at,
    )
    if status is not None and status not in RECORDING_STATUSES:
        event = unknown_event(common, status)
    elif status is not None and not RECORDING_STATUSES[status]:
        event = replace(event, vendor_status=f"{name} {status}")
    else:
        event = recording_event(
            event,
            Recording(
                text(fields, "recordingId"),
                text(fields, "mediaUrl"),
                iso_duration_s(text(fields, "duration")),
            ),
            is_voicemail=VOICEMAIL in record_kinds,
        )
    unknown_kinds = sorted(kind for kind in record_kinds if kind != VOICEMAIL)
    return [event, *(unknown_event(common, kind) for kind in unknown_kinds)]


READERS: Final[Mapping[str, Callable[[CallEvent, Fields], list[CallEvent]]]] = {
    INITIATE: _initiate_events,
    ANSWER: _answer_events,
    MACHINE_DETECTION: _machine_events,
    TRANSFER_ANSWER: _answer_events,
    TRANSFER_COMPLETE: _transfer_complete_events,
    TRANSFER_DISCONNECT: _disconnect_events,
    DISCONNECT: _disconnect_events,
    MEMBER_JOIN: _member_events,
    MEMBER_EXIT: _member_events,
}
