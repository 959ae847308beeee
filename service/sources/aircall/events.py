"""
From the payload of one Aircall message to its events.

Aircall does not tell legs apart: every event is about the one leg that is the whole call.
"""

from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Voicemail,
)
from service.sources.aircall.payload import (
    agent_name,
    comment_texts,
    event_name,
    source_call_id,
    summary_text,
    tag_names,
    team_name,
)
from service.sources.aircall.vocabulary import (
    AI_AGENT_END_REASONS,
    AI_AGENT_ENDED,
    AI_AGENT_EVENTS,
    DIRECTIONS,
    EVENT_TYPES,
    MISSED_CALL_REASONS,
    SUMMARY,
    TIME_FIELDS,
    TRANSFERS,
)
from service.sources.base import unknown_event
from service.sources.common.fields import Fields, child, epoch_moment, text
from service.sources.common.ids import BUILDR_CALL_ID, noted_ids
from service.sources.common.leg_events import (
    earlier_events,
    from_and_to,
    seconds_between,
    unrecognised,
)
from service.sources.common.phone_numbers import to_e164

# What an AI voice agent did is known by tags, by which rules may choose an outcome. It is no rep,
# and Aircall documents neither whether its calls count as answered nor what `answered` means there.
AI_AGENT_TAG: Final = "ai_voice_agent"
# `vendor_status` of the event that a voicemail in a message about something else makes.
VOICEMAIL_STATUS: Final = "voicemail"


def message_events(fields: Fields, message_id: str) -> list[CallEvent]:
    """
    The events of a message: those of the call, then one of type `UNKNOWN` for each value that no
    table knows.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    name = event_name(fields)
    call_id = source_call_id(fields)
    call_event = CallEvent(
        source="aircall",
        message_id=message_id,
        source_call_id=call_id,
        leg_id=call_id,
        event_type=EventType.UPDATED,
    )
    if name == SUMMARY:
        # Without a time a summary never replaces the note that an agent wrote.
        return [replace(call_event, note=summary_text(fields), vendor_status=name)]
    if name in AI_AGENT_EVENTS:
        return _ai_agent_events(call_event, name, fields)
    data = child(fields, "data")
    direction = text(data, "direction")
    reason = text(data, "missed_call_reason")
    common = replace(_common(call_event, name, data), occurred_at=epoch_moment(fields, "timestamp"))
    unknown_values = unrecognised(
        ((name, EVENT_TYPES), (direction, DIRECTIONS), (reason, MISSED_CALL_REASONS))
    )
    unknown_events = [unknown_event(common, value) for value in unknown_values]
    if name not in EVENT_TYPES or (direction is not None and direction not in DIRECTIONS):
        return unknown_events
    return [*_call_events(common, name, data), *unknown_events]


def _ai_agent_events(call_event: CallEvent, name: str, fields: Fields) -> list[CallEvent]:
    """That an AI voice agent took part in a call, and with its end, how that ended."""
    event = replace(
        call_event,
        vendor_status=name,
        tags=(AI_AGENT_TAG,),
        occurred_at=epoch_moment(fields, "timestamp"),
    )
    reason = text(child(fields, "data"), "call_end_reason")
    if name != AI_AGENT_ENDED or reason is None:
        return [event]
    unknown_events = [
        unknown_event(call_event, value)
        for value in unrecognised(((reason, AI_AGENT_END_REASONS),))
    ]
    if unknown_events:
        return [event, *unknown_events]
    return [replace(event, tags=(AI_AGENT_TAG, f"{AI_AGENT_TAG}:{reason}"))]


def _common(call_event: CallEvent, name: str, data: Fields) -> CallEvent:
    """What every event of a message about a call holds."""
    direction = DIRECTIONS.get(text(data, "direction") or "")
    from_number, to_number = from_and_to(
        direction,
        customer=to_e164(text(data, "raw_digits")),
        ours=to_e164(text(child(data, "number"), "digits")),
    )
    is_transferred = True if name in TRANSFERS else None
    return replace(
        call_event,
        direction=direction,
        party=Party.CUSTOMER,
        from_number=from_number,
        to_number=to_number,
        agent=agent_name(data),
        team=team_name(data),
        is_transferred=is_transferred,
    )


def _call_events(common: CallEvent, name: str, data: Fields) -> list[CallEvent]:
    """What happened, with all tags and comments of the call, and one event for each other id."""
    tags = tag_names(data)
    comments = comment_texts(data)
    buildr_call_ids = noted_ids(*comments, *tags)
    event = replace(
        common,
        event_type=EVENT_TYPES[name],
        vendor_status=name,
        tags=tags,
        note="\n".join(comments) or None,
        buildr_call_id=next(iter(buildr_call_ids), None),
        recording=_recording(data),
    )
    # Two ids are a conflict, which an operator resolves.
    conflicts = [
        replace(common, buildr_call_id=other_id, vendor_status=BUILDR_CALL_ID)
        for other_id in buildr_call_ids[1:]
    ]
    return [*_with_voicemail(event, common, data), *conflicts]


def _recording(data: Fields) -> Recording | None:
    file_url = text(data, "recording")
    if file_url is None:
        return None
    # The page is preferred: the URL of the file expires after ten minutes.
    return Recording(None, text(data, "asset") or file_url)


def _with_voicemail(event: CallEvent, common: CallEvent, data: Fields) -> list[CallEvent]:
    """
    The event, or the events of an end, and the voicemail that the call has by then.

    Aircall often stores a voicemail after `call.ended`, so that any later message may be the first
    that has it.
    """
    file_url = text(data, "voicemail")
    voicemail = Voicemail(text(data, "asset") or file_url)
    if event.event_type is EventType.VOICEMAIL:
        return [replace(event, voicemail=voicemail)]
    if event.event_type is EventType.ENDED:
        events = _end_events(event, data)
    else:
        events = [_with_own_time(event, data)]
    # Only a caller can leave a voicemail for us.
    if file_url is not None and event.direction is not Direction.OUTBOUND:
        events.append(
            replace(
                common,
                event_type=EventType.VOICEMAIL,
                vendor_status=VOICEMAIL_STATUS,
                voicemail=voicemail,
            )
        )
    return events


def _with_own_time(event: CallEvent, data: Fields) -> CallEvent:
    field_name = TIME_FIELDS.get(event.event_type)
    if field_name is None:
        return event
    return replace(event, occurred_at=epoch_moment(data, field_name) or event.occurred_at)


def _end_events(event: CallEvent, data: Fields) -> list[CallEvent]:
    """The events of `call.ended`: start and answer, as far as there was one, and the end."""
    leg = replace(event, recording=None, tags=(), note=None, buildr_call_id=None)
    earlier = earlier_events(
        leg,
        (
            (field_name, event_type, epoch_moment(data, field_name))
            for event_type, field_name in TIME_FIELDS.items()
        ),
    )
    answered_at = epoch_moment(data, "answered_at")
    ended_at = epoch_moment(data, "ended_at")
    end = replace(event, occurred_at=ended_at)
    if answered_at is not None:
        # Not Aircall's `duration`, which is counted from the first ring.
        talk_s = seconds_between(answered_at, ended_at)
        return [*earlier, replace(end, hangup_cause=HangupCause.COMPLETED, duration_s=talk_s)]
    cause = _unanswered_cause(event.direction, text(data, "missed_call_reason"))
    if cause is None:
        return [*earlier, end]
    return [*earlier, replace(end, hangup_cause=cause, duration_s=0)]


def _unanswered_cause(direction: Direction | None, reason: str | None) -> HangupCause | None:
    """Why a call was not answered; None where that cannot be known."""
    if direction is Direction.OUTBOUND:
        # Aircall does not distinguish busy, declined and failed calls.
        return HangupCause.NO_ANSWER
    if direction is None:
        return None
    if reason is None:
        return HangupCause.NO_ANSWER
    return MISSED_CALL_REASONS.get(reason)
