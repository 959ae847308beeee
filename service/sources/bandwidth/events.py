"""
What each of Bandwidth's webhooks says of a leg, as events.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.events import CallEvent, Direction, EventType, HangupCause, Recording
from service.sources.bandwidth.payload import (
    event_type,
    iso_duration_s,
    leg_id,
    source_call_id,
)
from service.sources.bandwidth.vocabulary import (
    ANSWER,
    ANSWERERS,
    CAUSES,
    DIRECTIONS,
    DISCONNECT,
    HANGUP,
    INITIATE,
    MACHINE_DETECTION,
    RECORDING_EVENTS,
    RECORDING_STATUSES,
    TRANSFER_ANSWER,
    TRANSFER_COMPLETE,
    TRANSFER_DISCONNECT,
    VAGUE_CAUSES,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common import sip
from service.sources.common.fields import Fields, child, iso_moment, text
from service.sources.common.ids import echoed_id
from service.sources.common.leg_events import earlier_events, recording_event, unrecognised
from service.sources.common.phone_numbers import to_e164

# The value of the query parameter `record` for a URL at which callers' messages arrive.
VOICEMAIL: Final = "voicemail"


def read_events(
    fields: Fields, message_id: str, *, record_kinds: Collection[str]
) -> list[CallEvent]:
    """
    The events of a webhook; what in it is not understood becomes events of type `UNKNOWN` at the
    end.

    `record_kinds` are the values of `record` in the URL. Raises `MalformedPayload` without ids.
    """
    common, id_fault = _common(fields, message_id)
    name = event_type(fields)
    if name in RECORDING_EVENTS:
        events = _recording_events(common, fields, record_kinds)
    elif name in READERS:
        events = READERS[name](replace(common, vendor_status=name), fields)
    else:
        events = [unknown_event(common, name)]
    faults = unrecognised([(text(fields, "direction"), DIRECTIONS), (id_fault, ())])
    return [*events, *(unknown_event(common, fault) for fault in faults)]


def _common(fields: Fields, message_id: str) -> tuple[CallEvent, str | None]:
    """What every event of the webhook shares, and what is wrong with the echoed id or None."""
    first_leg_id = source_call_id(fields)
    event_leg_id = leg_id(fields)
    parent_leg_id = None
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    if event_leg_id != first_leg_id:
        parent_leg_id = first_leg_id
        # A transferred leg always goes outwards, to an agent as to a customer: its direction is
        # not the call's.
        direction = None
    buildr_call_id, id_fault = echoed_id(text(fields, "tag"))
    event = CallEvent(
        source="bandwidth",
        message_id=message_id,
        source_call_id=first_leg_id,
        leg_id=event_leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_leg_id,
        occurred_at=iso_moment(text(fields, "eventTime")),
        direction=direction,
        from_number=to_e164(text(fields, "from")),
        to_number=to_e164(text(fields, "to")),
        buildr_call_id=buildr_call_id,
    )
    return event, id_fault


def _moment(fields: Fields, name: str) -> datetime | None:
    return iso_moment(text(fields, name))


def _initiate_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    occurred_at = _moment(fields, "startTime") or event.occurred_at
    return [replace(event, event_type=EventType.RINGING, occurred_at=occurred_at)]


def _answer_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    started = [("startTime", EventType.CREATED, _moment(fields, "startTime"))]
    answerer = text(child(fields, "machineDetectionResult"), "value")
    answered = replace(
        event,
        event_type=EventType.ANSWERED,
        occurred_at=_moment(fields, "answerTime") or event.occurred_at,
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
    answered_at = _moment(fields, "answerTime")
    earlier = earlier_events(
        event,
        [
            ("startTime", EventType.CREATED, _moment(fields, "startTime")),
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
        occurred_at=_moment(fields, "endTime") or event.occurred_at,
        hangup_cause=_hangup_cause(event, fields),
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


def _transfer_complete_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    # The id and the times are those of the leg that was transferred, the cause is that of the leg
    # that was called, whose id is not in the message. Without a time, the message of that leg
    # itself, if it comes too, counts before this one.
    cause = text(fields, "cause")
    called = replace(
        event,
        leg_id=f"{event.source_call_id}:transfer",
        parent_leg_id=event.source_call_id,
        occurred_at=None,
        direction=None,
        from_number=to_e164(text(fields, "transferCallerId")),
        to_number=to_e164(text(fields, "transferTo")),
    )
    if cause is None:
        return [event]
    if cause not in CAUSES:
        return [event, unknown_event(called, cause)]
    ended = replace(
        called, event_type=EventType.ENDED, vendor_status=cause, hangup_cause=CAUSES[cause]
    )
    return [event, ended]


def _recording_events(
    common: CallEvent, fields: Fields, record_kinds: Collection[str]
) -> list[CallEvent]:
    status = text(fields, "status")
    name = event_type(fields)
    event = replace(
        common,
        vendor_status=name,
        occurred_at=_moment(fields, "endTime") or common.occurred_at,
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
}
