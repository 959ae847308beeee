"""
From the payload of one Dialpad message, which is about one leg of a call, to its events.
"""

from datetime import datetime

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Result,
    Voicemail,
)
from service.sources.base import unknown_event
from service.sources.common.fields import Fields, flag, text, texts, whole_seconds
from service.sources.common.ids import echoed_id
from service.sources.common.leg_events import earlier_events, unrecognised
from service.sources.dialpad.legs import answered_at, is_talk, is_waiting, leg_event
from service.sources.dialpad.payload import (
    MS,
    early_wrap_up,
    is_passed_on,
    is_received_by_transfer,
    recording,
    state_of,
    target_type,
    text_id,
    time_at,
    wrap_up,
)
from service.sources.dialpad.vocabulary import (
    BLOCKED,
    CALLER_LEAVES_STATES,
    CONNECTED,
    DIRECTIONS,
    EVENT_TYPES,
    HANGUP,
    OFFICE,
    SUMMARY,
    TARGET_TYPES,
    TIME_FIELDS,
    WRAP_UP_STATES,
)


def message_events(fields: Fields, message_id: str) -> list[CallEvent]:
    """
    The events of a message: those of the leg, then one of type `UNKNOWN` for each value that no
    table knows and for a Buildr call id that is not one.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    buildr_call_id, id_fault = echoed_id(text(fields, "custom_data"))
    common = leg_event(fields, message_id, buildr_call_id=buildr_call_id)
    state = state_of(fields)
    direction = text(fields, "direction")
    unknown_values = unrecognised(
        (
            (state, EVENT_TYPES),
            (direction, DIRECTIONS),
            (target_type(fields), TARGET_TYPES),
            (id_fault, ()),
        )
    )
    unknown_events = [unknown_event(common, value) for value in unknown_values]
    if state not in EVENT_TYPES or (direction is not None and direction not in DIRECTIONS):
        return unknown_events
    return [*_leg_events(common, state, fields), *unknown_events]


def _leg_events(common: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The events of a message whose state and direction are known."""
    disposition, note = early_wrap_up(fields)
    event = replace(
        common,
        event_type=EVENT_TYPES[state],
        vendor_status=state,
        tags=texts(fields, "labels"),
        recording=recording(fields),
        disposition=disposition,
        note=note,
    )
    voicemails = _voicemail_events(common, state, fields)
    if event.event_type is EventType.VOICEMAIL:
        events = voicemails
    elif event.event_type is EventType.ENDED:
        events = [*_end_events(event, state, fields), *voicemails]
    else:
        events = [_with_details(event, state, fields), *voicemails]
    if state in CALLER_LEAVES_STATES and any(_is_callers_end(part, fields) for part in events):
        events.append(_callers_end(event, fields))
    return events


def _with_details(event: CallEvent, state: str, fields: Fields) -> CallEvent:
    """The event with what only messages of its state hold."""
    if state == SUMMARY:
        # Without a time a summary never replaces the note that an agent wrote.
        return replace(event, note=text(fields, SUMMARY), occurred_at=None)
    if state in WRAP_UP_STATES:
        disposition, note = wrap_up(fields)
        return replace(event, disposition=disposition, note=note)
    if state == CONNECTED and not is_talk(event.direction, fields):
        return replace(event, event_type=EventType.RINGING)
    occurred_at = _own_time(event.event_type, fields)
    if occurred_at is None:
        return event
    return replace(event, occurred_at=occurred_at)


def _own_time(event_type: EventType, fields: Fields) -> datetime | None:
    """When an event of this type happened; None where only the message's own time shows it."""
    field_name = TIME_FIELDS.get(event_type)
    if field_name is None:
        return None
    if event_type is EventType.ANSWERED:
        return answered_at(fields)
    return time_at(fields, field_name)


def _end_events(event: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The end of a leg, after its start and, if somebody talked, its answer."""
    cause = _hangup_cause(event.direction, state, fields)
    is_talked = cause is HangupCause.COMPLETED
    earlier = earlier_events(
        replace(event, recording=None, tags=(), disposition=None, note=None),
        (
            (field_name, event_type, _own_time(event_type, fields))
            for event_type, field_name in TIME_FIELDS.items()
            if event_type is not EventType.ANSWERED or is_talked
        ),
    )
    occurred_at = time_at(fields, "date_ended") or event.occurred_at
    if event.party is Party.CUSTOMER and is_passed_on(fields) and not is_talked:
        return [*earlier, _passed_on(replace(event, occurred_at=occurred_at))]
    end = replace(
        event, hangup_cause=cause, duration_s=_talk_s(cause, fields), occurred_at=occurred_at
    )
    # A caller who is blocked got no further than Dialpad: that is the result of the call. An
    # agent's leg says nothing about the other legs.
    if cause is HangupCause.REJECTED and event.party is Party.CUSTOMER:
        end = replace(end, result=Result.REJECTED)
    return [*earlier, end]


def _passed_on(event: CallEvent) -> CallEvent:
    """
    The end of a first leg where nobody talked and from which the call was passed on.

    The caller is now at another leg: what ended is a telephone of ours, and not the call.
    """
    if event.direction is not Direction.INBOUND:
        return replace(event, event_type=EventType.UPDATED)
    return replace(event, party=Party.AGENT)


def _talk_s(cause: HangupCause | None, fields: Fields) -> int | None:
    if cause is None:
        return None
    if cause is not HangupCause.COMPLETED:
        return 0
    if answered_at(fields) is None:
        # The leg's duration counts the time in the queue, too.
        return whole_seconds(fields, "talk_time", per_second=MS) or None
    return whole_seconds(fields, "duration", per_second=MS)


def _hangup_cause(direction: Direction | None, state: str, fields: Fields) -> HangupCause | None:
    """Why a leg ended; None where that cannot be known."""
    is_picked_up = time_at(fields, "date_connected") is not None
    # Who is blocked during a talk has been talked to.
    if state in {HANGUP, BLOCKED} and is_picked_up and is_talk(direction, fields):
        return HangupCause.COMPLETED
    if state == BLOCKED:
        return HangupCause.REJECTED
    # Whether an unknown kind of target that picked up is a person cannot be known.
    if state == HANGUP and is_picked_up and target_type(fields) not in TARGET_TYPES:
        return None
    if direction is None:
        return None
    if direction is Direction.INBOUND and is_waiting(fields, is_picked_up=is_picked_up):
        return HangupCause.CANCELLED
    # Dialpad does not distinguish busy, declined and failed calls.
    return HangupCause.NO_ANSWER


def _is_callers_end(event: CallEvent, fields: Fields) -> bool:
    """
    Whether an event of an agent's leg shows that the caller has left: after a voicemail, or after a
    talk on the only leg where the caller can be.

    That is a leg to which the call was passed on. The first leg ends at that moment then. In a call
    centre the first leg lasts as long as the call.
    """
    if event.party is not Party.AGENT or event.direction is not Direction.INBOUND:
        return False
    if event.event_type is EventType.VOICEMAIL:
        return True
    is_talked = event.hangup_cause is HangupCause.COMPLETED
    if not is_talked or is_passed_on(fields) or flag(fields, "is_internal") is True:
        return False
    return is_received_by_transfer(fields) or target_type(fields, "entry_point_target") == OFFICE


def _callers_end(event: CallEvent, fields: Fields) -> CallEvent:
    """The end of the call's first leg, as the message of another leg shows it."""
    return replace(
        event,
        leg_id=event.source_call_id,
        parent_leg_id=None,
        party=Party.CUSTOMER,
        event_type=EventType.ENDED,
        occurred_at=time_at(fields, "date_ended") or event.occurred_at,
        agent=None,
        is_transferred=None,
        hangup_cause=HangupCause.HUNG_UP,
        recording=None,
        tags=(),
        disposition=None,
        note=None,
    )


def _voicemail_events(common: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The caller's voicemail, in any message that names one."""
    url = text(fields, "voicemail_link")
    is_left = (
        url is not None
        or text_id(fields, "voicemail_recording_id") is not None
        or EVENT_TYPES[state] is EventType.VOICEMAIL
    )
    # Only a caller can leave a voicemail for us.
    if not is_left or common.direction is Direction.OUTBOUND:
        return []
    return [
        replace(
            common,
            event_type=EventType.VOICEMAIL,
            vendor_status=state,
            tags=texts(fields, "labels"),
            voicemail=Voicemail(url, None, text(fields, "transcription_text")),
        )
    ]
