"""
The account's call outcomes by name: read from Buildr now and then, shared by the fleet, used from
memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from service.errors import BuildrError
from service.store.connection import Store
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.grants import Grant, GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient, CallOutcome
from workers.delivery.feedback import health_signal_of, release_permits
from workers.outcomes.decide import outcome_key

LOOK_AGAIN: Final = timedelta(seconds=5)
STALE_AFTER: Final = timedelta(hours=1)
LANE_NAME: Final = "#outcomes"
MAX_PAGES: Final = 50


@dataclass(slots=True)
class OutcomeCatalog:
    """Names to ids. `current` looks into Redis at most every few seconds; `refresh` asks Buildr."""

    store: Store
    clock: Callable[[], datetime]
    _ids: Mapping[str, str] | None = field(default=None, init=False)
    _looked_at: datetime | None = field(default=None, init=False)
    _spelt: tuple[str, ...] = field(default=(), init=False)
    _read_at: datetime | None = field(default=None, init=False)

    async def current(self) -> Mapping[str, str] | None:
        """Ids by the names' keys, or None if they were never read from Buildr."""
        now = self.clock()
        if self._looked_at is None or now - self._looked_at >= LOOK_AGAIN:
            stored = await self.store.outcomes.load()
            self._looked_at = now
            if stored is not None:
                self._keep(stored)
        return self._ids

    @property
    def display_names(self) -> tuple[str, ...]:
        """The names as Buildr spells them."""
        return self._spelt

    @property
    def is_stale(self) -> bool:
        """Whether the names should be read from Buildr again."""
        return self._read_at is None or self.clock() - self._read_at >= STALE_AFTER

    async def refresh(self, client: BuildrClient, *, hold_s: float) -> bool:
        """
        Read the names from Buildr, page by page, each request within the budget.

        Returns False when there is no budget yet: the request waits before all calls, ask again in
        a moment. Raises `BuildrError`.
        """
        names: list[tuple[str, str]] = []
        url: str | None = None
        for _ in range(MAX_PAGES):
            grant = await self.store.permits.ask(
                LANE_NAME, lane=Lane.OWN, since=self.clock(), cost=1, hold_s=hold_s
            )
            if grant.verdict is not GrantStatus.GRANTED:
                return False
            if not await self.store.permits.start(grant, request_timeout_s=client.timeout_s):
                await self.store.permits.release(grant, sent=0)
                return False
            outcomes, url = await self._page(client, grant, url)
            names.extend((outcome.name, outcome.id) for outcome in outcomes)
            if url is None:
                break
        stored = StoredOutcomes(names=tuple(names), read_at=self.clock())
        await self.store.outcomes.save(stored)
        self._keep(stored)
        await self.store.schedule.wake_named()
        return True

    async def _page(
        self, client: BuildrClient, grant: Grant, url: str | None
    ) -> tuple[tuple[CallOutcome, ...], str | None]:
        try:
            page = await client.call_outcomes_page(url)
        except BuildrError as err:
            await release_permits(
                self.store.permits, grant, sent=1, heard=health_signal_of(err), err=err
            )
            raise
        await release_permits(self.store.permits, grant, sent=1, heard=HealthSignal.FINE)
        return page

    def _keep(self, stored: StoredOutcomes) -> None:
        self._ids = {outcome_key(name): outcome_id for name, outcome_id in stored.names}
        self._spelt = tuple(name for name, _ in stored.names)
        self._read_at = stored.read_at
