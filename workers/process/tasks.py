"""
Ending asyncio tasks and arq's jobs within a time limit.
"""

import asyncio
from typing import Any, Final

import structlog
from arq.worker import Worker

from service.logs.events import LogEvent

# A due call starts after 25 ms on average, at the cost of about 1 % of a core for the polling.
POLL_DELAY_S: Final = 0.05
# How long a task may take to close what it has open before it is cancelled once more.
CANCEL_AGAIN_S: Final = 0.2

log = structlog.get_logger(__name__)


async def finish_jobs(worker: Worker, *, within_s: float) -> None:
    """Take no more jobs, and wait at most `within_s` seconds for those that run."""
    # arq reads this flag at the beginning of each poll. Its loop goes on, so that finished jobs are
    # collected and their errors raised.
    worker.allow_pick_jobs = False
    try:
        async with asyncio.timeout(within_s):
            # arq's poll that has begun may still start jobs: none may run for two polls in a row.
            while await _has_jobs(worker) or await _has_jobs(worker):
                pass
    except TimeoutError:
        # Nothing is lost: each of them has an alarm in Redis, and its request counts as in doubt.
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
        # `wait` and not `gather`: the errors of tasks that are being cancelled are of no use any
        # more, and `gather` would raise the first one with the others still running.
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)


async def _has_jobs(worker: Worker) -> bool:
    running = [task for task in worker.tasks.values() if not task.done()]
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(2 * POLL_DELAY_S)
    return bool(running)
