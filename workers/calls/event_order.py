"""
The true order of the events of one leg.

It depends neither on the order in which events arrived, nor on the ids of the messages that brought
them: two workers that read the same events put them in the same order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from msgspec import Struct

from service.events import CallEvent, EventType, HangupCause, identity_text

MIN_UTC: Final = datetime.min.replace(tzinfo=UTC)

# How far a leg has come when an event of this type happens.
EVENT_RANKS: Final[Mapping[EventType, int]] = {
    EventType.UNKNOWN: 0,
    EventType.CREATED: 1,
    EventType.RINGING: 2,
    EventType.ANSWERED: 3,
    EventType.BRIDGED: 3,
    EventType.ANSWERED_BY: 4,
    EventType.RECORDING: 4,
    EventType.VOICEMAIL: 4,
    EventType.JOINED: 4,
    EventType.UPDATED: 4,
    EventType.LEFT: 5,
    EventType.ENDED: 6,
}
# Of two ends that nothing else orders, the one with the more precise cause is the last and counts.
CAUSE_RANKS: Final[Mapping[HangupCause | None, int]] = {
    None: 0,
    HangupCause.HUNG_UP: 1,
    HangupCause.FAILED: 2,
    HangupCause.CANCELLED: 3,
    HangupCause.NO_ANSWER: 4,
    HangupCause.BUSY: 5,
    HangupCause.REJECTED: 6,
    HangupCause.INVALID_NUMBER: 7,
    HangupCause.COMPLETED: 8,
}


class _Tie:
    """
    Orders events that are equal in everything else by what they report. That takes its time, and is
    seldom needed.
    """

    __slots__ = ("event",)

    def __init__(self, event: CallEvent) -> None:
        self.event = event

    def __lt__(self, other: "_Tie") -> bool:
        return identity_text(self.event) < identity_text(other.event)


Rank: TypeAlias = tuple[int, int, _Tie]


class OrderedEvent(Struct, frozen=True):
    """
    An event in the order of its leg.

    `counts_at` (UTC) is the time at which it counts: its own, or that of an earlier numbered event
    if that is later; `MIN_UTC` if there is none. `rank` orders events that count at the same time.
    """

    counts_at: datetime
    event: CallEvent
    rank: Rank


Timeline: TypeAlias = Sequence[OrderedEvent]


def order_events(events: Iterable[CallEvent]) -> Timeline:
    """
    Put the events of one leg, no two of which report the same, in their true order, the earliest
    first.

    Sequence numbers come first. They count per leg, so that they say nothing between two legs. An
    event without one takes its place by its time: a numbered event counts no earlier than the
    numbered ones before it, which keeps both orders free of contradiction.
    """
    by_time = sorted(map(_at_its_own_time, events), key=_time_and_rank)
    placed = [ordered for ordered in by_time if ordered.event.sequence is None]
    if len(placed) == len(by_time):
        return by_time
    numbered = [ordered for ordered in by_time if ordered.event.sequence is not None]
    counts_at = MIN_UTC
    for ordered in sorted(numbered, key=_sequence):
        if ordered.counts_at < counts_at:
            placed.append(OrderedEvent(counts_at, ordered.event, ordered.rank))
        else:
            counts_at = ordered.counts_at
            placed.append(ordered)
    # Numbered events alone are in both orders already. Sorting is stable: events that are equal in
    # both stay in the order of their time and rank.
    if len(numbered) < len(by_time):
        placed.sort(key=_time_and_sequence)
    return placed


def _at_its_own_time(event: CallEvent) -> OrderedEvent:
    # What they report comes last, so that no two different events are equal in rank.
    rank = (EVENT_RANKS[event.event_type], CAUSE_RANKS[event.hangup_cause], _Tie(event))
    return OrderedEvent(event.occurred_at or MIN_UTC, event, rank)


def _time_and_rank(ordered: OrderedEvent) -> tuple[datetime, Rank]:
    return ordered.counts_at, ordered.rank


def _sequence(ordered: OrderedEvent) -> int:
    # An event without a number comes before a numbered one of the same time.
    sequence = ordered.event.sequence
    return -1 if sequence is None else sequence


def _time_and_sequence(ordered: OrderedEvent) -> tuple[datetime, int]:
    return ordered.counts_at, _sequence(ordered)
