"""
The worker's heartbeat, which also proves that Redis takes writes.
"""

from dataclasses import dataclass, field
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.connection import Store
from workers.clock import SharedClock

# A worker that has not written for so long counts as dead, and its calls are taken over.
HEARTBEAT_EVERY_S: Final = 1.5


HEARTBEAT_TTL_MS: Final = 6000


MAX_MISSED_BEATS: Final = 40


class RedisRefusesWrites(Exception):
    """
    Raised when Redis has no room, is read-only, or stayed away: the worker must end, so that its
    supervisor notices.
    """


@dataclass(slots=True)
class Heartbeat:
    """
    Writes a key every few moments: the sign of life by which others know that this worker's calls
    are in good hands.

    It also proves that Redis takes writes: arq takes every error of Redis for "already running" and
    would idle without a word. `map_digest` tells by which outcome map this worker decides.
    """

    store: Store
    worker_id: str
    clock: SharedClock
    map_digest: str
    _lost: int = field(default=0, init=False)

    async def turn(self) -> None:
        """Write once. Raises `RedisRefusesWrites`."""
        try:
            now = self.clock()
            await self.store.redis.set(
                self.store.keys.named(f"worker:{self.worker_id}"),
                now.isoformat(),
                px=HEARTBEAT_TTL_MS,
            )
            await self.store.redis.hset(
                self.store.keys.named("maps"),
                self.worker_id,
                f"{int(now.timestamp() * 1000)}:{self.map_digest}",
            )
            await self.clock.sync(self.store.redis)
        except (RedisConnectionError, RedisTimeoutError, OSError) as err:
            self._lost += 1
            if self._lost >= MAX_MISSED_BEATS:
                raise RedisRefusesWrites("Redis stayed away") from err
        except ResponseError as err:
            raise RedisRefusesWrites(str(err)) from err
        else:
            self._lost = 0
