"""
The worker process: for each account arq as the alarm clock, and the loops beside it.

Accounts share nothing but the process: each has its own queue, its own slots for jobs, its own
connections to Redis and to Buildr. An account that is in trouble takes no turn from another.
"""

import asyncio
import secrets
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

import structlog
from redis.exceptions import RedisError

from service.errors import SettingsError
from service.logs.setup import configure_logging
from service.settings import Settings
from service.settings.source_settings import start_faults
from service.store.connection import Store
from workers.maintenance.heartbeat import RedisRefusesWrites
from workers.process.account_worker import AccountWorker, health_key, open_account_worker
from workers.process.startup_checks import NO_CREDENTIALS
from workers.process.tasks import cancel_and_wait, finish_jobs

# Platforms give a process that is told to stop 10 seconds at least.
FINISH_MARGIN_S: Final = 0.5
DEREGISTER_TIMEOUT_S: Final = 1.0
ACCOUNTS_AT_START_S: Final = 2.0

log = structlog.get_logger(__name__)


def run_worker(settings: Settings) -> None:
    """
    Run a worker until it is told to stop.

    Raises `SettingsError` for what a person must mend before it can work, and `RedisRefusesWrites`
    when Redis takes nothing any more.
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
        account_workers = [
            await stack.enter_async_context(open_account_worker(settings, worker_id))
            for settings in accounts
        ]
        tasks = {
            asyncio.create_task(each.run(is_alone=len(account_workers) == 1))
            for each in account_workers
        }
        tasks.add(
            asyncio.create_task(
                _finish_all(
                    account_workers,
                    told,
                    within_s=max(each.buildr_timeout_s for each in accounts) + FINISH_MARGIN_S,
                )
            )
        )
        try:
            await _until_ready(account_workers, tasks)
            started.set()
            log.info(
                "worker.started",
                worker_id=worker_id,
                accounts=[each.account for each in account_workers if not each.faults],
            )
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not told.is_set():
                raise RedisRefusesWrites(
                    "arq's loop has ended, which only happens when Redis goes away"
                )
        except (RedisError, OSError) as err:
            raise RedisRefusesWrites(f"Redis went away ({type(err).__name__})") from err
        finally:
            await cancel_and_wait(tasks)
            await asyncio.gather(
                *(_deregister(each.parts.store, worker_id) for each in account_workers)
            )
            log.info("worker.stopped", worker_id=worker_id)


async def _until_ready(
    account_workers: Sequence["AccountWorker"], tasks: set["asyncio.Task[None]"]
) -> None:
    """
    Wait until every account is ready to work, or has been left out; of several accounts nobody
    waits long for the others.

    Raises whatever has ended an account's part, and `SettingsError` if no account can work.
    """
    ready = asyncio.create_task(_all_ready(account_workers))
    try:
        limit_s = None if len(account_workers) == 1 else ACCOUNTS_AT_START_S
        done, _ = await asyncio.wait(
            {ready, *tasks}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        ready.cancel()
    if all(each.faults for each in account_workers):
        raise SettingsError(
            tuple(
                f"account {each.account}: {fault}"
                for each in account_workers
                for fault in each.faults
            )
        )


async def _all_ready(account_workers: Sequence["AccountWorker"]) -> None:
    for each in account_workers:
        await each.is_ready.wait()


async def _finish_all(
    account_workers: Sequence[AccountWorker], told: asyncio.Event, *, within_s: float
) -> None:
    """
    Once told to stop: take no more jobs, and wait for those that run; what has not ended by then is
    handed back.
    """
    await told.wait()
    await asyncio.gather(*(finish_jobs(each.worker, within_s=within_s) for each in account_workers))


async def _deregister(store: Store, worker_id: str) -> None:
    """
    Take the worker off the list of those alive, so that what it hands back is taken over; with
    Redis away it leaves by itself.
    """
    with suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(DEREGISTER_TIMEOUT_S):
            await store.redis.delete(
                health_key(store.keys, worker_id), store.keys.named(f"worker:{worker_id}")
            )
            await store.redis.hdel(store.keys.named("maps"), worker_id)
