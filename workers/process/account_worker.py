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
from workers.contacts.fields import ContactFields
from workers.contacts.reading import ContactReader
from workers.contacts.refresh import EVERY_S as CONTACTS_EVERY_S
from workers.contacts.refresh import ContactRefresher
from workers.jobs.deliver import deliver, rearm
from workers.maintenance.file_rewrite import CHECK_EVERY_S as FILE_EVERY_S
from workers.maintenance.file_rewrite import rewrite_file
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
from workers.subscriptions import CHECK_EVERY_S as SUBSCRIPTIONS_EVERY_S
from workers.subscriptions import VENDORS, SubscriptionReconciler

# A job ends by its own rules, kept in its call's record: arq must never give one up.
MAX_TRIES: Final = 2**31 - 1
# A bug in one account's data comes back with each start. Its heartbeat has stopped meanwhile, so
# that the workers of other processes take its calls over after some seconds.
FAILED_ACCOUNT_RETRY_S: Final = 60.0

log = structlog.get_logger(__name__)


def arq_worker(settings: Settings, components: WorkerComponents, worker_id: str) -> Worker:
    """The arq worker, with every setting that keeps it from losing or repeating jobs."""
    return Worker(
        # The name is fixed: arq's default is the function's qualified name, and a rename would
        # leave every job in the queue without a function, which arq drops at once.
        functions=[func(deliver, name="deliver", max_tries=MAX_TRIES)],
        queue_name=components.store.queue_name,
        redis_pool=components.store.pool,
        ctx={"runner": components.runner},
        after_job_end=rearm,
        max_jobs=settings.worker_jobs,
        # arq reads so many ids from the head of the queue, those of jobs that run elsewhere among
        # them. With fewer than the slots of the whole fleet a worker could see nothing but running
        # jobs.
        queue_read_limit=max(500, 20 * settings.worker_jobs),
        # arq has no way to be woken: half of this is the average delay of a due call.
        poll_delay=POLL_DELAY_S,
        # Never reached in practice. It still matters: arq keeps the in-progress key for this time
        # and 10 s more, and so long a job of a killed worker would be blocked without our sweep.
        job_timeout=job_limit_s(settings),
        # arq forgets a signal that arrives before its first turn; `main` handles signals itself.
        handle_signals=False,
        # arq counts every start as a try, those after a kill or a deployment too, and the default
        # is 5.
        max_tries=MAX_TRIES,
        # A kept result blocks its id: for an hour no new job of the same call could be enqueued.
        keep_result=0,
        # Nothing of a call may be in arq's log lines.
        log_results=False,
        # The default key is one per queue, and any worker that stops deletes it for all. With a key
        # per worker and a TTL of 6 s (the interval and a second) it is true for each of them.
        health_check_interval=5,
        health_check_key=components.store.workers.health_key(worker_id),
        # JSON, as the scripts write it. arq's default is pickle, by which whoever can write to
        # Redis runs code in the worker.
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
        # Before everything else: an eviction policy loses calls without any error, so that no
        # worker may begin on such a Redis.
        await check_redis(store)
        faults: tuple[str, ...] = ()
        # Never sent: an account with faults runs no job. It keeps the types simple.
        tokens: TokenProvider = ReadyToken("")
        try:
            tokens = token_provider(settings, store.tokens)
        except SettingsError as err:
            faults = err.faults
        client = await stack.enter_async_context(BuildrClient(settings, tokens=tokens))
        components = build_worker(settings, store, client, worker_id=worker_id)
        # arq starts jobs by this machine's clock, the scripts set their times by that of Redis. A
        # machine that is seconds behind starts every job late, and nothing else would show that.
        offset = await components.clock.sync(store.time)
        if components.clock.is_off:
            log.warning(LogEvent.WORKER_CLOCK_OFF, offset_ms=int(offset.total_seconds() * 1000))
        heartbeat = Heartbeat(
            store, worker_id, components.clock, map_digest(settings.outcome_config)
        )
        yield AccountWorker(
            components=components,
            heartbeat=heartbeat,
            # Replaced in `_work`. Until then it is what `finish_jobs` finds if a signal comes
            # early.
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
        # Not in `open_account_worker`: it may wait seconds for Buildr, and accounts are opened one
        # after another.
        self.faults = self.faults or await outcome_faults(self.components)
        if self.faults:
            if is_alone:
                raise SettingsError(self.faults)
            log.error(LogEvent.WORKER_ACCOUNT_LEFT_OUT, faults=list(self.faults))
            self.is_ready.set()
            # Until the process is stopped. Ending here would end the process for all accounts, and
            # trying again helps nothing: only changed settings do, which are read at a start.
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
            # Redis is the same for all accounts: the process ends, and its supervisor starts it
            # again. Going on here would hide from the supervisor that nothing is delivered.
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
        # A new one for each turn: a loop of arq that is cancelled while it starts a job never gives
        # that job's slot back.
        self.worker = arq_worker(settings, self.components, self.heartbeat.worker_id)
        coroutines = (
            self.worker.async_run(),
            *_background_tasks(self.components, self.heartbeat),
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
            # arq's jobs are tasks of their own, which the end of its loop does not end. Cancelled,
            # each job gives its in-progress key back and stays in the queue for another worker.
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
    reader = ContactReader(
        store=store, client=components.client, hold_s=hold_s(settings), clock=clock
    )
    contacts = ContactRefresher(reader=reader, fields=ContactFields.of(settings))
    return [
        components.pump.run(),
        refresher.run(),
        # In every worker and without a leader: the scripts are idempotent, and a leader is one more
        # thing that can be away.
        run_every(SWEEP_EVERY_S, lambda: sweep(store, in_progress_s=in_progress_s(settings))),
        run_every(FORGET_EVERY_S, lambda: forget(store, clock, keep=keep)),
        run_every(HEARTBEAT_EVERY_S, heartbeat.beat),
        run_every(CHECK_EVERY_S, monitor.check),
        run_every(SUBSCRIPTIONS_EVERY_S, reconciler.reconcile_due),
        run_every(CONTACTS_EVERY_S, contacts.refresh_due),
        run_every(FILE_EVERY_S, lambda: rewrite_file(store.file)),
    ]


def _enabled_sources(settings: Settings) -> tuple[str, ...]:
    return tuple(slug for slug in SOURCES if settings.secrets_of(slug))
