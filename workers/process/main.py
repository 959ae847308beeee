"""
The worker process: for each account an arq worker as the alarm clock, and periodic tasks beside it.

Accounts share nothing but the process: each has its own queue, its own job slots, and its own
connections to Redis and to Buildr. A failing account does not slow down another one.
"""

import asyncio
import secrets
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

import structlog

from service.cancelling import cancel_and_wait
from service.collector import reduce_gc_pauses
from service.error_reports import reporting_errors
from service.errors import SettingsError
from service.logs.events import LogEvent
from service.logs.setup import configure_logging
from service.settings import Installation
from service.settings.source_settings import start_faults
from service.sources import SOURCES
from service.store.redis_trouble import REDIS_ERRORS
from workers.alerts.monitor import AlertMonitor
from workers.buildr.tokens import NO_CREDENTIALS
from workers.process.account_worker import AccountWorker, open_account_worker
from workers.process.event_loop import new_event_loop
from workers.process.extras import open_tracing
from workers.process.tasks import finish_jobs

# Platforms wait at least 10 seconds between SIGTERM and SIGKILL.
# With the default of `BUILDR_TIMEOUT_S`, 8 s, this and the time to deregister stay below that.
FINISH_MARGIN_S: Final = 0.5
# Redis may be what is wrong: a worker that ends must not hang on a courtesy to the others.
DEREGISTER_TIMEOUT_S: Final = 1.0
# One account that waits for its own Buildr must not delay the log line by which an operator sees
# that the others work.
ACCOUNTS_READY_TIMEOUT_S: Final = 2.0

log = structlog.get_logger(__name__)


def run_worker(installation: Installation) -> None:
    """
    Run a worker until SIGTERM or SIGINT.

    Raises `SettingsError` for what an operator must correct before it can work. Redis may come and
    go meanwhile.
    """
    settings = installation.default
    configure_logging(fmt=settings.log_format, level=settings.log_level, in_background=True)
    SOURCES.load_all()
    faults = list(start_faults(installation))
    if not installation.others and not settings.has_buildr_credentials:
        faults.append(NO_CREDENTIALS)
    if faults:
        raise SettingsError(tuple(faults))
    with reporting_errors(settings), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run_until_signal(installation))


async def _run_until_signal(installation: Installation) -> None:
    """Run until SIGTERM or SIGINT, whenever they arrive; a second signal changes nothing."""
    stop = asyncio.Event()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before anything is opened: a signal that comes during the start has to close what is open,
    # too.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    # A task of its own, and never cancelled once it has started: it has to wait for jobs that run.
    running = asyncio.create_task(_run(installation, stop, started))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not started.is_set():
        # There is nothing to finish yet. Once it has started, `_run` waits for `stop` by itself.
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _run(installation: Installation, stop: asyncio.Event, started: asyncio.Event) -> None:
    # The random part: a container that is started again has the same host name, and its old
    # heartbeat may still be there. As one and the same worker, its old calls would not be taken
    # over.
    worker_id = f"{socket.gethostname()}:{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        tracing = open_tracing(installation.default)
        if tracing is not None:
            stack.callback(tracing.close)
        account_workers = [
            await stack.enter_async_context(open_account_worker(settings, worker_id, tracing))
            for settings in installation.accounts
        ]
        # From here on tasks run beside this one. The `finally` below has to end them before the
        # stack closes their connections to Redis and Buildr.
        tasks = _start(account_workers, stop)
        if installation.default.has_alerts:
            monitor = AlertMonitor.of(installation, is_standby=False)
            stack.push_async_callback(monitor.close)
            tasks.add(asyncio.create_task(monitor.run()))
        try:
            await _wait_until_ready(account_workers, tasks)
            started.set()
            reduce_gc_pauses()
            working = [worker.account for worker in account_workers if not worker.faults]
            log.info(LogEvent.WORKER_STARTED, worker_id=worker_id, accounts=working)
            # `_finish_on_stop` is among the tasks: its end is the normal end of the process.
            await _raise_first_error(tasks)
        finally:
            # Jobs that have not ended in time are cancelled here, and only then is the worker taken
            # off the list: the other way round, another worker would run a call that this one still
            # writes.
            await cancel_and_wait(tasks)
            await asyncio.gather(*(_deregister(worker, worker_id) for worker in account_workers))
            log.info(LogEvent.WORKER_STOPPED, worker_id=worker_id)


def _start(
    account_workers: Sequence[AccountWorker], stop: asyncio.Event
) -> set["asyncio.Task[None]"]:
    is_alone = len(account_workers) == 1
    timeouts_s = (worker.components.settings.buildr_timeout_s for worker in account_workers)
    # One request, not a whole job: a job that has just begun its second request is cancelled, and
    # another worker writes again what is in doubt.
    finish_s = max(timeouts_s) + FINISH_MARGIN_S
    coroutines = [worker.run(is_alone=is_alone) for worker in account_workers]
    coroutines.append(_finish_on_stop(account_workers, stop, within_s=finish_s))
    return {asyncio.create_task(coroutine) for coroutine in coroutines}


async def _raise_first_error(
    tasks: set["asyncio.Task[None]"], *, timeout_s: float | None = None
) -> None:
    """Wait until a task ends, at most `timeout_s` seconds; raises the error that ended it."""
    done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    # `result` raises what the task has raised; without it, the error would only be logged by
    # asyncio when the task is collected.
    for task in done:
        task.result()


async def _wait_until_ready(
    account_workers: Sequence[AccountWorker], tasks: set["asyncio.Task[None]"]
) -> None:
    """
    Wait until every account is ready to work or has been left out.

    With several accounts the wait ends after `ACCOUNTS_READY_TIMEOUT_S`: those that are ready do
    not wait for the others. Raises the error that ended an account, and `SettingsError` if no
    account can work.
    """
    timeout_s = None if len(account_workers) == 1 else ACCOUNTS_READY_TIMEOUT_S
    ready = asyncio.create_task(_all_ready(account_workers))
    try:
        await _raise_first_error({ready, *tasks}, timeout_s=timeout_s)
    finally:
        ready.cancel()
    if all(worker.faults for worker in account_workers):
        raise SettingsError(
            tuple(
                f"account {worker.account}: {fault}"
                for worker in account_workers
                for fault in worker.faults
            )
        )


async def _all_ready(account_workers: Sequence[AccountWorker]) -> None:
    for worker in account_workers:
        await worker.is_ready.wait()


async def _finish_on_stop(
    account_workers: Sequence[AccountWorker], stop: asyncio.Event, *, within_s: float
) -> None:
    """
    On `stop` take no more jobs, and wait at most `within_s` seconds for those that run.

    Jobs that have not ended by then are cancelled, and another worker runs them again.
    """
    await stop.wait()
    await asyncio.gather(
        *(finish_jobs(worker.worker, within_s=within_s) for worker in account_workers)
    )


async def _deregister(worker: AccountWorker, worker_id: str) -> None:
    """
    Remove the worker from the list of live workers, so that others take over its cancelled jobs,
    and keep the figures that it has counted.

    With Redis away its entry expires by itself.
    """
    with suppress(*REDIS_ERRORS, OSError):
        async with asyncio.timeout(DEREGISTER_TIMEOUT_S):
            store = worker.components.store
            await store.workers.remove(worker_id)
            await store.figures.add(worker.components.tally)
