"""
Calls that may answer a question: from the narrowest index that applies, else from all.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.store.call_index import (
    ALL_CALLS,
    MOST,
    agent_bucket,
    buildr_bucket,
    customer_bucket,
    line_bucket,
)
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys
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


@dataclass(frozen=True, slots=True)
class Candidates:
    """Reads the indexes."""

    redis: Client
    keys: Keys

    async def chunks(
        self, query: CallQuery, start: Place | None, *, limit: int
    ) -> AsyncIterator[list[Place]]:
        """Calls that may fit, the newest first, in chunks; each once."""
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
        names = [ref.decode() for ref in refs if b":" in ref]
        pipe = self.redis.pipeline(transaction=False)
        for ref in names:
            pipe.zscore(self.keys.named(ALL_CALLS), ref)
        scores: list[float | None] = await pipe.execute()
        pairs = zip(names, scores, strict=True)
        return [(int(at), ref) for ref, at in pairs if at is not None], None

    async def _all_calls(
        self, query: CallQuery, start: Place | None, *, first_chunk: int
    ) -> AsyncIterator[list[Place]]:
        lowest = "-inf"
        if query.since is not None:
            lowest = str(_ms(query.since))
        last = start
        count = min(first_chunk, CHUNK)
        skipped = 0
        while True:
            highest = "+inf"
            if query.until is not None:
                highest = f"({_ms(query.until)}"
            if last is not None and (query.until is None or last[0] < _ms(query.until)):
                highest = str(last[0])
            members = _places(
                await self.redis.zrevrangebyscore(
                    self.keys.named(ALL_CALLS),
                    highest,
                    lowest,
                    start=skipped,
                    num=count,
                    withscores=True,
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
    return [(int(score), ref.decode()) for ref, score in members]


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
