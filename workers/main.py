"""
The worker process: for each account arq as the alarm clock, and the loops beside it.

Accounts share nothing but the process: each has its own queue, its own slots for jobs, its own connections to Redis and to Buildr. An
account that is in trouble takes no turn from another.
"""

import asyncio
import json
import random
import secrets
import signal
import socket
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service.accounts import start_faults
from service.errors import BuildrError, QueueUnavailable, SettingsError
from service.logs import configure_logging
from service.settings import Settings
from service.store.connection import Store, encode_job, open_store
from service.store.keys import Keys
from workers import loops
from workers.buildr import BuildrClient, token_provider
from workers.clock import SharedClock
from workers.delivery.names import OutcomeNames
from workers.delivery.plan import Timing
from workers.delivery.send import Limits, Sender
from workers.expectations import Rules
from workers.jobs import Runner, deliver, rearm
from workers.outcomes import map_digest, unknown_names
from workers.planning import Planner

MAX_TRIES: Final = 2**31 - 1
JOB_MARGIN_S: Final = 3.0
# What arq adds to the limit of a job before another worker may start it.
ARQ_MARGIN_S: Final = 10.0
MOST_REQUESTS: Final = 2
# Platforms give a process that is told to stop 10 seconds at least.
FINISH_MARGIN_S: Final = 0.5
POLL_DELAY_S: Final = 0.05
CANCEL_AGAIN_S: Final = 0.2
GOODBYE_S: Final = 1.0
HOLD_MARGIN_S: Final = 2.0
NAMES_AT_START_S: Final = 5.0
REDIS_AT_START_S: Final = 30.0
NO_CREDENTIALS: Final = "BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET: one of them must be set"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker is made of, for one account."""

    settings: Settings
    store: Store
    client: BuildrClient
    clock: SharedClock
    names: OutcomeNames
    pump: loops.Pump
    runner: Runner


def build(settings: Settings, store: Store, client: BuildrClient, *, clock: SharedClock | None = None, worker_id: str = "alone") -> Parts:
    """Put an account's part of a worker together."""
    clock = clock or SharedClock()
    names = OutcomeNames(store, clock)
    pump = loops.Pump(store)
    config = settings.outcome_config
    sender = Sender(
        client=client,
        permits=store.permits,
        limits=Limits(max_attempts=settings.max_attempts, max_age=timedelta(hours=settings.max_age_h)),
        request_timeout_s=settings.buildr_timeout_s,
        hold_s=hold_s(settings),
        notes_mode=config.notes.mode,
        clock=clock,
        rng=random.SystemRandom(),
    )
    planner = Planner(
        store=store,
        names=names,
        config=config,
        rules=Rules.of(settings),
        timing=Timing(
            settle=settings.settle_s,
            ringing_timeout_s=settings.ringing_timeout_s,
            in_progress_timeout_s=settings.in_progress_timeout_s,
        ),
        protects_hand_edits=settings.protect_hand_edits,
        clock=clock,
    )
    runner = Runner(
        store=store,
        planner=planner,
        sender=sender,
        hold_s=hold_s(settings),
        worker_id=worker_id,
        clock=clock,
        on_budget=pump.kick,
    )
    return Parts(settings=settings, store=store, client=client, clock=clock, names=names, pump=pump, runner=runner)


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


def hold_s(settings: Settings) -> float:
    """The longest that one request to Buildr may be under way, in seconds: a permit counts so long, and no other worker writes the call."""
    return settings.buildr_timeout_s + HOLD_MARGIN_S


def job_limit_s(settings: Settings) -> float:
    """The longest that a job may take, in seconds; it ends by itself before that, so that arq never ends it."""
    return MOST_REQUESTS * hold_s(settings) + JOB_MARGIN_S


def in_progress_s(settings: Settings) -> float:
    """For how many seconds arq marks a job as being run."""
    return job_limit_s(settings) + ARQ_MARGIN_S


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
        crew = await _muster(accounts, worker_id, stack)
        probes = [loops.Probe(parts.store, worker_id, parts.clock, map_digest(parts.settings.outcome_config)) for parts in crew]
        for probe in probes:
            # Before the first job: what runs at a worker that nobody knows is taken for lost.
            await probe.turn()
        workers = [arq_worker(parts.settings, parts, worker_id) for parts in crew]
        beside = [
            asyncio.create_task(_named(parts, each))
            for parts, probe in zip(crew, probes, strict=True)
            for each in _loops(parts.settings, parts, probe)
        ]
        mains = [asyncio.create_task(worker.async_run()) for worker in workers]
        stopping = asyncio.create_task(
            _finish_all(workers, told, within_s=max(each.buildr_timeout_s for each in accounts) + FINISH_MARGIN_S)
        )
        started.set()
        log.info(
            "worker.started", worker_id=worker_id, jobs=[worker.max_jobs for worker in workers], accounts=[_name(each) for each in crew]
        )
        try:
            done, _ = await asyncio.wait([*mains, stopping, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            if not told.is_set():
                raise loops.RedisRefusesWrites("arq's loop has ended, which only happens when Redis goes away")
        except (RedisError, OSError) as err:
            raise loops.RedisRefusesWrites(f"Redis went away ({type(err).__name__})") from err
        finally:
            await _end({*beside, *mains, stopping, *(task for worker in workers for task in worker.tasks.values())})
            await asyncio.gather(*(_say_goodbye(parts.store, worker_id) for parts in crew))
            log.info("worker.stopped", worker_id=worker_id)


async def _muster(accounts: Sequence[Settings], worker_id: str, stack: AsyncExitStack) -> list[Parts]:
    """
    Open all accounts at the same time, so that a Buildr that is away for one of them holds up no other.

    An account whose outcomes a person must mend is left out, with an error in the log. Raises `SettingsError` if it is the only one.
    """
    crew = []
    for settings in accounts:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        await _check_redis(store)
        client = await stack.enter_async_context(BuildrClient(settings, tokens=token_provider(settings, store.tokens)))
        parts = build(settings, store, client, worker_id=worker_id)
        offset = await parts.clock.sync(store.redis)
        if parts.clock.is_off:
            log.warning("worker.clock_off", offset_ms=int(offset.total_seconds() * 1000))
        crew.append(parts)
    checks = (_named(parts, _check_outcomes(parts.settings, parts)) for parts in crew)
    found = await asyncio.gather(*checks, return_exceptions=True)
    faults: list[str] = []
    fit: list[Parts] = []
    for parts, result in zip(crew, found, strict=True):
        if isinstance(result, SettingsError):
            faults += [f"{_prefix(parts.settings, accounts)}{fault}" for fault in result.faults]
            log.error("worker.account_left_out", account=_name(parts), faults=list(result.faults))
        elif isinstance(result, BaseException):
            raise result
        else:
            fit.append(parts)
    if not fit:
        raise SettingsError(tuple(faults))
    return fit


def _name(parts: Parts) -> str:
    return parts.settings.account


async def _named(parts: Parts, work: Coroutine[object, object, None]) -> None:
    """Do something whose lines in the log name the account."""
    with structlog.contextvars.bound_contextvars(account=_name(parts)):
        await work


def _prefix(settings: Settings, accounts: Sequence[Settings]) -> str:
    return "" if len(accounts) == 1 else f"account {settings.account}: "


async def _finish_all(workers: Sequence[Worker], told: asyncio.Event, *, within_s: float) -> None:
    """Once told to stop: take no more jobs, and wait for those that run; what has not ended by then is handed back."""
    await told.wait()
    await asyncio.gather(*(_finish_jobs(worker, within_s=within_s) for worker in workers))


async def _finish_jobs(worker: Worker, *, within_s: float) -> None:
    worker.allow_pick_jobs = False
    try:
        async with asyncio.timeout(within_s):
            # A turn that has begun may still start jobs, so that none must run for two turns on end.
            while await _has_jobs(worker) or await _has_jobs(worker):
                pass
    except TimeoutError:
        log.warning("worker.stopped_with_jobs", count=len(worker.tasks))


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
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


def _loops(settings: Settings, parts: Parts, probe: loops.Probe) -> list[Coroutine[object, object, None]]:
    store = parts.store
    keep = timedelta(days=settings.keep_calls_d)
    return [
        parts.pump.run(),
        loops.every(loops.SWEEP_EVERY_S, lambda: loops.sweep(store, in_progress_s=in_progress_s(settings))),
        loops.every(loops.FORGET_EVERY_S, lambda: loops.forget(store, parts.clock, keep=keep)),
        loops.every(loops.PROBE_EVERY_S, probe.turn),
        loops.NamesWatch(parts.names, parts.client, hold_s(settings)).run(),
    ]


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


async def _check_outcomes(settings: Settings, parts: Parts) -> None:
    """Read the account's outcome names where the last ones are old or lack one; with Buildr away, go on with the last ones."""
    known = await parts.names.current()
    if known is not None and not parts.names.is_stale and not unknown_names(settings.outcome_config, known):
        return
    try:
        async with asyncio.timeout(NAMES_AT_START_S + settings.buildr_timeout_s):
            while not await parts.names.refresh(parts.client, hold_s=hold_s(settings)):
                await parts.store.permits.pump()
                await asyncio.sleep(0.1)
    except (BuildrError, TimeoutError) as err:
        log.warning("buildr.outcomes_not_read", reason=getattr(err, "cause", "no_budget"), error=str(err))
    ids = await parts.names.current()
    if ids is not None and (unknown := unknown_names(settings.outcome_config, ids, spelt=parts.names.spelt)):
        raise SettingsError(tuple(unknown))
