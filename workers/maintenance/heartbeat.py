"""
The worker's heartbeat, which also finds out whether Redis takes writes, and what time it is.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.connection import Store
from service.store.redis_trouble import REDIS_ERRORS
from workers.clock import SharedClock
from workers.maintenance.redis_watch import RedisWatch

# A quarter of the life of the key, see `HEARTBEAT_TTL_MS`: three beats may be lost or late before
# another worker takes this one's calls over.
HEARTBEAT_EVERY_S: Final = 1.5
# Short, since the pool waits longer for a Redis that is away: trouble is to be seen at once.
BEAT_TIMEOUT_S: Final = 2.0
# While Redis is away.
RETRY_EVERY_S: Final = 0.25

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Heartbeat:
    """
    Writes a key that expires: while it exists, no other worker takes over this worker's calls.

    `map_digest` is published beside it, so that `outcomes preview` knows by which outcome map each
    worker decides. `watch` learns whether Redis takes the write.
    """

    store: Store
    worker_id: str
    clock: SharedClock
    map_digest: str
    watch: RedisWatch
    _set_back: timedelta | None = field(default=None, init=False)

    async def run(self) -> None:
        """Write until cancelled, also while Redis is away."""
        while True:
            # Not by `run_every`: what ends the trouble must not wait for the end of the trouble.
            if await self.beat():
                await self.watch.wait_for_trouble(at_most_s=HEARTBEAT_EVERY_S)
            else:
                await asyncio.sleep(RETRY_EVERY_S)

    async def first_beat(self) -> None:
        """Write until it succeeds once."""
        is_written = await self.beat()
        while not is_written:
            await asyncio.sleep(RETRY_EVERY_S)
            is_written = await self.beat()

    async def beat(self) -> bool:
        """Write once; False if Redis did not take it."""
        try:
            async with asyncio.timeout(BEAT_TIMEOUT_S):
                # With each beat: the clock of Redis may be corrected.
                await self.clock.sync(self._write)
        except (*REDIS_ERRORS, OSError) as err:
            self.watch.lost(err)
            return False
        return True

    async def _write(self) -> datetime:
        beat = await self.store.workers.beat(
            self.worker_id, map_digest=self.map_digest, is_first=self._set_back is None
        )
        if beat.is_full:
            self.watch.full()
        else:
            self.watch.well()
        if self._set_back is not None and beat.set_back > self._set_back:
            log.warning(
                LogEvent.WORKER_REDIS_CLOCK_SET_BACK,
                set_back_s=(beat.set_back - self._set_back).total_seconds(),
                offset_s=beat.set_back.total_seconds(),
            )
        self._set_back = beat.set_back
        return beat.at
