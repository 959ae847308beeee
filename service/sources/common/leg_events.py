"""
What the messages of several vendors say of a leg in the same way.

The last message of a leg repeats when it began and was answered, in case that no message before it
arrived; its end may be known only from its start and its duration; its recording is the talk or a
caller's voicemail; its two numbers lie under "ours" and "theirs". Which field holds what is each
source's own business.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    Party,
    Recording,
    Voicemail,
)


class LegSide(StrEnum):
    """The two ends of one leg."""

    CALLER = "caller"
    CALLEE = "callee"


INBOUND_SIDES: Final[Mapping[LegSide, Party]] = {
    LegSide.CALLER: Party.CUSTOMER,
    LegSide.CALLEE: Party.AGENT,
}

# The vendor's name of the field, what happened then, and when (UTC).
LegTime = tuple[str | None, EventType, datetime | None]


def earlier_events(leg: CallEvent, times: Iterable[LegTime]) -> list[CallEvent]:
    """
    The events that an end message repeats: one for each time that is not None, in the order given.

    Each is `leg` with the type and the time, and with the field's name as `vendor_status`.
    """
    return [
        replace(leg, event_type=event_type, vendor_status=field_name, occurred_at=occurred_at)
        for field_name, event_type, occurred_at in times
        if occurred_at is not None
    ]


def end_time(started_at: datetime | None, duration_s: int | None) -> datetime | None:
    """
    When a leg ended that began at `started_at` (UTC) and lasted `duration_s` seconds, None for 0.

    None without a start; the start itself where the sum is beyond the year 9999.
    """
    if started_at is None:
        return None
    try:
        return started_at + timedelta(seconds=duration_s or 0)
    except OverflowError:
        return started_at


def seconds_between(started_at: datetime | None, ended_at: datetime | None) -> int | None:
    """Whole seconds from one time to the other, rounded, at least 0; None unless both are known."""
    if started_at is None or ended_at is None:
        return None
    return max(0, round((ended_at - started_at).total_seconds()))


def hung_up_by(leg: CallEvent, side: LegSide | None) -> Party | None:
    """
    Who hung up first, from the side that ended the first leg of an inbound call.

    None for any other leg: whom an outbound call's first leg called, the customer or an agent who
    was called first, a single message cannot tell. None too where an agent's own telephone called.
    """
    is_callers = leg.direction is Direction.INBOUND and leg.parent_leg_id is None
    if side is None or not is_callers or leg.agent is not None:
        return None
    return INBOUND_SIDES[side]


def recording_event(leg: CallEvent, recording: Recording, *, is_voicemail: bool) -> CallEvent:
    """
    `leg` as an event of type `RECORDING`, or of type `VOICEMAIL` if a caller left the recording.

    A voicemail has the recording's URL and duration, and not its id.
    """
    if is_voicemail:
        voicemail = Voicemail(recording.url, recording.duration_s)
        return replace(leg, event_type=EventType.VOICEMAIL, voicemail=voicemail)
    return replace(leg, event_type=EventType.RECORDING, recording=recording)


def from_and_to(
    direction: Direction | None, *, customer: str | None, ours: str | None
) -> tuple[str | None, str | None]:
    """
    The number that called and the number that was called, in this order.

    Both are None without a direction: which of the two called is not known then.
    """
    if direction is Direction.INBOUND:
        return customer, ours
    if direction is Direction.OUTBOUND:
        return ours, customer
    return None, None


def unrecognised(values: Iterable[tuple[str | None, Container[str]]]) -> list[str]:
    """
    The values that are not in the table beside them, in order; an absent one (None) is left out.
    """
    return [value for value, table in values if value is not None and value not in table]
