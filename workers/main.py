"""
The worker process: for each account arq as the alarm clock, and the loops beside it.

Accounts share nothing but the process: each has its own queue, its own slots for jobs, its own connections to Redis and to Buildr. An
account that is in trouble takes no turn from another.
"""

import asyncio
import json
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service.accounts import start_faults
from service.errors import BuildrError, QueueUnavailable, SettingsError
from service.logs import configure_logging
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store, encode_job, open_store
from service.store.keys import Keys
from workers import loops, silence
from workers.buildr import BuildrClient, ReadyToken, TokenProvider, token_provider
from workers.jobs import deliver, rearm
from workers.outcomes import map_digest, unknown_names
from workers.parts import Parts, build, hold_s, in_progress_s, job_limit_s
from workers.subscriptions import EVERY_S, VENDORS, Watch

MAX_TRIES: Final = 2**31 - 1
# Platforms give a process that is told to stop 10 seconds at least.
FINISH_MARGIN_S: Final = 0.5
POLL_DELAY_S: Final = 0.05
CANCEL_AGAIN_S: Final = 0.2
GOODBYE_S: Final = 1.0
ACCOUNTS_AT_START_S: Final = 2.0
FAILED_ACCOUNT_S: Final = 60.0
NAMES_AT_START_S: Final = 5.0
REDIS_AT_START_S: Final = 30.0
NO_CREDENTIALS: Final = "BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET: one of them must be set"

log = structlog.get_logger(__name__)


def arq_worker(settings: Settings, parts: Parts, worker_id: str) -> Worker:
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


def run_worker(settings: Settings) -> None:
    """
    Run a worker until it is told to stop.

    Raises `SettingsError` for what a person must mend before it can work, and `RedisRefusesWrites` when Redis takes nothing any more.
    """
    configure_logging(fmt=settings.log_format, level=settings.log_level)
    accounts = settings.every
    faults = list(start_faults(settings))
    if not settings.named and not settings.has_buildr_credentials:
        faults.append(NO_CREDENTIALS)
    if faults:
        raise SettingsError(tuple(faults))
    asyncio.run(_until_told_to_stop(accounts))


async def _until_told_to_stop(accounts: Sequence[Settings]) -> None:
    """Run until SIGTERM or SIGINT, whenever they come; a second one changes nothing."""
    told, started = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)
    running = asyncio.create_task(_run(accounts, told, started))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not started.is_set():
        # There is nothing to finish yet. Once it has started, `_run` hears of it by itself.
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _run(accounts: Sequence[Settings], told: asyncio.Event, started: asyncio.Event) -> None:
    worker_id = f"{socket.gethostname()}:{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        crew = [await stack.enter_async_context(_on_board(settings, worker_id)) for settings in accounts]
        tasks = {asyncio.create_task(each.run(is_alone=len(crew) == 1)) for each in crew}
        tasks.add(asyncio.create_task(_finish_all(crew, told, within_s=max(each.buildr_timeout_s for each in accounts) + FINISH_MARGIN_S)))
        try:
            await _until_ready(crew, tasks)
            started.set()
            log.info("worker.started", worker_id=worker_id, accounts=[each.account for each in crew if not each.faults])
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not told.is_set():
                raise loops.RedisRefusesWrites("arq's loop has ended, which only happens when Redis goes away")
        except (RedisError, OSError) as err:
            raise loops.RedisRefusesWrites(f"Redis went away ({type(err).__name__})") from err
        finally:
            await end(tasks)
            await asyncio.gather(*(_say_goodbye(each.parts.store, worker_id) for each in crew))
            log.info("worker.stopped", worker_id=worker_id)


async def _until_ready(crew: Sequence["_Member"], tasks: set["asyncio.Task[None]"]) -> None:
    """
    Wait until every account is ready to work, or has been left out; of several accounts nobody waits long for the others.

    Raises whatever has ended an account's part, and `SettingsError` if no account can work.
    """
    ready = asyncio.create_task(_all_ready(crew))
    try:
        limit_s = None if len(crew) == 1 else ACCOUNTS_AT_START_S
        done, _ = await asyncio.wait({ready, *tasks}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        ready.cancel()
    if all(each.faults for each in crew):
        raise SettingsError(tuple(f"account {each.account}: {fault}" for each in crew for fault in each.faults))


async def _all_ready(crew: Sequence["_Member"]) -> None:
    for each in crew:
        await each.is_ready.wait()


@asynccontextmanager
async def _on_board(settings: Settings, worker_id: str) -> "AsyncIterator[_Member]":
    """One account's part, opened and closed. An account whose credentials cannot be used is opened all the same, and left out."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        await _check_redis(store)
        faults: tuple[str, ...] = ()
        tokens: TokenProvider = ReadyToken("")
        try:
            tokens = token_provider(settings, store.tokens)
        except SettingsError as err:
            faults = err.faults
        client = await stack.enter_async_context(BuildrClient(settings, tokens=tokens))
        parts = build(settings, store, client, worker_id=worker_id)
        offset = await parts.clock.sync(store.redis)
        if parts.clock.is_off:
            log.warning("worker.clock_off", offset_ms=int(offset.total_seconds() * 1000))
        probe = loops.Probe(store, worker_id, parts.clock, map_digest(settings.outcome_config))
        yield _Member(parts=parts, probe=probe, worker=arq_worker(settings, parts, worker_id), faults=faults)


@dataclass(slots=True, kw_only=True)
class _Member:
    """One account's part of the process; `faults` are what a person must mend before it can work."""

    parts: Parts
    probe: loops.Probe
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

        An account that cannot work does nothing from here on, with an error in the log. Raises `SettingsError` if it is the only one.
        """
        structlog.contextvars.bind_contextvars(account=self.account)
        self.faults = self.faults or await _outcome_faults(self.parts.settings, self.parts)
        if self.faults:
            if is_alone:
                raise SettingsError(self.faults)
            log.error("worker.account_left_out", faults=list(self.faults))
            self.is_ready.set()
            await asyncio.Event().wait()
        while True:
            try:
                await self._work()
            except (RedisError, OSError, loops.RedisRefusesWrites):
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
        await self.probe.turn()
        self.worker = arq_worker(self.parts.settings, self.parts, self.probe.worker_id)
        tasks = {asyncio.create_task(each) for each in (self.worker.async_run(), *_loops(self.parts, self.probe))}
        self.is_ready.set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end({*tasks, *self.worker.tasks.values()})


async def _finish_all(crew: Sequence[_Member], told: asyncio.Event, *, within_s: float) -> None:
    """Once told to stop: take no more jobs, and wait for those that run; what has not ended by then is handed back."""
    await told.wait()
    await asyncio.gather(*(_finish_jobs(each.worker, within_s=within_s) for each in crew))


async def _finish_jobs(worker: Worker, *, within_s: float) -> None:
    worker.allow_pick_jobs = False
    try:
        async with asyncio.timeout(within_s):
            # A turn that has begun may still start jobs, so that none must run for two turns on end.
            while await _has_jobs(worker) or await _has_jobs(worker):
                pass
    except TimeoutError:
        log.warning("worker.stopped_with_jobs", count=len(worker.tasks))


async def end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: redis-py swallows a cancellation that comes while it deals with a lost connection."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)


async def _say_goodbye(store: Store, worker_id: str) -> None:
    """Take the worker off the list of those alive, so that what it hands back is taken over; with Redis away it leaves by itself."""
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await store.redis.delete(health_key(store.keys, worker_id), store.keys.named(f"worker:{worker_id}"))
            await store.redis.hdel(store.keys.named("maps"), worker_id)


async def _has_jobs(worker: Worker) -> bool:
    running = [task for task in worker.tasks.values() if not task.done()]
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(2 * POLL_DELAY_S)
    return bool(running)


def _loops(parts: Parts, probe: loops.Probe) -> list[Coroutine[object, object, None]]:
    settings, store = parts.settings, parts.store
    keep = timedelta(days=settings.keep_calls_d)
    return [
        parts.pump.run(),
        loops.every(loops.SWEEP_EVERY_S, lambda: loops.sweep(store, in_progress_s=in_progress_s(settings))),
        loops.every(loops.FORGET_EVERY_S, lambda: loops.forget(store, parts.clock, keep=keep)),
        loops.every(loops.PROBE_EVERY_S, probe.turn),
        loops.every(silence.LOOK_EVERY_S, silence.Listener(store=store, sources=_on(settings), clock=parts.clock).turn),
        loops.NamesWatch(parts.names, parts.client, hold_s(settings)).run(),
        loops.every(EVERY_S, Watch(settings=settings, store=store, clock=parts.clock, kinds=VENDORS).turn),
    ]


def _on(settings: Settings) -> tuple[str, ...]:
    return tuple(slug for slug in SOURCES if settings.secrets_of(slug))


async def _check_redis(store: Store) -> None:
    deadline = asyncio.get_running_loop().time() + REDIS_AT_START_S
    while True:
        try:
            await store.ping()
            faults = await store.config_faults()
            break
        except (QueueUnavailable, RedisError, OSError, TimeoutError) as err:
            if asyncio.get_running_loop().time() > deadline:
                raise SettingsError((f"REDIS_URL: Redis does not answer ({type(err).__name__}); is it running?",)) from err
            log.warning("worker.waits_for_redis", reason=type(err).__name__)
            await asyncio.sleep(1)
    fatal = tuple(fault for fault in faults if "maxmemory-policy" in fault)
    if fatal:
        raise SettingsError(tuple(f"REDIS_URL: {fault}" for fault in fatal))
    for fault in faults:
        log.warning("worker.redis_not_durable", reason=fault)


async def _outcome_faults(settings: Settings, parts: Parts) -> tuple[str, ...]:
    """
    The outcomes that are named and that the account does not have, one line each.

    Its outcomes are read where the last ones are old or lack one; with Buildr away, the last ones count.
    """
    known = await parts.names.current()
    if known is not None and not parts.names.is_stale and not unknown_names(settings.outcome_config, known):
        return ()
    try:
        async with asyncio.timeout(NAMES_AT_START_S + settings.buildr_timeout_s):
            while not await parts.names.refresh(parts.client, hold_s=hold_s(settings)):
                await parts.store.permits.pump()
                await asyncio.sleep(0.1)
    except (BuildrError, TimeoutError) as err:
        log.warning("buildr.outcomes_not_read", reason=getattr(err, "cause", "no_budget"), error=str(err))
    ids = await parts.names.current()
    return () if ids is None else tuple(unknown_names(settings.outcome_config, ids, spelt=parts.names.spelt))
