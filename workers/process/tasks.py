"""
Ending arq's jobs within a time limit.
"""

import asyncio
from typing import Final

import structlog
from arq.worker import Worker

from service.logs.events import LogEvent

# A due call starts after 25 ms on average, at the cost of about 1 % of a core for the polling.
POLL_DELAY_S: Final = 0.05

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


async def _has_jobs(worker: Worker) -> bool:
    running = [task for task in worker.tasks.values() if not task.done()]
    if running:
        await asyncio.wait(running)
    await asyncio.sleep(2 * POLL_DELAY_S)
    return bool(running)
