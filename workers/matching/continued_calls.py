"""
Calls that go on under another id of their source: the call under the first id takes in what is
reported under the later ones, which are no calls of their own then.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType
from service.sources import SOURCES
from service.store.connection import Store
from service.store.keys import ref_of, split_ref

# Of how many other ids one call takes in events, and how far up a chain of moves is followed.
MAX_MOVES: Final = 8


class WholeCall(Struct, frozen=True):
    """
    A call with everything that belongs to it.

    `events` are its own and those of its legs under other ids; `last_received_at` is when the last
    message came under one of these (UTC), None if none has. `first_refs` are the calls that it is a
    part of: not empty only of a call that others have moved to.
    """

    events: frozenset[CallEvent]
    last_received_at: datetime | None = None
    first_refs: tuple[str, ...] = ()

    @property
    def part_reason(self) -> str | None:
        """The sentence for an operator about a call that is a part of others; else None."""
        if not self.first_refs:
            return None
        return f"its legs come from {', '.join(self.first_refs)}, which takes in its events"


async def load_whole(
    store: Store, ref: str, events: Collection[CallEvent], *, is_registered: bool
) -> WholeCall:
    """
    A call, whose own events are given, with those that its legs have under other ids.

    With `is_registered` each call that its legs moved to learns that it is a part of this one:
    before its events are read, so that a run of it either has committed them already or sees this
    and wakes this call. Raises redis-py's errors.
    """
    source, source_call_id = split_ref(ref)
    if source not in SOURCES or not SOURCES[source].has_moving_legs:
        return WholeCall(frozenset(events))
    gathered = set(events)
    taken_in = {source_call_id}
    waiting = _moved_to(gathered)
    times: list[datetime] = []
    while waiting and len(taken_in) <= MAX_MOVES:
        other_id = waiting.pop()
        if other_id in taken_in:
            continue
        taken_in.add(other_id)
        other_ref = ref_of(source, other_id)
        if is_registered and await store.continuations.add(other_ref, first_ref=ref):
            # It may have been decided as a call of its own before.
            await store.schedule.wake(other_ref)
        other = (await store.calls.load(other_ref)).stored
        if other.record.last_received_at is not None:
            times.append(other.record.last_received_at)
        moved = moved_events(gathered, other.all_events, source_call_id=source_call_id)
        gathered |= moved
        waiting |= _moved_to(moved)
    taken_refs = {ref_of(source, call_id) for call_id in taken_in}
    return WholeCall(
        events=frozenset(gathered),
        last_received_at=max(times, default=None),
        first_refs=await _first_refs(store, ref, taken_refs),
    )


def moved_events(
    events: Iterable[CallEvent], others: Iterable[CallEvent], *, source_call_id: str
) -> set[CallEvent]:
    """
    The events of another call that belong to this one: of the legs that moved there, and of legs
    that were called there.

    Left out are another caller's leg, which has a first call of its own, and a leg that was over
    before any of ours came.
    """
    events = list(events)
    others = list(others)
    moved_legs = {event.leg_id for event in events}
    strangers = {event.leg_id for event in others if event.direction is Direction.INBOUND}
    strangers |= _over_before(_arrival(events, others), others)
    strangers -= moved_legs
    return {
        replace(event, source_call_id=source_call_id)
        for event in others
        if event.leg_id not in strangers
    }


def _arrival(events: Iterable[CallEvent], others: Iterable[CallEvent]) -> datetime | None:
    """When the first of our legs moved to the other call (UTC); None if that is not known."""
    other_ids = {event.source_call_id for event in others}
    moves = [event for event in events if event.continues_as in other_ids]
    return min((move.occurred_at for move in moves if move.occurred_at is not None), default=None)


def _over_before(arrival: datetime | None, events: Iterable[CallEvent]) -> set[str]:
    if arrival is None:
        return set()
    ends = [event for event in events if event.event_type is EventType.ENDED]
    return {end.leg_id for end in ends if end.occurred_at is not None and end.occurred_at < arrival}


def _moved_to(events: Iterable[CallEvent]) -> set[str]:
    return {event.continues_as for event in events if event.continues_as is not None}


async def _first_refs(store: Store, ref: str, taken_refs: Collection[str]) -> tuple[str, ...]:
    """
    The calls at the beginning of the chains of moves that lead here.

    Where two calls have moved into each other, the one whose name comes first takes in the other.
    """
    first_refs: set[str] = set()
    seen = {ref}
    waiting = [ref]
    while waiting and len(seen) <= MAX_MOVES:
        name = waiting.pop()
        earlier = [
            earlier_ref
            for earlier_ref in await store.continuations.first_refs(name)
            if earlier_ref not in taken_refs or earlier_ref < ref
        ]
        if not earlier and name != ref:
            first_refs.add(name)
        waiting += [earlier_ref for earlier_ref in earlier if earlier_ref not in seen]
        seen.update(earlier)
    return tuple(sorted(first_refs))
