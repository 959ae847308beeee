"""
One leg of a call, folded from its events.

`workers.calls.event_order` puts the events in order; this module says what they make together.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Final, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
)
from workers.calls.conferences import ConferenceStay, read_stays

T = TypeVar("T")


class Stage(StrEnum):
    """How far a call or a leg has come, in this order."""

    UNKNOWN = "unknown"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"


class Leg(Struct, frozen=True, kw_only=True):
    """
    One leg of a call, folded from the events that name it.

    `is_answered`: a human or a machine picked up; `is_bridged`: it was then joined with another
    leg, `is_never_bridged`: the vendor states that it was not. Times are UTC: `started_at` is when
    anything is first known of it, `rang_at` when it was set up or rang, None if no event says so.
    `is_transferred`: its agent passed the call on.
    `duration_s` is the talk time in seconds, 0 if the leg ended unanswered and None if it is
    unknown or not over. `vendor_status` is the vendor's own name of the event that set the stage,
    `unknown_values` are the vendor's values that no table has.
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
    is_never_bridged: bool = False
    started_at: datetime | None = None
    rang_at: datetime | None = None
    answered_at: datetime | None = None
    bridged_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None
    hangup_cause: HangupCause | None = None
    agent: str | None = None
    is_transferred: bool = False
    conference_stays: tuple[ConferenceStay, ...] = ()
    unknown_values: tuple[str, ...] = field(default=(), name="unknown_words")
    vendor_status: str | None = field(default=None, name="word")

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
    EventType.JOINED: Stage.IN_PROGRESS,
    EventType.LEFT: Stage.IN_PROGRESS,
    EventType.ENDED: Stage.ENDED,
    EventType.UPDATED: Stage.UNKNOWN,
    EventType.UNKNOWN: Stage.UNKNOWN,
}
STAGE_ORDER: Final = tuple(Stage)
# Made once: a fold reads each of these for every leg.
READ_HANGUP_CAUSE: Final = attrgetter("hangup_cause")
READ_OCCURRED_AT: Final = attrgetter("occurred_at")
READ_PARTY: Final = attrgetter("party")
READ_DIRECTION: Final = attrgetter("direction")
READ_FROM_NUMBER: Final = attrgetter("from_number")
READ_TO_NUMBER: Final = attrgetter("to_number")
READ_IS_BRIDGED: Final = attrgetter("is_bridged")
READ_ANSWERED_BY: Final = attrgetter("answered_by")
READ_AGENT: Final = attrgetter("agent")
READ_DURATION_S: Final = attrgetter("duration_s")
READ_PARENT_LEG_ID: Final = attrgetter("parent_leg_id")
READ_VENDOR_STATUS: Final = attrgetter("vendor_status")
START_EVENTS: Final = frozenset({EventType.CREATED, EventType.RINGING})
CONNECT_EVENTS: Final = frozenset({EventType.ANSWERED, EventType.BRIDGED})
BRIDGE_EVENTS: Final = frozenset({EventType.BRIDGED})
END_EVENTS: Final = frozenset({EventType.ENDED})
ANSWER_EVENTS: Final = CONNECT_EVENTS | {EventType.ANSWERED_BY}


def furthest(stages: Iterable[Stage]) -> Stage:
    """The furthest of some stages; `UNKNOWN` if there is none."""
    return max(stages, key=STAGE_ORDER.index, default=Stage.UNKNOWN)


def fold_leg(leg_id: str, events: Sequence[CallEvent]) -> Leg:
    """
    Fold the events of one leg, which are in their true order.

    The stage is the furthest that any event reached. Of several ends the last one with a cause
    decides. An event of type `UNKNOWN` gives its addresses and its time, and never a stage, a cause
    or an answer.
    """
    recognised = [event for event in events if event.event_type is not EventType.UNKNOWN]
    starts = _of_types(recognised, START_EVENTS)
    answers = _of_types(recognised, ANSWER_EVENTS)
    ends = _with_causes(_of_types(recognised, END_EVENTS), has_answer=bool(answers))
    cause = _last(ends, READ_HANGUP_CAUSE)
    is_answered = _is_answered(answers, cause)
    answered_at = None
    if is_answered:
        answered_at = _connected_at(answers)
    ended_at = _last(ends, READ_OCCURRED_AT)
    duration_s = _talk_time_s(
        ends, cause, is_answered=is_answered, answered_at=answered_at, ended_at=ended_at
    )
    stage = furthest({STAGES[event.event_type] for event in recognised})
    bridges = _of_types(answers, BRIDGE_EVENTS)
    return Leg(
        leg_id=leg_id,
        parent_leg_id=_parent_leg_id(leg_id, events),
        party=_last(events, READ_PARTY),
        direction=_last(events, READ_DIRECTION),
        from_number=_last(events, READ_FROM_NUMBER),
        to_number=_last(events, READ_TO_NUMBER),
        stage=stage,
        is_answered=is_answered,
        is_bridged=is_answered and bool(bridges),
        is_never_bridged=_last(recognised, READ_IS_BRIDGED) is False,
        started_at=_started_at(events, starts, ended_at, duration_s),
        rang_at=_first_time(starts),
        answered_at=answered_at,
        bridged_at=_first_time(bridges),
        ended_at=ended_at,
        duration_s=duration_s,
        answered_by=_last(recognised, READ_ANSWERED_BY),
        hangup_cause=cause,
        agent=_last(events, READ_AGENT),
        is_transferred=any(event.is_transferred for event in events),
        conference_stays=read_stays(recognised, ended_at=ended_at),
        unknown_values=_unknown_values(events, recognised),
        vendor_status=_vendor_status(recognised, stage),
    )


def _of_types(events: Iterable[CallEvent], types: Collection[EventType]) -> list[CallEvent]:
    return [event for event in events if event.event_type in types]


def _last(events: Sequence[CallEvent], read: Callable[[CallEvent], T | None]) -> T | None:
    for event in reversed(events):
        value = read(event)
        if value is not None:
            return value
    return None


def _with_causes(ends: list[CallEvent], *, has_answer: bool) -> list[CallEvent]:
    """
    The ends of a leg, with `HUNG_UP` replaced by what it means on this leg.

    It is `COMPLETED` after an answer and `CANCELLED` without one, and no cause at all beside an end
    with a more precise one.
    """
    causes = {event.hangup_cause for event in ends}
    if HangupCause.HUNG_UP not in causes:
        return ends
    cause: HangupCause | None = None
    if causes <= {HangupCause.HUNG_UP, None}:
        cause = HangupCause.COMPLETED if has_answer else HangupCause.CANCELLED
    return [_with_cause(event, cause) for event in ends]


def _with_cause(event: CallEvent, cause: HangupCause | None) -> CallEvent:
    if event.hangup_cause is not HangupCause.HUNG_UP:
        return event
    return replace(event, hangup_cause=cause)


def _is_answered(answers: Sequence[CallEvent], cause: HangupCause | None) -> bool:
    if cause is None:
        return bool(answers)
    if cause is HangupCause.FAILED:
        # Some exchanges report that two legs are to be joined before anybody has picked up: of a
        # leg that then failed, `BRIDGED` alone proves no answer.
        return any(event.event_type is not EventType.BRIDGED for event in answers)
    return cause is HangupCause.COMPLETED


def _connected_at(answers: Sequence[CallEvent]) -> datetime | None:
    """The earliest time of an answer or a join; what answered is detected later than that."""
    return _first_time(_of_types(answers, CONNECT_EVENTS))


def _first_time(events: Iterable[CallEvent]) -> datetime | None:
    return min(_times(events), default=None)


def _times(events: Iterable[CallEvent]) -> list[datetime]:
    return [event.occurred_at for event in events if event.occurred_at is not None]


def _talk_time_s(
    ends: Sequence[CallEvent],
    cause: HangupCause | None,
    *,
    is_answered: bool,
    answered_at: datetime | None,
    ended_at: datetime | None,
) -> int | None:
    """The talk time in seconds that the deciding end states, else the time from answer to end."""
    if not ends:
        return None
    if cause is not None and not is_answered:
        return 0
    deciding_ends = [event for event in ends if event.hangup_cause is cause]
    stated_s = _last(deciding_ends, READ_DURATION_S)
    if stated_s is not None or answered_at is None or ended_at is None:
        return stated_s
    return max(0, round((ended_at - answered_at).total_seconds()))


def _started_at(
    events: Sequence[CallEvent],
    starts: Sequence[CallEvent],
    ended_at: datetime | None,
    duration_s: int | None,
) -> datetime | None:
    times = _times(events)
    has_start = bool(_times(starts))
    # A leg of which only the end is known began at least its talk time before.
    if ended_at is not None and duration_s is not None and not has_start:
        times.append(_seconds_before(ended_at, duration_s))
    return min(times, default=None)


def _seconds_before(moment: datetime, seconds: int) -> datetime:
    """That many seconds before a moment; the moment itself if that would be before the year 1."""
    try:
        return moment - timedelta(seconds=seconds)
    except OverflowError:
        return moment


def _parent_leg_id(leg_id: str, events: Sequence[CallEvent]) -> str | None:
    parent_leg_id = _last(events, READ_PARENT_LEG_ID)
    # A leg is not its own parent, whatever its source states.
    if parent_leg_id == leg_id:
        return None
    return parent_leg_id


def _unknown_values(events: Sequence[CallEvent], recognised: Sized) -> tuple[str, ...]:
    if len(recognised) == len(events):
        return ()
    unknown = [event for event in events if event.event_type is EventType.UNKNOWN]
    return tuple(sorted({event.vendor_status or "unknown" for event in unknown}))


def _vendor_status(recognised: Sequence[CallEvent], stage: Stage) -> str | None:
    reached_by = [event for event in recognised if STAGES[event.event_type] is stage]
    return _last(reached_by, READ_VENDOR_STATUS)
