"""
From the payload of one Dialpad message, which is about one leg of a call, to its events.
"""

from dataclasses import replace

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
from service.sources.common.fields import Fields, child, text, texts, whole_seconds
from service.sources.common.ids import echoed_id
from service.sources.common.leg_events import earlier_events, from_and_to, unrecognised
from service.sources.common.phone_numbers import to_e164
from service.sources.dialpad.payload import (
    MS,
    leg_and_call_id,
    our_number,
    recording,
    state_of,
    target_type,
    text_id,
    time_at,
    wrap_up,
)
from service.sources.dialpad.vocabulary import (
    BLOCKED,
    CONNECTED,
    DIRECTIONS,
    EVENT_TYPES,
    HANGUP,
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
    common = replace(_common(fields, message_id), buildr_call_id=buildr_call_id)
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


def _common(fields: Fields, message_id: str) -> CallEvent:
    """What every event of a message holds."""
    leg_id, source_call_id = leg_and_call_id(fields)
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    from_number, to_number = from_and_to(
        direction, customer=to_e164(text(fields, "external_number")), ours=our_number(fields)
    )
    event = CallEvent(
        source="dialpad",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=leg_id,
        event_type=EventType.UPDATED,
        occurred_at=time_at(fields, "event_timestamp"),
        direction=direction,
        party=Party.CUSTOMER,
        from_number=from_number,
        to_number=to_number,
        agent=_agent(fields),
    )
    if leg_id == source_call_id:
        return event
    # The leg at which the call came in, or went out, is the customer's; those that it was passed on
    # to are agents'.
    return replace(event, party=Party.AGENT, parent_leg_id=source_call_id)


def _agent(fields: Fields) -> str | None:
    """Email or name of the person whose telephone the leg is; None for a group."""
    if not TARGET_TYPES.get(target_type(fields) or "", False):
        return None
    return text(child(fields, "target"), "email", "name")


def _leg_events(common: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The events of a message whose state and direction are known."""
    event = replace(
        common,
        event_type=EVENT_TYPES[state],
        vendor_status=state,
        tags=texts(fields, "labels"),
        recording=recording(fields),
    )
    voicemails = _voicemail_events(common, state, fields)
    if event.event_type is EventType.VOICEMAIL:
        return voicemails
    if event.event_type is EventType.ENDED:
        return [*_end_events(event, state, fields), *voicemails]
    return [_with_details(event, state, fields), *voicemails]


def _with_details(event: CallEvent, state: str, fields: Fields) -> CallEvent:
    """The event with what only messages of its state hold."""
    if state == SUMMARY:
        # Without a time a summary never replaces the note that an agent wrote.
        return replace(event, note=text(fields, SUMMARY), occurred_at=None)
    if state in WRAP_UP_STATES:
        disposition, note = wrap_up(fields)
        return replace(event, disposition=disposition, note=note)
    if state == CONNECTED and not _is_talk(event.direction, fields):
        return replace(event, event_type=EventType.RINGING)
    field_name = TIME_FIELDS.get(event.event_type)
    if field_name is None:
        return event
    return replace(event, occurred_at=time_at(fields, field_name) or event.occurred_at)


def _end_events(event: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The end of a leg, after its start and, if somebody talked, its answer."""
    cause = _hangup_cause(event.direction, state, fields)
    earlier = earlier_events(
        replace(event, recording=None, tags=()),
        (
            (field_name, event_type, time_at(fields, field_name))
            for event_type, field_name in TIME_FIELDS.items()
            if event_type is not EventType.ANSWERED or cause is HangupCause.COMPLETED
        ),
    )
    end = replace(
        event,
        hangup_cause=cause,
        duration_s=_talk_s(cause, fields),
        occurred_at=time_at(fields, "date_ended") or event.occurred_at,
    )
    # A caller who is blocked got no further than Dialpad: that is the result of the call. An
    # agent's leg says nothing about the other legs.
    if cause is HangupCause.REJECTED and event.party is Party.CUSTOMER:
        end = replace(end, result=Result.REJECTED)
    return [*earlier, end]


def _talk_s(cause: HangupCause | None, fields: Fields) -> int | None:
    if cause is None:
        return None
    if cause is HangupCause.COMPLETED:
        return whole_seconds(fields, "duration", per_second=MS)
    return 0


def _hangup_cause(direction: Direction | None, state: str, fields: Fields) -> HangupCause | None:
    """Why a leg ended; None where that cannot be known."""
    is_picked_up = time_at(fields, "date_connected") is not None
    # Who is blocked during a talk has been talked to.
    if state in {HANGUP, BLOCKED} and is_picked_up and _is_talk(direction, fields):
        return HangupCause.COMPLETED
    if state == BLOCKED:
        return HangupCause.REJECTED
    # Whether an unknown kind of target that picked up is a person cannot be known.
    if state == HANGUP and is_picked_up and target_type(fields) not in TARGET_TYPES:
        return None
    if direction is None:
        return None
    if direction is Direction.INBOUND and _is_waiting(fields, is_picked_up=is_picked_up):
        return HangupCause.CANCELLED
    # Dialpad does not distinguish busy, declined and failed calls.
    return HangupCause.NO_ANSWER


def _is_waiting(fields: Fields, *, is_picked_up: bool) -> bool:
    """Whether the caller of an ended leg was still in the queue of a group."""
    is_queued = is_picked_up or time_at(fields, "date_queued") is not None
    is_persons = TARGET_TYPES.get(target_type(fields) or "", False)
    return is_queued and not is_persons and not _has_operator(fields)


def _is_talk(direction: Direction | None, fields: Fields) -> bool:
    """
    Whether a leg that was picked up was picked up by a person: a call centre may only have put the
    caller into its queue.
    """
    if direction is Direction.OUTBOUND or _has_operator(fields):
        return True
    kind = target_type(fields)
    return kind is None or TARGET_TYPES.get(kind, False)


def _has_operator(fields: Fields) -> bool:
    return text_id(fields, "operator_call_id") is not None


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
