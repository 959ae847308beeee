"""
Calls that may answer a question: from the narrowest index that applies, else from all.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from service.store.call_index import (
    ALL_CALLS,
    MOST,
    agent_bucket,
    buildr_bucket,
    customer_bucket,
    line_bucket,
)
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys, name_in
from service.store.listed_call import CallQuery, Place
from service.store.redis_client import Client

# Calls per round trip, at most: the first ones are of as many calls as a page shows.
CHUNK: Final = 500
# A sorted set of a state is read whole if it is no longer.
MOST_OF_STATE: Final = 5000
# These states have a sorted set of their own.
STATE_SETS: Final = frozenset(
    {DeliveryState.UNMATCHED.value, DeliveryState.STALLED.value, DeliveryState.FAILED.value}
)


class Candidate(NamedTuple):
    """
    A call that may fit: its place in the order of the list, and when its last message came (ms
    since the epoch).
    """

    place: Place
    last_ms: int

    @property
    def ref(self) -> str:
        """The name of the call."""
        return self.place[1]


class Candidates(Struct, frozen=True):
    """Reads the indexes."""

    redis: Client
    keys: Keys

    async def chunks(
        self, query: CallQuery, start: Place | None, *, limit: int
    ) -> AsyncIterator[list[Candidate]]:
        """
        Calls that may fit, the newest first, in chunks; each once. Of a state alone these are the
        calls that came into it last.
        """
        if _is_of_state_alone(query):
            name = self.keys.named(str(query.state))
            async for chunk in self._walk(name, start, first_chunk=limit + 1):
                # `failed` holds ids of messages too.
                yield await self._with_last_ms([place for place in chunk if ":" in place[1]])
            return
        async for chunk in self._by_last_message(query, start, limit=limit):
            yield [Candidate(place, place[0]) for place in chunk]

    async def _with_last_ms(self, places: Sequence[Place]) -> list[Candidate]:
        last_ms = await self._last_ms([ref for _, ref in places])
        return [Candidate(place, last_ms[place[1]]) for place in places if place[1] in last_ms]

    async def _last_ms(self, refs: Sequence[str]) -> dict[str, int]:
        """When the last message of each call came; without those that have expired."""
        if not refs:
            return {}
        pipe = self.redis.pipeline(transaction=False)
        pipe.zmscore(self.keys.named(ALL_CALLS), list(refs))
        scores: list[float | None] = (await pipe.execute())[0]
        return {ref: int(at) for ref, at in zip(refs, scores, strict=True) if at is not None}

    async def _by_last_message(
        self, query: CallQuery, start: Place | None, *, limit: int
    ) -> AsyncIterator[list[Place]]:
        buckets = await self._buckets(query)
        if buckets is None:
            async for chunk in self._all_calls(query, start, first_chunk=limit + 1):
                yield chunk
            return
        places, floor_ms = buckets
        chosen = _chosen(places, floor_ms, query, start)
        first = 0
        count = limit + 1
        while first < len(chosen):
            yield chosen[first : first + count]
            first += count
            count = min(2 * count, CHUNK)
        if floor_ms is None:
            return
        seen = {ref for _, ref in chosen}
        below = min(start or (floor_ms + 1, ""), (floor_ms + 1, ""))
        async for chunk in self._all_calls(query, below, first_chunk=CHUNK):
            if rest := [place for place in chunk if place[1] not in seen]:
                yield rest

    async def _buckets(self, query: CallQuery) -> tuple[list[Place], int | None] | None:
        """
        The calls of the narrowest index that applies, and the time below which there may be others;
        None if no index applies.
        """
        if query.buildr_call_id is not None:
            return await self._read_buckets([buildr_bucket(query.buildr_call_id)])
        if query.number is not None:
            return await self._read_buckets(
                [customer_bucket(query.number), line_bucket(query.number)]
            )
        if query.agent is not None:
            places, floor_ms = await self._read_buckets([agent_bucket(query.agent)])
            # An empty one may be a part of a name, which is looked for among all.
            if places:
                return places, floor_ms
        if query.state in STATE_SETS:
            return await self._read_state_set(query.state)
        return None

    async def _read_buckets(self, names: Iterable[str]) -> tuple[list[Place], int | None]:
        places: dict[str, int] = {}
        floor_ms = None
        for name in names:
            members = _places(
                await self.redis.zrevrange(self.keys.named(name), 0, -1, withscores=True)
            )
            places.update({ref: at for at, ref in members})
            if len(members) >= MOST:
                floor_ms = max(floor_ms or 0, members[-1][0])
        return [(at, ref) for ref, at in places.items()], floor_ms

    async def _read_state_set(self, state: str) -> tuple[list[Place], None] | None:
        refs = await self.redis.zrange(self.keys.named(state), 0, MOST_OF_STATE)
        if len(refs) > MOST_OF_STATE:
            return None
        # `failed` holds ids of messages too.
        last_ms = await self._last_ms([name_in(ref) for ref in refs if b":" in ref])
        return [(at, ref) for ref, at in last_ms.items()], None

    async def _all_calls(
        self, query: CallQuery, start: Place | None, *, first_chunk: int
    ) -> AsyncIterator[list[Place]]:
        lowest = "-inf"
        if query.since is not None:
            lowest = str(_ms(query.since))
        highest = "+inf"
        if query.until is not None:
            highest = f"({_ms(query.until)}"
            if start is not None and start[0] >= _ms(query.until):
                start = None
        walk = self._walk(
            self.keys.named(ALL_CALLS),
            start,
            first_chunk=first_chunk,
            lowest=lowest,
            highest=highest,
        )
        async for chunk in walk:
            yield chunk

    async def _walk(
        self,
        name: str,
        start: Place | None,
        *,
        first_chunk: int,
        lowest: str = "-inf",
        highest: str = "+inf",
    ) -> AsyncIterator[list[Place]]:
        """The members of a sorted set below a place, the highest first."""
        last = start
        count = min(first_chunk, CHUNK)
        skipped = 0
        while True:
            if last is not None:
                highest = str(last[0])
            members = _places(
                await self.redis.zrevrangebyscore(
                    name, highest, lowest, start=skipped, num=count, withscores=True
                )
            )
            chunk = [place for place in members if last is None or place < last]
            if chunk:
                yield chunk
                last = chunk[-1]
                skipped = 0
            else:
                # More calls than a chunk came in one millisecond.
                skipped += count
            if len(members) < count:
                return
            # Often the first calls fit; where few do, small steps would cost round trips.
            count = min(2 * count, CHUNK)


def _is_of_state_alone(query: CallQuery) -> bool:
    """Whether a state that has a sorted set is what is asked for, without a narrower index."""
    others = (query.buildr_call_id, query.number, query.agent, query.since, query.until)
    return query.state in STATE_SETS and all(value is None for value in others)


def _chosen(
    places: Iterable[Place], floor_ms: int | None, query: CallQuery, start: Place | None
) -> list[Place]:
    """The places of a page, the newest first. Below the floor others are found among all calls."""
    within = [place for place in places if _is_within(place, query, start)]
    if floor_ms is not None:
        within = [place for place in within if place[0] >= floor_ms]
    return sorted(within, reverse=True)


def _is_within(place: Place, query: CallQuery, start: Place | None) -> bool:
    at = place[0]
    return (
        (start is None or place < start)
        and (query.since is None or at >= _ms(query.since))
        and (query.until is None or at < _ms(query.until))
    )


def _places(members: Iterable[tuple[bytes, float]]) -> list[Place]:
    return [(int(score), name_in(ref)) for ref, score in members]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
