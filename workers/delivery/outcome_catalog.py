"""
The account's call outcomes by name: read from Buildr once an hour, shared by all workers through
Redis, and used from memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from service.errors import BuildrError
from service.store.connection import Store
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.grants import GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient, CallOutcome
from workers.delivery.desired import outcome_ids_of
from workers.delivery.feedback import health_signal_of, release_permits

# How often Redis is read at most.
# Another worker's refresh is noticed within this time. Until then a call that waits for the
# outcomes is run again each second, see `commit.lua`.
RELOAD_AFTER: Final = timedelta(seconds=5)
# Outcomes change rarely, and each page costs a request of the budget that calls need.
STALE_AFTER: Final = timedelta(hours=1)
# The name under which the catalog asks for permits, where a call has its own.
# `#` keeps the scripts from waking it: there is no job of that name.
PERMIT_NAME: Final = "#outcomes"
# Begun afresh after so long: a list that was read in parts may lack an outcome that moved to an
# earlier page meanwhile.
LONGEST_READ: Final = timedelta(minutes=15)
# No account has so many; it ends a series of pages that names itself as the next.
MAX_PAGES: Final = 50


@dataclass(slots=True)
class _UnfinishedList:
    """The pages of the list that have been read since `began_at`; `url` is that of the next one."""

    began_at: datetime
    names: dict[tuple[str, str], None] = field(default_factory=dict)
    number: int = 0
    url: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.number > 0 and self.url is None

    def add(self, outcomes: Sequence[CallOutcome], url: str | None) -> None:
        # An outcome that another one has moved to a later page meanwhile is on both.
        self.names.update(dict.fromkeys((outcome.name, outcome.id) for outcome in outcomes))
        self.number += 1
        self.url = url


@dataclass(slots=True)
class OutcomeCatalog:
    """Names and ids of the outcomes; `current` reads Redis, `refresh` asks Buildr."""

    store: Store
    clock: Callable[[], datetime]
    _outcomes: StoredOutcomes | None = field(default=None, init=False)
    _ids: Mapping[str, str] | None = field(default=None, init=False)
    _loaded_at: datetime | None = field(default=None, init=False)
    _unfinished: "_UnfinishedList | None" = field(default=None, init=False)

    async def current(self) -> Mapping[str, str] | None:
        """Ids by `outcome_key`, or None if the outcomes were never read from Buildr."""
        now = self.clock()
        if self._loaded_at is None or now - self._loaded_at >= RELOAD_AFTER:
            stored = await self.store.outcomes.load()
            # Also where nothing is stored: without it, each plan of a new installation would read
            # Redis until Buildr has answered once.
            self._loaded_at = now
            if stored is not None:
                self._keep(stored)
        return self._ids

    @property
    def display_names(self) -> tuple[str, ...]:
        """The names as Buildr spells them."""
        if self._outcomes is None:
            return ()
        return tuple(name for name, _ in self._outcomes.names)

    @property
    def is_stale(self) -> bool:
        """Whether the outcomes should be read from Buildr again."""
        return self._outcomes is None or self.clock() - self._outcomes.read_at >= STALE_AFTER

    async def refresh(self, client: BuildrClient, *, hold_s: float) -> bool:
        """
        Read the outcomes from Buildr, page by page, each request with a permit.

        Returns False if there is no permit yet: the request waits before all calls, so that the
        next attempt may be soon, and goes on with the page that is missing. Raises `BuildrError`.
        """
        pages = self._unfinished
        self._unfinished = None
        if pages is None or self.clock() - pages.began_at >= LONGEST_READ:
            pages = _UnfinishedList(self.clock())
        try:
            while pages.number < MAX_PAGES and not pages.is_whole:
                if not await self._read_next(client, pages, hold_s=hold_s):
                    self._unfinished = pages
                    return False
        except BuildrError as err:
            if err.retryable:
                self._unfinished = pages
            raise
        # Only after the last page: half a list would make known outcomes look unknown, and calls
        # failed.
        stored = StoredOutcomes(names=tuple(pages.names), read_at=self.clock())
        await self.store.outcomes.save(stored)
        self._keep(stored)
        # After `save`, so that a call which is woken finds the names. If the worker dies in
        # between, the refresher of any worker wakes them at its next turn.
        await self.store.schedule.wake_named()
        return True

    async def _read_next(
        self, client: BuildrClient, pages: "_UnfinishedList", *, hold_s: float
    ) -> bool:
        """Add the next page; False if there is no permit for its request yet."""
        permits = self.store.permits
        grant = await permits.ask(
            PERMIT_NAME, lane=Lane.OWN, since=self.clock(), cost=1, hold_s=hold_s
        )
        if grant.verdict is not GrantStatus.GRANTED:
            return False
        # The permit is for a moment ahead. False means that this process was stopped for so long
        # that the request could arrive after the permit has stopped counting.
        if not await permits.start(grant, request_timeout_s=client.timeout_s):
            await permits.release(grant, sent=0)
            return False
        try:
            outcomes, url = await client.call_outcomes_page(pages.url)
        except BuildrError as err:
            # Counted as sent whatever the error: a request without an answer may have reached
            # Buildr.
            await release_permits(permits, grant, sent=1, signal=health_signal_of(err), err=err)
            raise
        await release_permits(permits, grant, sent=1, signal=HealthSignal.FINE)
        pages.add(outcomes, url)
        return True

    def _keep(self, stored: StoredOutcomes) -> None:
        self._outcomes = stored
        self._ids = outcome_ids_of(stored)
