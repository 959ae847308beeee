"""
Upkeep of the index of calls: calls that were stored before there was one are put into it, calls
that have expired are taken out.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from service.errors import MalformedPayload
from service.store import index_scripts, script_calls
from service.store.call_ids import CallIds
from service.store.call_index import ALL_CALLS, INDEXED, buckets_of
from service.store.calls import StoredCall, pack_record, read_call
from service.store.delivery_record import DeliveryRecord
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# How many keys Redis visits per step of SCAN.
SCAN_COUNT: Final = 1000
# Calls that are looked at for their expiry per round trip.
PAGE: Final = 500
# The worker that indexes has so long for a step: if it dies, another one goes on.
LOCK_MS: Final = 60_000
LOCK: Final = "calls_indexed_lock"
CURSOR: Final = "calls_indexed_cursor"
TRIED: Final = "calls_indexed_tried"
DONE: Final = "calls_indexed"


class CallIndexing(Struct, frozen=True):
    """
    Works in steps that others may go on with. `calls_indexed` is set once all old calls have been
    seen; until then `calls_indexed_cursor` says how far SCAN has come, and `calls_indexed_tried`
    from where a step was begun.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    ids: CallIds
    keep_calls_ms: int

    async def is_done(self) -> bool:
        """Whether all calls have been seen."""
        return await self.redis.get(self.keys.named(DONE)) == INDEXED

    async def reopen(self) -> None:
        """Have all calls looked at once more."""
        names = [self.keys.named(name) for name in (DONE, CURSOR, TRIED)]
        await self.redis.delete(*names)

    async def lock(self, worker_id: str) -> bool:
        """Be the one that indexes, for a while; False if another worker is."""
        call = script_calls.put(name=LOCK, value=worker_id, ttl_ms=LOCK_MS, mode="own")
        return await self.scripts.run(call)

    async def next_calls(self) -> tuple[list[StoredCall], int]:
        """
        The next calls that may not be indexed yet, some or none, and the cursor to `advance` to
        once they are. Their names are indexed by this.
        """
        start = await self.redis.get(self.keys.named(CURSOR)) or b"0"
        # Begun before, and not ended: its worker has died, or a call breaks it, which must not be
        # read for ever.
        is_second_try = await self.redis.get(self.keys.named(TRIED)) == start
        await self._put(TRIED, start.decode())
        cursor = int(start)
        prefix = self.keys.call("")
        cursor, names = await self.redis.scan(cursor, match=f"{prefix}*", count=SCAN_COUNT)
        keys = [name.decode() for name in names]
        await self.ids.add([key.removeprefix(prefix) for key in keys])
        pipe = self.redis.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        calls = []
        for key, fields in zip(keys, await pipe.execute(), strict=True):
            try:
                call = read_call(key.removeprefix(prefix), fields)
            # What is damaged is set aside by its next job.
            except MalformedPayload:
                continue
            if call.version and call.record.parties is None:
                calls.append(call)
        if is_second_try:
            await self.advance(cursor)
        return calls, cursor

    async def advance(self, cursor: int) -> None:
        """Go on from there the next time; 0 if all calls have been seen."""
        await self._put(CURSOR, str(cursor))
        if cursor == 0:
            await self._put(DONE, INDEXED.decode())
            await self.redis.delete(self.keys.named(TRIED))

    async def index(self, call: StoredCall, record: DeliveryRecord) -> bool:
        """Index a call, whose record now has its parties; False if it was written meanwhile."""
        last_at = record.last_received_at or record.first_received_at
        last_ms = 1
        if last_at is not None:
            last_ms = int(last_at.timestamp() * 1000)
        index_call = index_scripts.index(
            ref=record.ref,
            version=call.version,
            compressed_record=pack_record(record),
            last_ms=last_ms,
            keep_call_ms=self.keep_calls_ms,
            buckets=sorted(buckets_of(record)),
        )
        return await self.scripts.run(index_call)

    async def drop_expired(self, *, before_ms: int, after_ms: int) -> tuple[int, int | None]:
        """
        Take calls that have expired out of the sorted set of all and the index of names, of those
        whose last message came from `after_ms` to `before_ms` (ms since the epoch), the oldest
        first.

        Returns how many, and where to go on: None if that was all.
        """
        all_calls = self.keys.named(ALL_CALLS)
        members = await self.redis.zrangebyscore(
            all_calls, after_ms, before_ms, start=0, num=PAGE, withscores=True
        )
        refs = [name_in(ref) for ref, _ in members]
        count = await self.ids.drop_expired(await self._expired(refs))
        if len(members) < PAGE:
            return count, None
        # More than a page of one millisecond would be read again and again.
        return count, max(int(members[-1][1]), after_ms + 1)

    async def drop_expired_ids(self, *, first: str | None) -> str | None:
        """
        Take calls that have expired out of a page of the index of names, such as a version before
        it has left there. `first` is what the call before returned; returns where to go on, None
        after the last page.
        """
        names, next_first = await self.ids.next_page(first)
        await self.ids.drop_expired(await self._expired(names))
        return next_first

    async def _expired(self, refs: Sequence[str]) -> list[str]:
        pipe = self.redis.pipeline(transaction=False)
        for ref in refs:
            pipe.exists(self.keys.call(ref), self.keys.pending(ref))
        counts: list[int] = await pipe.execute()
        return [ref for ref, count in zip(refs, counts, strict=True) if count == 0]

    async def _put(self, name: str, value: str) -> None:
        await self.scripts.run(script_calls.put(name=name, value=value, ttl_ms=0))
