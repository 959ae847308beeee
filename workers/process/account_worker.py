"""
One account's part of the worker process: its connections, arq's worker, and the periodic tasks
beside it.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct, field

from service.cancelling import cancel_and_wait
from service.errors import SettingsError
from service.logs.events import LogEvent
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import open_store
from service.store.redis_trouble import REDIS_ERRORS
from workers.backfill import LOGS
from workers.backfill.asking import CHECK_EVERY_S as ENDS_EVERY_S
from workers.backfill.asking import EndAsker, askable_sources
from workers.buildr import (
    BuildrClient,
    ReadyToken,
    TokenProvider,
    token_provider,
)
from workers.contacts.fields import ContactFields
from workers.contacts.reading import ContactReader
from workers.contacts.refresh import EVERY_S as CONTACTS_EVERY_S
from workers.contacts.refresh import ContactRefresher
from workers.jobs.observer import CallTracing, JobObserver
from workers.maintenance.call_index import (
    EXPIRE_EVERY_S,
    INDEX_EVERY_S,
    CallIndexer,
    ExpiredCalls,
)
from workers.maintenance.file_rewrite import CHECK_EVERY_S as FILE_EVERY_S
from workers.maintenance.file_rewrite import rewrite_file
from workers.maintenance.heartbeat import Heartbeat
from workers.maintenance.outcome_refresh import OutcomeRefresher
from workers.maintenance.periodic import run_every
from workers.maintenance.redis_watch import RedisWatch
from workers.maintenance.silence import CHECK_EVERY_S, SilenceMonitor
from workers.maintenance.sweep import FORGET_EVERY_S, SWEEP_EVERY_S, forget, forget_failed, sweep
from workers.outcomes.decide import map_digest
from workers.process.assembly import WorkerComponents, build_worker
from workers.process.job_worker import JobWorker, QueueReading
from workers.process.startup_checks import REDIS_RETRY_S, outcome_faults, redis_faults
from workers.process.timing import hold_s, in_progress_s
from workers.subscriptions import CHECK_EVERY_S as SUBSCRIPTIONS_EVERY_S
from workers.subscriptions import VENDORS, SubscriptionReconciler

if TYPE_CHECKING:
    from workers.process.tracing import Tracing

# How often a worker adds what it has counted to the figures of all.
ADD_EVERY_S: Final = 5.0
# A bug in one account's data comes back with each start. Its heartbeat has stopped meanwhile, so
# that the workers of other processes take its calls over after some seconds.
FAILED_ACCOUNT_RETRY_S: Final = 60.0

log = structlog.get_logger(__name__)


def job_worker(components: WorkerComponents, watch: RedisWatch) -> JobWorker:
    """What takes the account's jobs."""
    return JobWorker(
        components.store,
        components.runner,
        reading=QueueReading.of(components.settings),
        watch=watch,
    )


@asynccontextmanager
async def open_account_worker(
    settings: Settings, worker_id: str, tracing: "Tracing | None" = None
) -> "AsyncIterator[AccountWorker]":
    """
    Open one account's connections, and close them at the end.

    An account whose credentials cannot be used is opened too, with the faults that keep it idle.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        faults: tuple[str, ...] = ()
        # Never sent: an account with faults runs no job. It keeps the types simple.
        tokens: TokenProvider = ReadyToken("")
        try:
            tokens = token_provider(settings, store.tokens)
        except SettingsError as err:
            faults = err.faults
        call_tracing: CallTracing | None = None
        if tracing is not None:
            call_tracing = tracing.of_account(settings.account)
        observer = JobObserver(tracing=call_tracing)
        client = await stack.enter_async_context(
            BuildrClient(settings, tokens=tokens, on_request=observer.request)
        )
        watch = RedisWatch()
        components = build_worker(
            settings, store, client, worker_id=worker_id, watch=watch, observer=observer
        )
        heartbeat = Heartbeat(
            store, worker_id, components.clock, map_digest(settings.outcome_config), watch
        )
        yield AccountWorker(
            components=components,
            heartbeat=heartbeat,
            watch=watch,
            # Replaced in `_work`. Until then it is what `finish_jobs` finds if a signal comes
            # early.
            worker=job_worker(components, watch),
            faults=faults,
        )


class AccountWorker(Struct, kw_only=True):
    """One account's part of the process; `faults` are what keeps it from working, one line each."""

    components: WorkerComponents
    heartbeat: Heartbeat
    watch: RedisWatch
    worker: JobWorker
    faults: tuple[str, ...]
    # Set by an account that is left out too: the start waits for all of them.
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def account(self) -> str:
        """The account's name."""
        return self.components.settings.account

    async def run(self, *, is_alone: bool) -> None:
        """
        Work until cancelled.

        An account with faults logs them and stays idle. Raises `SettingsError` instead if it is
        the only account.
        """
        # Each account runs in a task of its own, whose context asyncio has copied: the name is
        # bound for this account and the tasks that it starts, and for no other.
        structlog.contextvars.bind_contextvars(account=self.account)
        # Not in `open_account_worker`: it may wait for Redis or Buildr, and accounts are opened one
        # after another.
        self.faults = self.faults or await self._start_faults(is_alone=is_alone)
        if self.faults:
            if is_alone:
                raise SettingsError(self.faults)
            log.error(LogEvent.WORKER_ACCOUNT_LEFT_OUT, faults=list(self.faults))
            self.is_ready.set()
            # Until the process is stopped. Ending here would end the process for all accounts, and
            # trying again helps nothing: only changed settings do, which are read at a start.
            await asyncio.Event().wait()
        await self._work_despite_bugs()

    async def _start_faults(self, *, is_alone: bool) -> tuple[str, ...]:
        """Wait for Redis, and read what keeps the account from working."""
        store = self.components.store
        while True:
            faults = await redis_faults(store, self.watch, raises_lasting=is_alone)
            if faults:
                return faults
            # Redis may go away again in the middle.
            try:
                return await self._faults_with_redis()
            except (*REDIS_ERRORS, OSError) as err:
                self.watch.lost(err)
                await asyncio.sleep(REDIS_RETRY_S)

    async def _faults_with_redis(self) -> tuple[str, ...]:
        # The scripts set their times by the clock of Redis, and so does this worker. Its machine's
        # own only shows in its log lines.
        clock = self.components.clock
        await clock.sync(self.components.store.time)
        if clock.is_off:
            offset_ms = int(clock.machine_offset.total_seconds() * 1000)
            log.warning(LogEvent.WORKER_CLOCK_OFF, offset_ms=offset_ms)
        return await outcome_faults(self.components)

    async def _work_despite_bugs(self) -> None:
        """
        Work, and begin again after a bug: it must stop neither the other accounts nor the process,
        whose supervisor would start it again and again.
        """
        while True:
            try:
                await self._work()
            except Exception:
                log.exception(LogEvent.WORKER_ACCOUNT_FAILED, retry_in_s=FAILED_ACCOUNT_RETRY_S)
                await asyncio.sleep(FAILED_ACCOUNT_RETRY_S)
            else:
                return

    async def _work(self) -> None:
        # Before the first job: a job of a worker without a heartbeat would be taken over at once.
        await self.heartbeat.first_beat()
        self.worker = job_worker(self.components, self.watch)
        coroutines = (
            self.worker.async_run(),
            self.worker.wake_up.listen(),
            *background_tasks(self.components, self.heartbeat, self.watch),
        )
        tasks = {asyncio.create_task(coroutine) for coroutine in coroutines}
        self.is_ready.set()
        try:
            # None of them ends by itself while all is well. The first one that does brings its
            # error here, where a task that nobody awaits would die unseen.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Jobs are tasks of their own, which the end of arq's loop does not end. Cancelled, each
            # gives its key back and stays in the queue for another worker.
            await cancel_and_wait({*tasks, *self.worker.tasks.values()})


def background_tasks(
    components: WorkerComponents, heartbeat: Heartbeat, watch: RedisWatch
) -> list[Coroutine[object, object, None]]:
    """What runs beside the jobs until it is cancelled; each is to be a task of its own."""
    settings = components.settings
    store = components.store
    clock = components.clock
    keep = timedelta(days=settings.keep_calls_d)
    keep_open = timedelta(days=settings.keep_open_d)
    monitor = SilenceMonitor(store=store, sources=_enabled_sources(settings), clock=clock)
    refresher = OutcomeRefresher(components.names, components.client, hold_s(settings))
    reconciler = SubscriptionReconciler(
        settings=settings, store=store, clock=clock, vendors=VENDORS
    )
    asker = EndAsker(
        settings=settings, store=store, clock=clock, sources=askable_sources(settings, LOGS)
    )
    reader = ContactReader(
        store=store, client=components.client, hold_s=hold_s(settings), clock=clock
    )
    contacts = ContactRefresher(reader=reader, fields=ContactFields.of(settings))
    indexer = CallIndexer(
        store=store, worker_id=components.runner.worker_id, default_region=settings.default_region
    )
    expired = ExpiredCalls(store=store, clock=clock, keep=keep)
    in_progress = in_progress_s(settings)
    turns = (
        (SWEEP_EVERY_S, lambda: sweep(store, in_progress_s=in_progress)),
        (FORGET_EVERY_S, lambda: forget(store, clock, keep=keep)),
        (FORGET_EVERY_S, lambda: forget_failed(store, clock, keep=keep_open)),
        (FORGET_EVERY_S, lambda: store.figures.forget_old(clock())),
        (ADD_EVERY_S, lambda: store.figures.add(components.tally)),
        (CHECK_EVERY_S, monitor.check),
        (SUBSCRIPTIONS_EVERY_S, reconciler.reconcile_due),
        *((ENDS_EVERY_S, turn) for turn in asker.turns()),
        (CONTACTS_EVERY_S, contacts.refresh_due),
        (INDEX_EVERY_S, indexer.index_old),
        (EXPIRE_EVERY_S, expired.drop),
        (FILE_EVERY_S, lambda: rewrite_file(store.file)),
    )
    return [
        components.pump.run(),
        heartbeat.run(),
        refresher.run(watch),
        # In every worker and without a leader: the scripts are idempotent, and a leader is one more
        # thing that can be away.
        *(run_every(interval_s, turn, watch=watch) for interval_s, turn in turns),
    ]


def _enabled_sources(settings: Settings) -> tuple[str, ...]:
    return tuple(slug for slug in SOURCES if settings.secrets_of(slug))
