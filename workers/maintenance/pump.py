"""
Releases waiting calls as soon as the budget has room.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.exceptions import RedisError

from service.store.connection import Store

log = structlog.get_logger(__name__)


IDLE_S: Final = 1.0


SHORTEST_S: Final = 0.005


@dataclass(slots=True)
class Pump:
    """Lets waiting calls go as soon as the budget has room; `kick` it when that may be so."""

    store: Store
    worker_id: str
    _kicked: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def kick(self) -> None:
        """Ask for a turn now."""
        self._kicked.set()

    async def run(self) -> None:
        """Pump until cancelled."""
        while True:
            has_reason = self._kicked.is_set()
            self._kicked.clear()
            try:
                pumped = await self.store.permits.pump(
                    worker_id=self.worker_id, has_reason=has_reason
                )
            except (RedisError, OSError, TimeoutError) as err:
                log.warning("delivery.pump_failed", reason=type(err).__name__)
                await asyncio.sleep(IDLE_S)
                continue
            wait_s = (
                IDLE_S
                if pumped.next_in_s is None
                else min(IDLE_S, max(SHORTEST_S, pumped.next_in_s))
            )
            try:
                async with asyncio.timeout(wait_s):
                    await self._kicked.wait()
            except TimeoutError:
                continue
