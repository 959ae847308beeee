"""
One leg of a call: the order of its events, and what they make together.

Nothing here depends on the order in which events arrived, nor on the ids of the messages that
brought them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from pydantic import Field

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    to_json,
)

MIN_UTC: Final = datetime.min.replace(tzinfo=UTC)
T = TypeVar("T")


class Stage(StrEnum):
    """How far a call or a leg has come, in this order."""

    UNKNOWN = "unknown"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """
    One leg of a call, folded from the events that name it.

    `is_answered` says that somebody or something picked up, `is_bridged` that it was then joined
    with another leg; `duration_s` is the talk time in seconds, 0 if the leg ended unanswered and
    None if it is unknown or not over; `vendor_status` is the vendor's own name of the event that
    set the stage.
    """

    leg_id: str
    parent_leg_id: str | None = None
    party: Party | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    stage: Stage = Stage.UNKNOWN
    is_answered: bool = False
    is_bridged: bool = False
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None
    hangup_cause: HangupCause | None = None
    unknown_values: Annotated[tuple[str, ...], Field(alias="unknown_words")] = ()
    vendor_status: Annotated[str | None, Field(alias="word")] = None

    @property
    def is_ended(self) -> bool:
        """Whether the leg is over."""
        return self.stage is Stage.ENDED


STAGES: Final[Mapping[EventType, Stage]] = {
    EventType.CREATED: Stage.RINGING,
    EventType.RINGING: Stage.RINGING,
    EventType.ANSWERED: Stage.IN_PROGRESS,
    EventType.BRIDGED: Stage.IN_PROGRESS,
    EventType.ANSWERED_BY: Stage.IN_PROGRESS,
    EventType.RECORDING: Stage.IN_PROGRESS,
    EventType.VOICEMAIL: Stage.IN_PROGRESS,
    EventType.ENDED: Stage.ENDED,
    EventType.UPDATED: Stage.UNKNOWN,
    EventType.UNKNOWN: Stage.UNKNOWN,
}
STAGE_ORDER: Final = tuple(Stage)
RANKS: Final[Mapping[EventType, int]] = {
    EventType.UNKNOWN: 0,
    EventType.CREATED: 1,
    EventType.RINGING: 2,
    EventType.ANSWERED: 3,
    EventType.BRIDGED: 3,
    EventType.ANSWERED_BY: 4,
    EventType.RECORDING: 4,
    EventType.VOICEMAIL: 4,
    EventType.UPDATED: 4,
    EventType.ENDED: 5,
}
# Of two ends that nothing else orders, the one that says more counts.
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
START_EVENTS: Final = frozenset({EventType.CREATED, EventType.RINGING})
CONNECT_EVENTS: Final = frozenset({EventType.ANSWERED, EventType.BRIDGED})
ANSWER_EVENTS: Final = CONNECT_EVENTS | {EventType.ANSWERED_BY}


def rank(event: CallEvent) -> tuple[int, int, str]:
    """
    What orders two events of the same time: how far the leg has come, why it ended, and at last
    their text.
    """
    return (RANKS[event.event_type], CAUSE_RANKS[event.hangup_cause], to_json((event,)))


def in_order(events: Sequence[CallEvent]) -> list[tuple[datetime, CallEvent]]:
    """
    The events of one leg in their true order, each with the time at which it counts (UTC).

    Sequence numbers come first. They count per leg, so that they say nothing between two legs. An
    event without one takes its place by its time: a numbered event counts no earlier than the
    numbered ones before it, which keeps both orders free of contradiction.
    """
    numbered = sorted(
        ((event.sequence, event) for event in events if event.sequence is not None),
        key=lambda pair: (pair[0], pair[1].occurred_at or MIN_UTC, rank(pair[1])),
    )
    placed: list[tuple[datetime, int, CallEvent]] = []
    latest = MIN_UTC
    for sequence, event in numbered:
        latest = max(latest, event.occurred_at or MIN_UTC)
        placed.append((latest, sequence, event))
    placed.extend(
        (event.occurred_at or MIN_UTC, -1, event) for event in events if event.sequence is None
    )
    placed.sort(key=lambda each: (each[0], each[1], each[2].occurred_at or MIN_UTC, rank(each[2])))
    return [(counts_at, event) for counts_at, _, event in placed]


def furthest(stages: Iterable[Stage]) -> Stage:
    """The furthest of some stages; `UNKNOWN` if there is none."""
    return max(stages, key=STAGE_ORDER.index, default=Stage.UNKNOWN)


def earlier_by(moment: datetime, seconds: int) -> datetime:
    """So many seconds before a moment, or the moment itself where that would leave the calendar."""
    try:
        return moment - timedelta(seconds=seconds)
    except OverflowError:
        return moment


def fold_leg(leg_id: str, events: Sequence[CallEvent]) -> Leg:
    """
    Fold the events of one leg, given in their true order.

    The stage is the furthest that any event reached. Of several ends the last one that gives a
    cause decides it. An event with an unknown word gives its addresses and its time, and never a
    stage, a cause or an answer.
    """
    known = [event for event in events if event.event_type is not EventType.UNKNOWN]
    answers = [event for event in known if event.event_type in ANSWER_EVENTS]
    ends = _with_causes(
        [event for event in known if event.event_type is EventType.ENDED], has_answer=bool(answers)
    )
    cause = _last(ends, lambda event: event.hangup_cause)
    stage = furthest(STAGES[event.event_type] for event in known)
    # Some exchanges tell of legs that are to be joined before anybody has picked up: one that then
    # failed never was.
    is_told = (
        bool(answers)
        if cause is None
        else any(event.event_type is not EventType.BRIDGED for event in answers)
    )
    is_answered = cause is HangupCause.COMPLETED or (
        cause in {None, HangupCause.FAILED} and is_told
    )
    answered_at = min(
        (
            e.occurred_at
            for e in known
            if e.event_type in CONNECT_EVENTS and e.occurred_at is not None
        ),
        default=None,
    )
    ended_at = _last(ends, lambda event: event.occurred_at)
    stated_s = _last(
        [event for event in ends if event.hangup_cause is cause], lambda event: event.duration_s
    )
    duration_s = None
    if ends:
        duration_s = (
            _duration_s(stated_s, answered_at, ended_at) if is_answered or cause is None else 0
        )
    parent_leg_id = _last(events, lambda event: event.parent_leg_id)
    return Leg(
        leg_id=leg_id,
        parent_leg_id=None if parent_leg_id == leg_id else parent_leg_id,
        party=_last(events, lambda event: event.party),
        direction=_last(events, lambda event: event.direction),
        from_number=_last(events, lambda event: event.from_number),
        to_number=_last(events, lambda event: event.to_number),
        stage=stage,
        is_answered=is_answered,
        is_bridged=is_answered and any(event.event_type is EventType.BRIDGED for event in known),
        started_at=_started_at(events, ended_at, duration_s),
        answered_at=answered_at if is_answered else None,
        ended_at=ended_at,
        duration_s=duration_s,
        answered_by=_last(known, lambda event: event.answered_by),
        hangup_cause=cause,
        unknown_values=tuple(
            sorted(
                {
                    event.vendor_status or "unknown"
                    for event in events
                    if event.event_type is EventType.UNKNOWN
                }
            )
        ),
        vendor_status=_last(
            [event for event in known if STAGES[event.event_type] is stage],
            lambda event: event.vendor_status,
        ),
    )


def _with_causes(ends: list[CallEvent], *, has_answer: bool) -> list[CallEvent]:
    """The ends of a leg with what `hung_up` means on it: nothing beside an end that says more."""
    if all(event.hangup_cause is not HangupCause.HUNG_UP for event in ends):
        return ends
    meant: HangupCause | None = HangupCause.COMPLETED if has_answer else HangupCause.CANCELLED
    if any(event.hangup_cause not in {None, HangupCause.HUNG_UP} for event in ends):
        meant = None
    return [
        replace(event, hangup_cause=meant) if event.hangup_cause is HangupCause.HUNG_UP else event
        for event in ends
    ]


def _last(events: Sequence[CallEvent], read: Callable[[CallEvent], T | None]) -> T | None:
    return next((value for value in map(read, reversed(events)) if value is not None), None)


def _duration_s(
    stated_s: int | None, answered_at: datetime | None, ended_at: datetime | None
) -> int | None:
    if stated_s is not None or answered_at is None or ended_at is None:
        return stated_s
    return max(0, round((ended_at - answered_at).total_seconds()))


def _started_at(
    events: Sequence[CallEvent], ended_at: datetime | None, duration_s: int | None
) -> datetime | None:
    # A leg of which only the end was told began at least its talk time before.
    times = [event.occurred_at for event in events if event.occurred_at is not None]
    has_start = any(
        event.event_type in START_EVENTS and event.occurred_at is not None for event in events
    )
    if ended_at is not None and duration_s is not None and not has_start:
        times.append(earlier_by(ended_at, duration_s))
    return min(times, default=None)
