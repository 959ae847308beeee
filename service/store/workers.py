"""
The workers that are alive, and the outcome map by which each decides.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from service.store import script_calls
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts
from service.store.stored_values import read_integer

# A worker whose key has expired counts as dead, and its calls are taken over.
# Four beats. Shorter, a worker whose event loop is busy for some seconds would have its calls run
# twice; longer, the calls of a killed one would wait.
HEARTBEAT_TTL_MS: Final = 6000
# A digest lives in a hash and cannot expire by itself: one that is older is not reported.
DIGEST_MAX_AGE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
# What `beat.lua` writes.
INDEXES: Final = b"indexes"


class Beat(Struct, frozen=True, kw_only=True):
    """
    What a heartbeat has found: the present (UTC), whether Redis is full, and by how much the
    present is ahead of its clock, which was set back.
    """

    at: datetime
    is_full: bool
    set_back: timedelta


class Workers(Struct, frozen=True):
    """
    Heartbeats and outcome maps, by worker id.

    `worker:ID` is a string that expires 6 seconds after the last heartbeat, `indexes` for a worker
    of a version that knows the index of calls, else a time or empty; the script `sweep`
    takes over the calls of a worker without one. `maps` is a hash of `<ms since the
    epoch>:<digest>` per worker. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys
    scripts: Scripts

    async def beat(self, worker_id: str, *, map_digest: str, is_first: bool = False) -> Beat:
        """
        Write a worker's heartbeat, and the digest of the outcome map by which it decides; also
        where Redis is full. `is_first` since this worker started.
        """
        call = script_calls.beat(
            worker_id=worker_id,
            ttl_ms=HEARTBEAT_TTL_MS,
            map_digest=map_digest,
            is_first=is_first,
        )
        now_ms, is_full, set_back_ms = await self.scripts.run(call)
        return Beat(
            at=datetime.fromtimestamp(now_ms / 1000, UTC),
            is_full=bool(is_full),
            set_back=timedelta(milliseconds=set_back_ms),
        )

    async def remove(self, worker_id: str) -> None:
        """Remove a worker that ends, so that others take over its calls at once."""
        await self.redis.delete(self.keys.named(f"worker:{worker_id}"))
        await self.redis.hdel(self.keys.named("maps"), worker_id)

    async def count(self) -> int:
        """How many workers have written a heartbeat in the last 6 seconds."""
        # The heartbeats of those that ever wrote a map: a counter would be wrong after the first
        # worker that was killed, and a SCAN visits every call that is stored.
        pipe = self.redis.pipeline(transaction=False)
        for worker_id in await self.redis.hgetall(self.keys.named("maps")):
            pipe.exists(self.keys.named(f"worker:{name_in(worker_id)}"))
        return sum(await pipe.execute())

    async def has_older(self) -> bool:
        """Whether a worker is alive whose version writes calls without their index."""
        pipe = self.redis.pipeline(transaction=False)
        for worker_id in await self.redis.hgetall(self.keys.named("maps")):
            pipe.get(self.keys.named(f"worker:{name_in(worker_id)}"))
        # None for one that has died: what it wrote last is looked at by the pass that comes now.
        return any(value not in (None, INDEXES) for value in await pipe.execute())

    async def forget_dead(self) -> int:
        """
        Drop what killed workers have left in `maps`, a day after their last heartbeat; returns how
        many they were.
        """
        oldest_ms = await self.scripts.run(script_calls.now()) - DAY_MS
        dead_ids = [
            name_in(worker_id)
            for worker_id, value in (await self.redis.hgetall(self.keys.named("maps"))).items()
            if (read_integer(value.partition(b":")[0]) or 0) < oldest_ms
        ]
        if dead_ids:
            await self.redis.hdel(self.keys.named("maps"), *dead_ids)
        return len(dead_ids)

    async def map_digests(self) -> Mapping[str, str]:
        """The digest of the outcome map of each worker that has written one in the last minute."""
        oldest_ms = await self.scripts.run(script_calls.now()) - DIGEST_MAX_AGE_MS
        digests = {}
        for worker_id, value in (await self.redis.hgetall(self.keys.named("maps"))).items():
            written_ms, _, digest = value.partition(b":")
            if (read_integer(written_ms) or 0) > oldest_ms:
                digests[name_in(worker_id)] = name_in(digest)
        return digests
