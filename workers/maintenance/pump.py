"""
Releases waiting calls as soon as the budget has room.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from service.store.connection import Store
from workers.maintenance.periodic import WAIT_FOR_REDIS_S, run_turn
from workers.maintenance.redis_watch import RedisWatch

# Also how soon a new keeper notices that the old one has died.
IDLE_S: Final = 1.0
# The script answers in whole milliseconds and may ask for 1: without a floor, a clock that runs a
# little apart would make this a loop without a pause.
MIN_WAIT_S: Final = 0.005


@dataclass(slots=True)
class Pump:
    """Releases waiting calls as soon as the budget has room; `kick` it when that may be so."""

    store: Store
    worker_id: str
    watch: RedisWatch = field(default_factory=RedisWatch)
    _kicked: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def kick(self) -> None:
        """Pump at once."""
        self._kicked.set()

    async def run(self) -> None:
        """Pump until cancelled."""
        while True:
            await self.watch.wait_until_well(at_most_s=WAIT_FOR_REDIS_S)
            pause_s = await run_turn(self._turn, watch=self.watch)
            if pause_s:
                await asyncio.sleep(pause_s)

    async def _turn(self) -> None:
        # Not by `run_every`, which has a fixed interval. Here the next turn depends on the last
        # one.
        # Cleared before the script and not after it: a kick that comes while it runs must cause one
        # more turn, since the script may have read the budget before.
        has_reason = self._kicked.is_set()
        self._kicked.clear()
        pumped = await self.store.permits.pump(worker_id=self.worker_id, has_reason=has_reason)
        await self._wait(pumped.next_in_s)

    async def _wait(self, next_in_s: float | None) -> None:
        """Wait until the budget may have room again, or until `kick`; at most `IDLE_S` seconds."""
        wait_s = IDLE_S
        if next_in_s is not None:
            wait_s = min(IDLE_S, max(MIN_WAIT_S, next_in_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._kicked.wait()
