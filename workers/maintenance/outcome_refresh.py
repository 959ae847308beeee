"""
Reads the account's outcomes from Buildr again once they are old.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import structlog

from service.errors import BuildrError, BuildrRateLimited
from service.logs.events import LogEvent
from workers.buildr import BuildrClient
from workers.delivery.outcome_catalog import OutcomeCatalog
from workers.maintenance.periodic import WAIT_FOR_REDIS_S, run_turn
from workers.maintenance.redis_watch import RedisWatch

# How often the age is checked, not how often Buildr is asked: see `STALE_AFTER`.
REFRESH_EVERY_S: Final = 30.0
# Doubled with each failure up to `REFRESH_EVERY_S`.
FIRST_RETRY_S: Final = 0.5
QUEUED_POLL_S: Final = 0.5
# Ten minutes, since a right that is missing is granted by an operator in Buildr, and works then
# without a restart.
REFUSED_RETRY_S: Final = 600.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class OutcomeRefresher:
    """
    Reads the account's outcomes again once they are old.

    While there are none it retries quickly, because calls wait for them.
    """

    names: OutcomeCatalog
    client: BuildrClient
    # As for the request of a call: for so long a request without an answer counts.
    hold_s: float
    _retry_s: float = field(default=FIRST_RETRY_S, init=False)
    _pause_s: float = field(default=FIRST_RETRY_S, init=False)

    async def run(self, watch: RedisWatch) -> None:
        """Refresh until cancelled."""
        while True:
            await watch.wait_until_well(at_most_s=WAIT_FOR_REDIS_S)
            self._pause_s = self._retry_s
            pause_s = await run_turn(self._turn, watch=watch)
            await asyncio.sleep(max(pause_s, self._pause_s))

    async def _turn(self) -> None:
        self._pause_s = await self._refresh_once()

    async def _refresh_once(self) -> float:
        """Refresh if that is due; returns how many seconds to wait."""
        has_budget = await self._refresh_if_stale()
        has_outcomes = await self.names.current() is not None
        if not has_budget:
            # The request waits first in its lane; a permit does not stay valid for long.
            return QUEUED_POLL_S
        if has_outcomes:
            return REFRESH_EVERY_S
        return self._next_retry_s()

    def _next_retry_s(self) -> float:
        retry_s = self._retry_s
        self._retry_s = min(REFRESH_EVERY_S, self._retry_s * 2)
        return retry_s

    async def _refresh_if_stale(self) -> bool:
        """Read the outcomes if they are old; False if there was no budget for it."""
        # Loads what another worker may have read meanwhile: then there is nothing to ask.
        await self.names.current()
        if not self.names.is_stale:
            # A worker may have died between reading the outcomes and waking the calls that wait.
            await self.names.store.schedule.wake_named()
            return True
        try:
            if not await self.names.refresh(self.client, hold_s=self.hold_s):
                return False
            log.info(LogEvent.BUILDR_OUTCOMES_READ)
        except BuildrError as err:
            self._report(err)
        return True

    def _report(self, err: BuildrError) -> None:
        if not err.retryable:
            # The endpoint of the list is only assumed to exist: an account without it must not
            # lose budget for calls by frequent requests.
            self._retry_s = REFUSED_RETRY_S
        # A 429 is logged where its permits are released, and is no failure of this list.
        if not isinstance(err, BuildrRateLimited):
            log.warning(
                LogEvent.BUILDR_OUTCOMES_NOT_READ,
                reason=err.cause,
                status_code=err.status_code,
                error=str(err),
            )
