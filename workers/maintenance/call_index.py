"""
Keeps the index of calls: indexes what was stored before there was one, drops what has expired.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from service.logs.events import LogEvent
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from workers.calls.fold import fold
from workers.clock import SharedClock
from workers.matching.call_parties import parties_of

INDEX_EVERY_S: Final = 1.0
# Turns after which the versions of the other workers are read again.
VERSIONS_EVERY: Final = 10
# Of a turn, beside the deliveries: steps of a thousand keys, until there are so many calls.
STEPS: Final = 5
ENOUGH: Final = 300
# Calls between which others have the event loop.
YIELD_EVERY: Final = 20
EXPIRE_EVERY_S: Final = 60.0
# Pages of 500 calls per turn: what expires in a minute is far less.
MOST_PAGES: Final = 20
# Pages of some 80 names per turn. All are looked at within a day where there are a million.
ID_PAGES: Final = 10

log = structlog.get_logger(__name__)


class CallIndexer(Struct):
    """
    Indexes calls that were written without an index: once for an installation, and again after a
    worker of a version before has run, beside this one or alone (see `beat.lua`).
    """

    store: Store
    worker_id: str
    default_region: str
    is_done: bool = False
    waits: bool = False
    turn: int = 0

    async def index_old(self) -> None:
        """Index the next old calls, unless another worker does."""
        await self._read_versions()
        if self.is_done or self.waits:
            return
        indexing = self.store.indexing
        if await indexing.is_done():
            self.is_done = True
            return
        if not await indexing.lock(self.worker_id):
            return
        count = 0
        for _ in range(STEPS):
            calls, cursor = await indexing.next_calls()
            await self._index(calls)
            # Not before: a worker that ends here leaves the step to another one.
            await indexing.advance(cursor)
            count += len(calls)
            if count >= ENOUGH or cursor == 0:
                break
        if count:
            log.info(LogEvent.CALLS_INDEXED, count=count)

    async def _index(self, calls: list[StoredCall]) -> None:
        for number, call in enumerate(calls):
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            await self.store.indexing.index(call, self._with_parties(call))

    async def _read_versions(self) -> None:
        """While both versions run, what is indexed may be written without its index again."""
        # Not at each turn, since it asks for each worker: who comes or goes is seen soon enough.
        if self.turn % VERSIONS_EVERY == 0:
            self.waits = await self.store.workers.has_older()
            if self.waits:
                # By every worker that notices, since it does no harm to begin anew.
                await self.store.indexing.reopen()
                self.is_done = False
        self.turn += 1

    def _with_parties(self, call: StoredCall) -> DeliveryRecord:
        if not call.all_events:
            return call.record
        try:
            parties = parties_of(fold(call.all_events), region=self.default_region)
        # Events of two calls under one name, which no version writes.
        except ValueError:
            return call.record
        return replace(call.record, parties=parties)


class ExpiredCalls(Struct):
    """Takes expired calls out of the index, some at each turn, from the oldest on."""

    store: Store
    clock: SharedClock
    keep: timedelta
    after_ms: int = 0
    # Where the next turn goes on in the index of names.
    first_id: str | None = None

    async def drop(self) -> None:
        """One turn."""
        await self._drop_by_last_message()
        for _ in range(ID_PAGES):
            self.first_id = await self.store.indexing.drop_expired_ids(first=self.first_id)
            if self.first_id is None:
                return

    async def _drop_by_last_message(self) -> None:
        before_ms = int((self.clock() - self.keep).timestamp() * 1000)
        for _ in range(MOST_PAGES):
            _, next_ms = await self.store.indexing.drop_expired(
                before_ms=before_ms, after_ms=self.after_ms
            )
            # Those that are left are open calls, which are kept for longer.
            self.after_ms = next_ms or 0
            if next_ms is None:
                return
