"""
What each message of Quo, formerly OpenPhone, says of a call, as events.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Voicemail,
)
from service.sources.base import unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    children,
    flag,
    iso_moment,
    text,
    texts,
    whole_seconds,
)
from service.sources.common.leg_events import earlier_events, seconds_between, unrecognised
from service.sources.common.phone_numbers import to_e164
from service.sources.openphone.payload import Message, numbers, source_call_id, user
from service.sources.openphone.vocabulary import (
    AI_AGENT,
    AI_HANDLED,
    CALL_TABLES,
    CAUSES,
    COMPLETED,
    DIRECTIONS,
    ENDED,
    FORWARDED,
    FORWARDED_STATUS,
    INBOUND_ONLY,
    PROCESSED,
    STATUSES,
    SYSTEM_ACTOR,
    UNDECIDED,
    WRITTEN,
    WRITTEN_TABLES,
)

# An end that says how the call ended counts before one that only says that nobody answered,
# whichever came first.
MISSED_SEQUENCE: Final = 1
COMPLETED_SEQUENCE: Final = 2


def read_events(message: Message, message_id: str) -> list[CallEvent]:
    """
    The events of a message; a value that no table lists, beside what is understood, becomes an
    event of type `UNKNOWN`.

    Raises `MalformedPayload` for a message that names no call.
    """
    common = _common(message, message_id)
    reader = READERS.get(message.name)
    if reader is None:
        return [unknown_event(common, message.name)]
    direction = text(message.resource, "direction")
    # Of a call that went neither way, no end says anything.
    if direction is not None and direction not in DIRECTIONS:
        return [unknown_event(common, direction)]
    unknown = [unknown_event(common, value) for value in _unrecognised_values(message)]
    return [*reader(common, message), *unknown]


def _common(message: Message, message_id: str) -> CallEvent:
    call_id = source_call_id(message)
    direction = DIRECTIONS.get(text(message.resource, "direction") or "")
    if direction is None and message.name in INBOUND_ONLY:
        direction = Direction.INBOUND
    from_number, to_number = numbers(message, direction)
    return CallEvent(
        source="openphone",
        message_id=message_id,
        source_call_id=call_id,
        leg_id=call_id,
        event_type=EventType.UPDATED,
        occurred_at=message.created_at,
        direction=direction,
        # A message is about the call as a whole: it was answered if the two sides could talk.
        party=Party.CUSTOMER,
        from_number=to_e164(from_number),
        to_number=to_e164(to_number),
        agent=user(message.resource, "answeredByUserId", "answeredBy", "initiatedBy"),
        is_forwarded=_is_forwarded(message),
        vendor_status=message.name,
    )


def _is_forwarded(message: Message) -> bool | None:
    if message.name == FORWARDED or text(message.resource, "status") == FORWARDED_STATUS:
        return True
    return None


def _with_owner(common: CallEvent, message: Message) -> CallEvent:
    """
    The event with the user whose number it is, if no other is named: whose telephone rings on an
    incoming call, or who makes an outgoing one. That says nothing of who answered.
    """
    owner = user(message.resource, "userId") or user(message.context, "userId")
    return replace(common, agent=common.agent or owner)


def _unrecognised_values(message: Message) -> list[str]:
    """Values of fields beside the event's name and direction that no table lists."""
    tables = WRITTEN_TABLES if message.name in WRITTEN else CALL_TABLES
    # `_completed_events` reports the status of an end itself.
    return unrecognised(
        (text(message.resource, name), table)
        for name, table in tables.items()
        if (message.name, name) != (ENDED, "status")
    )


def _moment(fields: Fields, name: str) -> datetime | None:
    return iso_moment(text(fields, name))


def _ringing_events(common: CallEvent, message: Message) -> list[CallEvent]:
    occurred_at = _moment(message.resource, "createdAt") or common.occurred_at
    event = _with_owner(common, message)
    return [replace(event, event_type=EventType.RINGING, occurred_at=occurred_at)]


def _answered_events(common: CallEvent, message: Message) -> list[CallEvent]:
    occurred_at = _moment(message.resource, "answeredAt") or common.occurred_at
    event = common
    if common.direction is not Direction.INBOUND:
        event = _with_owner(common, message)
    return [replace(event, event_type=EventType.ANSWERED, occurred_at=occurred_at)]


def _missed_events(common: CallEvent, message: Message) -> list[CallEvent]:
    return [
        replace(
            _with_owner(common, message),
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.NO_ANSWER,
            sequence=MISSED_SEQUENCE,
        )
    ]


def _plain_events(common: CallEvent, _: Message) -> list[CallEvent]:
    return [common]


def _completed_events(common: CallEvent, message: Message) -> list[CallEvent]:
    fields = message.resource
    status = text(fields, "status")
    recorded = [*_left_voicemail_events(common, fields), *_recording_events(common, fields)]
    if status is not None and status not in STATUSES:
        return [unknown_event(common, status), *recorded]
    if status in UNDECIDED:
        return [replace(common, vendor_status=status), *recorded]
    started = [("createdAt", EventType.CREATED, _moment(fields, "createdAt"))]
    answered = [("answeredAt", EventType.ANSWERED, _moment(fields, "answeredAt"))]
    return [
        *earlier_events(_with_owner(common, message), started),
        *earlier_events(common, answered),
        *recorded,
        _end_event(common, status, fields),
    ]


def _end_event(common: CallEvent, status: str | None, fields: Fields) -> CallEvent:
    cause = _hangup_cause(status, fields)
    ended_at = _moment(fields, "completedAt")
    # The stated duration of legacy calls has been seen to hold the ringing too.
    talk_s = seconds_between(_moment(fields, "answeredAt"), ended_at)
    if talk_s is None and cause is HangupCause.COMPLETED:
        talk_s = whole_seconds(fields, "duration")
    answered_by = None
    if common.direction is Direction.INBOUND and _is_answered_by_ai(status, fields):
        answered_by = AnsweredBy.MACHINE
    return replace(
        common,
        event_type=EventType.ENDED,
        vendor_status=status or common.vendor_status,
        sequence=COMPLETED_SEQUENCE,
        occurred_at=ended_at or common.occurred_at,
        hangup_cause=cause,
        answered_by=answered_by,
        duration_s=talk_s,
    )


def _hangup_cause(status: str | None, fields: Fields) -> HangupCause | None:
    if status != COMPLETED:
        return CAUSES.get(status or "")
    # Legacy messages write null where nobody answered; without the field it is not known.
    if "answeredAt" in fields and fields["answeredAt"] is None:
        return HangupCause.NO_ANSWER
    if text(fields, "answeredAt") is None:
        return None
    return HangupCause.COMPLETED


def _is_answered_by_ai(status: str | None, fields: Fields) -> bool:
    actor = text(fields, "answeredBy") or ""
    return (
        status == AI_HANDLED
        or text(fields, "aiHandled") == AI_AGENT
        or actor.startswith(SYSTEM_ACTOR)
    )


def _left_voicemail_events(common: CallEvent, fields: Fields) -> list[CallEvent]:
    """That a caller left a message, where the end of the call says so."""
    stated = child(fields, "voicemail")
    if stated:
        voicemail = _voicemail(stated)
    elif flag(fields, "hasVoicemail"):
        voicemail = Voicemail()
    else:
        return []
    return [replace(common, event_type=EventType.VOICEMAIL, voicemail=voicemail)]


def _recording_events(common: CallEvent, fields: Fields) -> list[CallEvent]:
    # A call that was paused has one for each part; webhooks made in the app call them media.
    parts = children(fields, "recordings") or children(fields, "media")
    return [
        replace(
            common,
            event_type=EventType.RECORDING,
            occurred_at=_moment(part, "startTime") or common.occurred_at,
            recording=Recording(
                text(part, "id"), text(part, "url"), whole_seconds(part, "duration")
            ),
        )
        for part in parts
        if text(part, "id", "url") is not None
    ]


def _recorded_events(common: CallEvent, message: Message) -> list[CallEvent]:
    return _recording_events(common, message.resource) or [common]


def _voicemail_events(common: CallEvent, message: Message) -> list[CallEvent]:
    voicemail = _voicemail(message.resource)
    return [replace(common, event_type=EventType.VOICEMAIL, voicemail=voicemail)]


def _voicemail(fields: Fields) -> Voicemail:
    return Voicemail(
        text(fields, "recordingUrl", "url"),
        whole_seconds(fields, "duration"),
        text(fields, "transcript"),
    )


def _summary_events(common: CallEvent, message: Message) -> list[CallEvent]:
    fields = message.resource
    if text(fields, "processingStatus", "status") not in {None, PROCESSED}:
        return [common]
    next_steps = [f"Next step: {step}" for step in texts(fields, "nextSteps")]
    note = "\n".join([*texts(fields, "summary"), *next_steps])
    return [replace(common, note=note or None)]


READERS: Final[Mapping[str, Callable[[CallEvent, Message], list[CallEvent]]]] = {
    "call.ringing": _ringing_events,
    "call.answered": _answered_events,
    "call.missed": _missed_events,
    ENDED: _completed_events,
    # Only one that has completed a call ends it: what was recorded and written of it has its own.
    FORWARDED: _plain_events,
    "call.menu.selected": _plain_events,
    "call.recording.completed": _recorded_events,
    "call.voicemail.completed": _voicemail_events,
    "call.summary.completed": _summary_events,
    "call.transcript.completed": _plain_events,
}
