"""
One account's part of the worker process: its connections, arq's worker, and the periodic tasks
beside it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service.errors import SettingsError
from service.logs.events import LogEvent
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import encode_job, open_store
from workers.buildr import (
    BuildrClient,
    ReadyToken,
    TokenProvider,
    token_provider,
)
from workers.jobs.deliver import deliver, rearm
from workers.maintenance.heartbeat import HEARTBEAT_EVERY_S, Heartbeat, RedisRefusesWrites
from workers.maintenance.outcome_refresh import OutcomeRefresher
from workers.maintenance.periodic import run_every
from workers.maintenance.silence import CHECK_EVERY_S, SilenceMonitor
from workers.maintenance.sweep import FORGET_EVERY_S, SWEEP_EVERY_S, forget, sweep
from workers.outcomes.decide import map_digest
from workers.process.assembly import WorkerComponents, build_worker
from workers.process.startup_checks import check_redis, outcome_faults
from workers.process.tasks import POLL_DELAY_S, cancel_and_wait
from workers.process.timing import hold_s, in_progress_s, job_limit_s
from workers.subscriptions import EVERY_S, VENDORS, SubscriptionReconciler

# A job ends by its own rules, kept in its call's record: arq must never give one up.
MAX_TRIES: Final = 2**31 - 1
FAILED_ACCOUNT_RETRY_S: Final = 60.0

log = structlog.get_logger(__name__)


def arq_worker(settings: Settings, components: WorkerComponents, worker_id: str) -> Worker:
    """The arq worker, with every setting that keeps it from losing or repeating jobs."""
    return Worker(
        functions=[func(deliver, name="deliver", max_tries=MAX_TRIES)],
        queue_name=components.store.queue_name,
        redis_pool=components.store.pool,
        ctx={"runner": components.runner},
        after_job_end=rearm,
        max_jobs=settings.worker_jobs,
        queue_read_limit=max(500, 20 * settings.worker_jobs),
        poll_delay=POLL_DELAY_S,
        job_timeout=job_limit_s(settings),
        # arq forgets a signal that arrives before its first turn; `main` handles signals itself.
        handle_signals=False,
        max_tries=MAX_TRIES,
        keep_result=0,
        log_results=False,
        health_check_interval=5,
        health_check_key=components.store.workers.health_key(worker_id),
        job_serializer=encode_job,
        job_deserializer=json.loads,
    )


@asynccontextmanager
async def open_account_worker(settings: Settings, worker_id: str) -> "AsyncIterator[AccountWorker]":
    """
    Open one account's connections, and close them at the end.

    An account whose credentials cannot be used is opened too, with the faults that keep it idle.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        await check_redis(store)
        faults: tuple[str, ...] = ()
        tokens: TokenProvider = ReadyToken("")
        try:
            tokens = token_provider(settings, store.tokens)
        except SettingsError as err:
            faults = err.faults
        client = await stack.enter_async_context(BuildrClient(settings, tokens=tokens))
        components = build_worker(settings, store, client, worker_id=worker_id)
        offset = await components.clock.sync(store.time)
        if components.clock.is_off:
            log.warning(LogEvent.WORKER_CLOCK_OFF, offset_ms=int(offset.total_seconds() * 1000))
        heartbeat = Heartbeat(
            store, worker_id, components.clock, map_digest(settings.outcome_config)
        )
        yield AccountWorker(
            components=components,
            heartbeat=heartbeat,
            worker=arq_worker(settings, components, worker_id),
            faults=faults,
        )


@dataclass(slots=True, kw_only=True)
class AccountWorker:
    """One account's part of the process; `faults` are what keeps it from working, one line each."""

    components: WorkerComponents
    heartbeat: Heartbeat
    worker: Worker
    faults: tuple[str, ...]
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
        structlog.contextvars.bind_contextvars(account=self.account)
        self.faults = self.faults or await outcome_faults(self.components)
        if self.faults:
            if is_alone:
                raise SettingsError(self.faults)
            log.error(LogEvent.WORKER_ACCOUNT_LEFT_OUT, faults=list(self.faults))
            self.is_ready.set()
            await asyncio.Event().wait()
        if is_alone:
            await self._work()
        else:
            await self._work_despite_bugs()

    async def _work_despite_bugs(self) -> None:
        """Work, and begin again after a bug: one account's data must not stop the others."""
        while True:
            try:
                await self._work()
            except (RedisError, OSError, RedisRefusesWrites):
                raise
            except Exception:
                log.exception(LogEvent.WORKER_ACCOUNT_FAILED, retry_in_s=FAILED_ACCOUNT_RETRY_S)
                await asyncio.sleep(FAILED_ACCOUNT_RETRY_S)
            else:
                return

    async def _work(self) -> None:
        # Before the first job: a job of a worker without a heartbeat would be taken over at once.
        await self.heartbeat.beat()
        settings = self.components.settings
        self.worker = arq_worker(settings, self.components, self.heartbeat.worker_id)
        coroutines = (
            self.worker.async_run(),
            *_background_tasks(self.components, self.heartbeat),
        )
        tasks = {asyncio.create_task(coroutine) for coroutine in coroutines}
        self.is_ready.set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_and_wait({*tasks, *self.worker.tasks.values()})


def _background_tasks(
    components: WorkerComponents, heartbeat: Heartbeat
) -> list[Coroutine[object, object, None]]:
    settings = components.settings
    store = components.store
    clock = components.clock
    keep = timedelta(days=settings.keep_calls_d)
    monitor = SilenceMonitor(store=store, sources=_enabled_sources(settings), clock=clock)
    refresher = OutcomeRefresher(components.names, components.client, hold_s(settings))
    reconciler = SubscriptionReconciler(
        settings=settings, store=store, clock=clock, vendors=VENDORS
    )
    return [
        components.pump.run(),
        refresher.run(),
        run_every(SWEEP_EVERY_S, lambda: sweep(store, in_progress_s=in_progress_s(settings))),
        run_every(FORGET_EVERY_S, lambda: forget(store, clock, keep=keep)),
        run_every(HEARTBEAT_EVERY_S, heartbeat.beat),
        run_every(CHECK_EVERY_S, monitor.check),
        run_every(EVERY_S, reconciler.reconcile_due),
    ]


def _enabled_sources(settings: Settings) -> tuple[str, ...]:
    return tuple(slug for slug in SOURCES if settings.secrets_of(slug))
