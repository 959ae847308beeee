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

# A quarter of the life of the key, see `HEARTBEAT_TTL_MS`: three beats may be lost or late before
# another worker takes this one's calls over.
HEARTBEAT_EVERY_S: Final = 1.5
# A minute, and longer where the pool waits within each beat. By then arq's own loop has usually
# ended the process, since its pool gives up after some 40 s.
MAX_MISSED_BEATS: Final = 40


class RedisRefusesWrites(Exception):
    """
    Raised when Redis is full, read-only, or away for too long.

    The worker must end, so that its supervisor notices and starts it again.
    """


@dataclass(slots=True)
class Heartbeat:
    """
    Writes a key that expires: while it exists, no other worker takes over this worker's calls.

    It also proves that Redis accepts writes: arq treats every error of Redis as "already running"
    and would idle silently. `map_digest` is published beside it, so that `outcomes preview` knows
    by which outcome map each worker decides.
    """

    store: Store
    worker_id: str
    clock: SharedClock
    map_digest: str
    _missed_beats: int = field(default=0, init=False)

    async def beat(self) -> None:
        """Write once. Raises `RedisRefusesWrites`."""
        try:
            # SET and HSET: commands that Redis refuses when it is full, read-only, or cannot save.
            # A PING would succeed in all of these.
            await self.store.workers.beat(
                self.worker_id, at=self.clock(), map_digest=self.map_digest
            )
            # With each beat: the clock of a virtual machine may jump when it is moved or resumed.
            await self.clock.sync(self.store.time)
        # No answer may be a restart of Redis. Jobs fail and are postponed meanwhile, so that
        # waiting costs nothing.
        except (RedisConnectionError, RedisTimeoutError, OSError) as err:
            self._missed_beats += 1
            if self._missed_beats >= MAX_MISSED_BEATS:
                raise RedisRefusesWrites("Redis stayed away") from err
        # An answer that is an error does not pass by itself: OOM, READONLY, MISCONF. Without this
        # the worker would idle without a line in its log, while messages pile up.
        except ResponseError as err:
            raise RedisRefusesWrites(str(err)) from err
        else:
            self._missed_beats = 0
