"""
Ending asyncio tasks and arq's jobs within a time limit.
"""

import asyncio
from typing import Any, Final

import structlog
from arq.worker import Worker

from service.logs.events import LogEvent

POLL_DELAY_S: Final = 0.05
CANCEL_AGAIN_S: Final = 0.2

log = structlog.get_logger(__name__)


async def finish_jobs(worker: Worker, *, within_s: float) -> None:
    """Take no more jobs, and wait at most `within_s` seconds for those that run."""
    worker.allow_pick_jobs = False
    try:
        async with asyncio.timeout(within_s):
            # arq's poll that has begun may still start jobs: none may run for two polls in a row.
            while await _has_jobs(worker) or await _has_jobs(worker):
                pass
    except TimeoutError:
        log.warning(LogEvent.WORKER_STOPPED_WITH_JOBS, count=len(worker.tasks))


async def cancel_and_wait(tasks: set[asyncio.Task[Any]]) -> None:
    """
    Cancel tasks until all have ended.

    One cancellation is not enough: redis-py swallows one that arrives while it handles a lost
    connection.
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)


async def _has_jobs(worker: Worker) -> bool:
    running = [task for task in worker.tasks.values() if not task.done()]
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(2 * POLL_DELAY_S)
    return bool(running)
