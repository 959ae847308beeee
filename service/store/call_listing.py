"""
The calls that fit a question, page by page, the newest first: for people who look for a call.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from service.store.call_candidates import Candidate, Candidates
from service.store.call_ids import MOST_COMPARED, CallIds
from service.store.call_index import ALL_CALLS, INDEXED
from service.store.keys import Keys, name_in
from service.store.listed_call import (
    UNREAD,
    UNREADABLE,
    CallQuery,
    ListedCall,
    Place,
    fits,
    listed_at,
    phrases_of,
)
from service.store.record_reading import read_packed
from service.store.redis_client import Client

__all__ = ["UNREAD", "UNREADABLE", "CallListing", "CallPage", "CallQuery", "ListedCall"]

# Calls that are read for one page: a question that few calls answer must not keep Redis busy.
MOST_READ: Final = 2000
# How many keys Redis compares with a part of a name per round trip: some milliseconds of its time.
SCAN_COUNT: Final = 10_000
CURSOR: Final = re.compile(r"(\d{1,16})-(\S+:\S+)")


class CallPage(Struct, frozen=True, kw_only=True):
    """
    One page, and the cursor of the next one: None for the last page. A page may be short, even
    empty, and not the last one: `looked_at` calls were read for it, and then it ended.
    """

    calls: tuple[ListedCall, ...]
    after: str | None
    looked_at: int


class _Found(Struct):
    """What is gathered for one page."""

    limit: int
    calls: list[tuple[Place, ListedCall]] = field(default_factory=list)
    looked_at: int = 0
    last: Place | None = None

    @property
    def is_full(self) -> bool:
        return len(self.calls) > self.limit or self.looked_at >= MOST_READ

    def page(self, *, is_exhausted: bool) -> CallPage:
        after = None
        if len(self.calls) > self.limit:
            after = self.calls[self.limit - 1][0]
        elif not is_exhausted:
            after = self.last
        cursor = None
        if after is not None:
            cursor = f"{after[0]}-{after[1]}"
        calls = tuple(call for _, call in self.calls[: self.limit])
        return CallPage(calls=calls, after=cursor, looked_at=self.looked_at)


class CallListing(Struct, frozen=True):
    """Finds calls by what people know of them."""

    redis: Client
    keys: Keys
    ids: CallIds

    async def page(
        self, query: CallQuery, *, limit: int = 50, after: str | None = None
    ) -> CallPage:
        """
        One page of the calls that fit; `after` is the cursor of the page before. Raises ValueError
        for one that is none.
        """
        start = _read_cursor(after)
        gathered = _Found(limit)
        candidates = Candidates(self.redis, self.keys)
        phrases = phrases_of(query)
        async for chunk in candidates.chunks(query, start, limit=limit):
            for place, call in await self._read(chunk, phrases):
                gathered.looked_at += 1
                gathered.last = place
                if call is not None and fits(query, call):
                    gathered.calls.append((place, call))
                if gathered.is_full:
                    return gathered.page(is_exhausted=False)
            # Others use this process too: the console reads pages in the receiver.
            await asyncio.sleep(0)
        return gathered.page(is_exhausted=True)

    async def find(self, part: str, *, sources: Iterable[str], limit: int = 20) -> list[str]:
        """
        Names of calls of these sources that begin or end with a text, else of the newest ones
        (`call_ids.MOST_COMPARED`) that contain it: sorted, at most `limit`; for operators who have
        only a part of an id.
        """
        if await self.is_complete():
            names = await self.ids.find(part, sources=sources, limit=limit)
            return (await self.stored(names))[:limit]
        # Until then through all keys, which takes seconds where there are millions.
        prefix = self.keys.call("")
        refs: list[str] = []
        pattern = f"{prefix}*{_escape_glob(part)}*"
        async for key in self.redis.scan_iter(match=pattern, count=SCAN_COUNT):
            refs.append(key.decode().removeprefix(prefix))
            if len(refs) >= limit:
                break
        return sorted(refs)

    async def waiting(self, ref: str) -> int:
        """How many messages of a call no worker has read."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.llen(self.keys.pending(ref))
        (count,) = await pipe.execute()
        return int(count)

    async def indexed(self, name: str, *, limit: int, start: int = 0) -> list[ListedCall]:
        """
        The calls of an index (`unmatched` or `stalled`), the longest in it first, without the first
        `start` of them; without those that are gone or cannot be read.
        """
        refs = await self.redis.zrange(self.keys.named(name), start, start + limit - 1)
        names = [name_in(ref) for ref in refs]
        packed = await read_packed(self.redis, self.keys, names)
        calls = [listed_at(0, ref, record) for ref, record in zip(names, packed, strict=True)]
        return [call for call in calls if call is not None and call.state != UNREADABLE]

    async def is_complete(self) -> bool:
        """Whether calls that were stored before there was an index are in it too."""
        return await self.redis.get(self.keys.named("calls_indexed")) == INDEXED

    async def compares_all(self) -> bool:
        """Whether a part from the middle of an id is looked for among all calls."""
        # Until the index is complete, the names of all calls are compared.
        if not await self.is_complete():
            return True
        return await self.redis.zcard(self.keys.named(ALL_CALLS)) <= MOST_COMPARED

    async def stored(self, refs: Sequence[str]) -> list[str]:
        """Those that are stored: the index may name calls for a minute after they expired."""
        pipe = self.redis.pipeline(transaction=False)
        for ref in refs:
            pipe.exists(self.keys.call(ref), self.keys.pending(ref))
        return [ref for ref, count in zip(refs, await pipe.execute(), strict=True) if count]

    async def _read(
        self, chunk: Sequence[Candidate], phrases: tuple[str, ...]
    ) -> list[tuple[Place, ListedCall | None]]:
        """The calls at these places; None for one that has expired, or cannot fit."""
        refs = [candidate.ref for candidate in chunk]
        records = await read_packed(self.redis, self.keys, refs)
        return [
            (candidate.place, listed_at(candidate.last_ms, candidate.ref, packed, phrases=phrases))
            for candidate, packed in zip(chunk, records, strict=True)
        ]


def _escape_glob(text: str) -> str:
    """The text as a literal part of a pattern of Redis' SCAN."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _read_cursor(text: str | None) -> Place | None:
    if text is None:
        return None
    match = CURSOR.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not the cursor of a page")
    return int(match[1]), match[2]
