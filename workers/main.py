"""
The worker process: arq as the alarm clock, and the loops beside it.
"""

import asyncio
import json
import random
import secrets
import signal
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from arq.worker import Worker, func
from redis.exceptions import RedisError

from service.errors import BuildrError, BuildrRateLimited, QueueUnavailable, SettingsError
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
from workers.jobs import Runner, deliver, rearm
from workers.outcomes import unknown_names

MAX_TRIES: Final = 2**31 - 1
JOB_MARGIN_S: Final = 3.0
POLL_DELAY_S: Final = 0.05
CANCEL_AGAIN_S: Final = 0.2
GOODBYE_S: Final = 1.0
HOLD_MARGIN_S: Final = 2.0
NAMES_AT_START_S: Final = 5.0
REDIS_AT_START_S: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker is made of."""

    store: Store
    client: BuildrClient
    clock: SharedClock
    names: OutcomeNames
    pump: loops.Pump
    runner: Runner


def build(settings: Settings, store: Store, client: BuildrClient, *, clock: SharedClock | None = None) -> Parts:
    """Put a worker together."""
    clock = clock or SharedClock()
    names = OutcomeNames(store, clock)
    pump = loops.Pump(store, settings.requests_per_call)
    config = settings.outcome_config
    sender = Sender(
        client=client,
        permits=store.permits,
        limits=Limits(max_attempts=settings.max_attempts, max_age=timedelta(hours=settings.max_age_h)),
        request_timeout_s=settings.buildr_timeout_s,
        notes_mode=config.notes.mode,
        clock=clock,
        rng=random.SystemRandom(),
    )
    runner = Runner(
        store=store,
        sender=sender,
        names=names,
        config=config,
        timing=Timing(
            settle=settings.settle_s,
            ringing_timeout_s=settings.ringing_timeout_s,
            in_progress_timeout_s=settings.in_progress_timeout_s,
        ),
        hold_s=hold_s(settings),
        requests_per_call=settings.requests_per_call,
        clock=clock,
        on_budget=pump.kick,
    )
    return Parts(store=store, client=client, clock=clock, names=names, pump=pump, runner=runner)


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
        job_timeout=hold_s(settings) + JOB_MARGIN_S,
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
    """The longest that one job's requests to Buildr may take, in seconds."""
    return settings.buildr_timeout_s * settings.requests_per_call + HOLD_MARGIN_S


def run_worker(settings: Settings) -> None:
    """
    Run a worker until it is told to stop.

    Raises `SettingsError` for what a person must mend before it can work, and `RedisRefusesWrites` when Redis takes nothing any more.
    """
    configure_logging(fmt=settings.log_format, level=settings.log_level)
    if not settings.has_buildr_credentials:
        raise SettingsError(("BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET: one of them must be set",))
    asyncio.run(_until_told_to_stop(settings))


async def _until_told_to_stop(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, whenever they come; a second one changes nothing."""
    told, started = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told.set)
    running = asyncio.create_task(_run(settings, told, started))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not started.is_set():
        # There is nothing to finish yet. Once it has started, `_run` hears of it by itself.
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _run(settings: Settings, told: asyncio.Event, started: asyncio.Event) -> None:
    worker_id = f"{socket.gethostname()}:{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        await _check_redis(store)
        client = await stack.enter_async_context(BuildrClient(settings, tokens=token_provider(settings, store.tokens)))
        parts = build(settings, store, client)
        offset = await parts.clock.sync(store.redis)
        if parts.clock.is_off:
            log.warning("worker.clock_off", offset_ms=int(offset.total_seconds() * 1000))
        await _check_outcomes(settings, parts)
        worker = arq_worker(settings, parts, worker_id)
        beside = [asyncio.create_task(each) for each in _loops(settings, parts, worker_id)]
        main = asyncio.create_task(worker.async_run())
        stopping = asyncio.create_task(_finish_jobs(worker, told, within_s=hold_s(settings) + JOB_MARGIN_S))
        started.set()
        log.info("worker.started", worker_id=worker_id, jobs=settings.worker_jobs)
        try:
            done, _ = await asyncio.wait([main, stopping, *beside], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            if not told.is_set():
                raise loops.RedisRefusesWrites("arq's loop has ended, which only happens when Redis goes away")
        except (RedisError, OSError) as err:
            raise loops.RedisRefusesWrites(f"Redis went away ({type(err).__name__})") from err
        finally:
            await _end({*beside, main, stopping, *worker.tasks.values()})
            await _say_goodbye(store, worker_id)
            log.info("worker.stopped", worker_id=worker_id)


async def _finish_jobs(worker: Worker, told: asyncio.Event, *, within_s: float) -> None:
    """Once told to stop: take no more jobs, and wait for those that run."""
    await told.wait()
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
    """Take the worker off the list of those alive at once; with Redis away it leaves the list by itself."""
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await store.redis.delete(health_key(store.keys, worker_id), store.keys.named(f"worker:{worker_id}"))


async def _has_jobs(worker: Worker) -> bool:
    running = [task for task in worker.tasks.values() if not task.done()]
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(2 * POLL_DELAY_S)
    return bool(running)


def _loops(settings: Settings, parts: Parts, worker_id: str) -> list[Coroutine[object, object, None]]:
    store = parts.store
    probe = loops.Probe(store, worker_id, parts.clock)
    keep = timedelta(days=settings.keep_calls_d)
    return [
        parts.pump.run(),
        loops.every(loops.SWEEP_EVERY_S, lambda: loops.sweep(store)),
        loops.every(loops.FORGET_EVERY_S, lambda: loops.forget(store, parts.clock, keep=keep)),
        loops.every(loops.PROBE_EVERY_S, probe.turn),
        loops.NamesWatch(parts.names, parts.client, store, hold_s(settings)).run(),
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
                await parts.store.permits.pump(call_cost=settings.requests_per_call)
                await asyncio.sleep(0.1)
    except BuildrRateLimited as err:
        log.info("buildr.rate_limited", retry_in_s=round(await parts.store.permits.block(err.retry_after_s), 3), bucket=err.bucket)
    except (BuildrError, TimeoutError) as err:
        log.warning("buildr.outcomes_not_read", reason=getattr(err, "cause", "no_budget"), error=str(err))
    ids = await parts.names.current()
    if ids is not None and (unknown := unknown_names(settings.outcome_config, ids, spelt=parts.names.spelt)):
        raise SettingsError(tuple(unknown))
