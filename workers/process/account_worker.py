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
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import encode_job, open_store
from service.store.keys import Keys
from workers.buildr import (
    BuildrClient,
    ReadyToken,
    TokenProvider,
    token_provider,
)
from workers.jobs.deliver import deliver, rearm
from workers.maintenance import silence
from workers.maintenance.heartbeat import HEARTBEAT_EVERY_S, Heartbeat, RedisRefusesWrites
from workers.maintenance.outcome_refresh import OutcomeRefresher
from workers.maintenance.periodic import every
from workers.maintenance.sweep import FORGET_EVERY_S, SWEEP_EVERY_S, forget, sweep
from workers.outcomes.decide import map_digest
from workers.process.assembly import WorkerComponents, build_worker
from workers.process.startup_checks import check_redis, outcome_faults
from workers.process.tasks import POLL_DELAY_S, cancel_and_wait
from workers.process.timing import hold_s, in_progress_s, job_limit_s
from workers.subscriptions import EVERY_S, VENDORS, SubscriptionReconciler

log = structlog.get_logger(__name__)


MAX_TRIES: Final = 2**31 - 1


FAILED_ACCOUNT_S: Final = 60.0


def arq_worker(settings: Settings, parts: WorkerComponents, worker_id: str) -> Worker:
    """Arq's worker with every setting that keeps it from losing or repeating jobs."""
    return Worker(
        functions=[func(deliver, name="deliver", max_tries=MAX_TRIES)],
        queue_name=parts.store.keys.queue,
        redis_pool=parts.store.pool,
        ctx={"runner": parts.runner},
        after_job_end=rearm,
        max_jobs=settings.worker_jobs,
        queue_read_limit=max(500, 20 * settings.worker_jobs),
        poll_delay=POLL_DELAY_S,
        job_timeout=job_limit_s(settings),
        # Told to stop before its first turn, arq would forget it: see `_run`.
        handle_signals=False,
        max_tries=MAX_TRIES,
        keep_result=0,
        log_results=False,
        health_check_interval=5,
        health_check_key=health_key(parts.store.keys, worker_id),
        job_serializer=encode_job,
        job_deserializer=json.loads,
    )


def health_key(keys: Keys, worker_id: str) -> str:
    """Where arq keeps a worker's own figures."""
    return f"{keys.queue}:health:{worker_id}"


@asynccontextmanager
async def open_account_worker(settings: Settings, worker_id: str) -> "AsyncIterator[AccountWorker]":
    """
    One account's part, opened and closed. An account whose credentials cannot be used is opened all
    the same, and left out.
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
        parts = build_worker(settings, store, client, worker_id=worker_id)
        offset = await parts.clock.sync(store.redis)
        if parts.clock.is_off:
            log.warning("worker.clock_off", offset_ms=int(offset.total_seconds() * 1000))
        heartbeat = Heartbeat(store, worker_id, parts.clock, map_digest(settings.outcome_config))
        yield AccountWorker(
            parts=parts,
            heartbeat=heartbeat,
            worker=arq_worker(settings, parts, worker_id),
            faults=faults,
        )


@dataclass(slots=True, kw_only=True)
class AccountWorker:
    """
    One account's part of the process; `faults` are what a person must mend before it can work.
    """

    parts: WorkerComponents
    heartbeat: Heartbeat
    worker: Worker
    faults: tuple[str, ...]
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def account(self) -> str:
        """The account's name."""
        return self.parts.settings.account

    async def run(self, *, is_alone: bool) -> None:
        """
        Work until cancelled.

        An account that cannot work does nothing from here on, with an error in the log. Raises
        `SettingsError` if it is the only one.
        """
        structlog.contextvars.bind_contextvars(account=self.account)
        self.faults = self.faults or await outcome_faults(self.parts.settings, self.parts)
        if self.faults:
            if is_alone:
                raise SettingsError(self.faults)
            log.error("worker.account_left_out", faults=list(self.faults))
            self.is_ready.set()
            await asyncio.Event().wait()
        while True:
            try:
                await self._work()
            except (RedisError, OSError, RedisRefusesWrites):
                raise
            except Exception:
                # A bug that one account's data brings to light is no reason to stop the others.
                if is_alone:
                    raise
                log.exception("worker.account_failed", retry_in_s=FAILED_ACCOUNT_S)
                await asyncio.sleep(FAILED_ACCOUNT_S)
            else:
                return

    async def _work(self) -> None:
        # Before the first job: what runs at a worker that nobody knows is taken for lost.
        await self.heartbeat.turn()
        self.worker = arq_worker(self.parts.settings, self.parts, self.heartbeat.worker_id)
        tasks = {
            asyncio.create_task(each)
            for each in (self.worker.async_run(), *_background_tasks(self.parts, self.heartbeat))
        }
        self.is_ready.set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_and_wait({*tasks, *self.worker.tasks.values()})


def _background_tasks(
    parts: WorkerComponents, heartbeat: Heartbeat
) -> list[Coroutine[object, object, None]]:
    settings, store = parts.settings, parts.store
    keep = timedelta(days=settings.keep_calls_d)
    return [
        parts.pump.run(),
        every(SWEEP_EVERY_S, lambda: sweep(store, in_progress_s=in_progress_s(settings))),
        every(FORGET_EVERY_S, lambda: forget(store, parts.clock, keep=keep)),
        every(HEARTBEAT_EVERY_S, heartbeat.turn),
        every(
            silence.CHECK_EVERY_S,
            silence.SilenceMonitor(
                store=store, sources=_enabled_sources(settings), clock=parts.clock
            ).turn,
        ),
        OutcomeRefresher(parts.names, parts.client, hold_s(settings)).run(),
        every(
            EVERY_S,
            SubscriptionReconciler(
                settings=settings, store=store, clock=parts.clock, kinds=VENDORS
            ).turn,
        ),
    ]


def _enabled_sources(settings: Settings) -> tuple[str, ...]:
    return tuple(slug for slug in SOURCES if settings.secrets_of(slug))
