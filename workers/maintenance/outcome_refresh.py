"""
Keeps the account's outcome names fresh.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.exceptions import RedisError

from service.errors import BuildrError, BuildrRateLimited
from workers.buildr import BuildrClient
from workers.delivery.outcome_catalog import OutcomeCatalog

log = structlog.get_logger(__name__)


REFRESH_EVERY_S: Final = 30.0


FIRST_RETRY_S: Final = 0.5


QUEUED_POLL_S: Final = 0.5


REFUSED_RETRY_S: Final = 600.0


@dataclass(slots=True)
class OutcomeRefresher:
    """
    Reads the account's outcome names anew once they are old; hurries while there are none, since
    calls wait for them.
    """

    names: OutcomeCatalog
    client: BuildrClient
    hold_s: float
    _hurry_s: float = field(default=FIRST_RETRY_S, init=False)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                is_through = await self._turn()
                has_names = await self.names.current() is not None
            except (RedisError, OSError, TimeoutError) as err:
                log.warning("worker.turn_failed", reason=type(err).__name__)
                is_through, has_names = True, False
            if not is_through:
                # Waits at the head of the lane; a permit is not held for long.
                wait_s = QUEUED_POLL_S
            elif has_names:
                wait_s = REFRESH_EVERY_S
            else:
                wait_s = self._hurry_s
                self._hurry_s = min(REFRESH_EVERY_S, self._hurry_s * 2)
            await asyncio.sleep(wait_s)

    async def _turn(self) -> bool:
        """Read the names if that is due; False if there was no budget for it."""
        await self.names.current()
        if not self.names.is_stale:
            # A worker may have died between reading the names and waking those who wait for them.
            await self.names.store.schedule.wake_named()
            return True
        try:
            if not await self.names.refresh(self.client, hold_s=self.hold_s):
                return False
            log.info("buildr.outcomes_read")
        except BuildrError as err:
            if not err.retryable:
                # An account without the list, which is only assumed to exist: asking often would
                # take budget from calls.
                self._hurry_s = REFUSED_RETRY_S
            if not isinstance(err, BuildrRateLimited):
                log.warning(
                    "buildr.outcomes_not_read",
                    reason=err.cause,
                    status_code=err.status_code,
                    error=str(err),
                )
        return True
