"""
The workers that are alive, and the outcome map by which each decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.store.keys import Keys
from service.store.redis_client import Client

# A worker whose key has expired counts as dead, and its calls are taken over.
# Four beats. Shorter, a worker whose event loop is busy for some seconds would have its calls run
# twice; longer, the calls of a killed one would wait.
HEARTBEAT_TTL_MS: Final = 6000
# A digest lives in a hash and cannot expire by itself: one that is older is not reported.
DIGEST_MAX_AGE_MS: Final = 60_000
SCAN_COUNT: Final = 1000


@dataclass(frozen=True, slots=True)
class Workers:
    """
    Heartbeats and outcome maps, by worker id.

    `worker:ID` is a string that expires 6 seconds after the last heartbeat; the script `sweep`
    takes over the calls of a worker without one. `maps` is a hash of `<ms since the
    epoch>:<digest>` per worker. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys

    def health_key(self, worker_id: str) -> str:
        """The key under which arq itself keeps the figures of a worker."""
        return f"{self.keys.queue}:health:{worker_id}"

    async def beat(self, worker_id: str, *, at: datetime, map_digest: str) -> None:
        """Write a worker's heartbeat, and the digest of the outcome map by which it decides."""
        key = self.keys.named(f"worker:{worker_id}")
        await self.redis.set(key, at.isoformat(), px=HEARTBEAT_TTL_MS)
        digest = f"{int(at.timestamp() * 1000)}:{map_digest}"
        await self.redis.hset(self.keys.named("maps"), worker_id, digest)

    async def remove(self, worker_id: str) -> None:
        """Remove a worker that ends, so that others take over its calls at once."""
        await self.redis.delete(self.health_key(worker_id), self.keys.named(f"worker:{worker_id}"))
        await self.redis.hdel(self.keys.named("maps"), worker_id)

    async def count(self) -> int:
        """How many workers have written a heartbeat in the last 6 seconds."""
        pattern = self.keys.named("worker:*")
        # SCAN, for status output only: a counter would be wrong after the first worker that was
        # killed.
        return len([key async for key in self.redis.scan_iter(match=pattern, count=SCAN_COUNT)])

    async def map_digests(self) -> Mapping[str, str]:
        """The digest of the outcome map of each worker that has written one in the last minute."""
        seconds, micros = await self.redis.time()
        oldest_ms = seconds * 1000 + micros // 1000 - DIGEST_MAX_AGE_MS
        digests = {}
        for worker_id, value in (await self.redis.hgetall(self.keys.named("maps"))).items():
            written_ms, _, digest = value.decode().partition(":")
            if int(written_ms) > oldest_ms:
                digests[worker_id.decode()] = digest
        return digests
