"""
The worker's part: a call whose end never came asks for itself.

Calls that became overdue are on a list (`workers.jobs.end_requests`). Each is read from its vendor
by itself, once, and then after growing pauses a few times more. One worker at a time does it for a
source, and each source has a task and a list of its own: a vendor that does not answer delays no
calls of another. Whatever goes wrong is logged and tried again; it never stops the worker, and no
job waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import httpx
import structlog
from msgspec import Struct, field
from msgspec.structs import replace
from redis.exceptions import RedisError

from service.logs.events import LogEvent
from service.settings import Settings
from service.store.connection import Store
from workers.backfill.assessment import FEEDS, Assessor, CallAssessment, Verdict
from workers.backfill.run import feed
from workers.backfill.sources import LogSource
from workers.backfill.types import KnownCall
from workers.calls.fold import fold
from workers.jobs.end_requests import MOST_TIMES, PAUSES
from workers.subscriptions.errors import (
    UpkeepError,
    VendorBusy,
    VendorRejected,
    VendorUnavailable,
)

# How often a worker looks whether a call is to be asked for.
CHECK_EVERY_S: Final = 15.0
# So many calls are read in one turn: at ten requests a minute, a turn ends before its lease.
CALLS_PER_TURN: Final = 5
TURN_S: Final = 60.0
LEASE_S: Final = 90.0
# After a vendor gave no answer; after it refused the credentials.
FAULT_PAUSE: Final = timedelta(minutes=2)
REFUSED_PAUSE: Final = timedelta(minutes=30)

log = structlog.get_logger(__name__)


class EndAsker(Struct, frozen=True, kw_only=True):
    """Asks for the ends of one account's calls; `sources` by slug are those that are set up."""

    settings: Settings
    store: Store
    clock: Callable[[], datetime]
    sources: Mapping[str, LogSource]
    transport: httpx.AsyncBaseTransport | None = None
    # Until when a source is left alone after a fault.
    quiet_until: dict[str, datetime] = field(default_factory=dict)

    def turns(self) -> list[Callable[[], Awaitable[None]]]:
        """`ask_due` of each source; to be run side by side."""
        return [partial(self.ask_due, slug) for slug in self.sources]

    async def ask_due(self, slug: str) -> None:
        """Ask for some of a source's calls that are due. Raises redis-py's errors."""
        quiet_until = self.quiet_until.get(slug)
        if quiet_until is not None and self.clock() < quiet_until:
            return
        refs = await self.store.backfill.due_ends(slug, at=self.clock(), limit=CALLS_PER_TURN)
        if not refs:
            return
        async with self._lease(slug) as is_ours:
            if is_ours:
                await self._ask(self.sources[slug], refs)

    async def _ask(self, source: LogSource, refs: list[str]) -> None:
        call_log = source.connect(self.settings, is_patient=False, transport=self.transport)
        assessor = Assessor(
            slug=source.slug,
            log=call_log,
            store=self.store,
            settings=self.settings,
            clock=self.clock,
        )
        ref = ""
        try:
            async with asyncio.timeout(TURN_S):
                for ref in refs:
                    await self._ask_for(assessor, ref)
        except TimeoutError:
            log.warning(LogEvent.CALL_LOG_UNREACHABLE, source=source.slug, reason="too slow")
            await self._put_behind_others(ref)
        except UpkeepError as err:
            self._log_fault(source.slug, err)
            if isinstance(err, VendorUnavailable):
                await self._put_behind_others(ref)
        except (RedisError, OSError):
            raise
        except Exception:
            # A bug that one answer, or a damaged record, brings to light must not stop the worker.
            source_call_id = ref.partition(":")[2]
            log.exception(
                LogEvent.CALL_LOG_REFUSED, source=source.slug, source_call_id=source_call_id
            )
            await self._ask_later(ref)
        finally:
            await call_log.close()

    async def _ask_for(self, assessor: Assessor, ref: str) -> None:
        """Ask for one call, feed in what came, and plan when it is asked for again."""
        call_ids = await self._known_call(ref)
        if call_ids is None:
            await self.store.backfill.forget_end(ref)
            return
        assessment = await _read(assessor, ref, call_ids)
        fed = await feed(assessor, assessment, replay_request=None, pause=asyncio.sleep)
        has_end = fed.verdict in FEEDS or fed.verdict is Verdict.KNOWN
        count = await self._ask_later(ref, has_end=has_end)
        log.info(
            LogEvent.CALL_LOG_ASKED,
            source=assessor.slug,
            source_call_id=call_ids.source_call_id,
            result=fed.log_result,
            reason=fed.reason or fed.verdict.label,
            attempt=count,
        )
        if fed.verdict not in FEEDS:
            # Its plan may have waited for the answer.
            await self.store.schedule.wake(ref)

    async def _ask_later(self, ref: str, *, has_end: bool = False) -> int:
        """
        Count that a call was asked for, and plan when it is asked for again, if at all; returns how
        often it was.
        """
        count = await self.store.backfill.count_asked(ref)
        if has_end or count >= MOST_TIMES:
            await self.store.backfill.forget_end(ref)
        else:
            await self.store.backfill.postpone_end(ref, at=self.clock() + PAUSES[count - 1])
        return count

    async def _put_behind_others(self, ref: str) -> None:
        """A vendor that gives no answer may give none for this call alone."""
        await self.store.backfill.postpone_end(ref, at=self.clock() + FAULT_PAUSE)

    async def _known_call(self, ref: str) -> KnownCall | None:
        """What is known of a call that has no end by its webhooks; None if it has one."""
        stored = (await self.store.calls.load(ref)).stored
        if not stored.all_events:
            return None
        call = fold(stored.all_events)
        if call.is_final:
            return None
        return KnownCall(
            source_call_id=call.source_call_id,
            leg_ids=tuple(leg.leg_id for leg in call.legs),
            started_at=call.started_at or stored.record.first_received_at,
        )

    def _log_fault(self, slug: str, err: UpkeepError) -> None:
        event = LogEvent.CALL_LOG_REFUSED
        pause = REFUSED_PAUSE
        if isinstance(err, VendorUnavailable | VendorBusy):
            event = LogEvent.CALL_LOG_UNREACHABLE
            pause = FAULT_PAUSE
        if isinstance(err, VendorBusy) and err.retry_after_s is not None:
            pause = max(pause, timedelta(seconds=err.retry_after_s))
        log.warning(event, source=slug, reason=str(err), retry_in_s=pause.total_seconds())
        self.quiet_until[slug] = self.clock() + pause

    @asynccontextmanager
    async def _lease(self, slug: str) -> AsyncIterator[bool]:
        is_ours = await self.store.backfill.lock(slug, ttl_s=LEASE_S)
        try:
            yield is_ours
        finally:
            if is_ours:
                await self.store.backfill.unlock(slug)


async def _read(assessor: Assessor, ref: str, call_ids: KnownCall) -> CallAssessment:
    """What the log says of a call. Raises `UpkeepError` for what is not about this call alone."""
    untold = CallAssessment(ref=ref, verdict=Verdict.UNTOLD, started_at=None)
    try:
        logged = await assessor.log.read_call(call_ids)
        if logged is None:
            return replace(untold, reason="the log has no such call")
        return await assessor.assess(logged)
    # It must not keep the others from being asked for.
    except VendorRejected as err:
        return replace(untold, reason=str(err))


def askable_sources(settings: Settings, sources: Mapping[str, LogSource]) -> dict[str, LogSource]:
    """The sources whose calls ask for themselves: those that are on and whose log can be read."""
    if not settings.ask_for_ends:
        return {}
    return {
        slug: source
        for slug, source in sources.items()
        if settings.secrets_of(slug) and source.is_set_up(settings)
    }
