"""
Runs a function at an interval.

arq's own cron is not used: it skips a run that it missed, and clocks that differ make it run twice.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from service.logs.events import LogEvent

log = structlog.get_logger(__name__)


async def run_every(interval_s: float, run: Callable[[], Awaitable[None]]) -> None:
    """
    Call `run` every `interval_s` seconds until cancelled; an error of Redis is logged.
    """
    # Begins at once: a worker that starts after a crash of all others sweeps first.
    while True:
        try:
            await run()
        # Nothing is made up for: each of these functions works on what is due by then, so that the
        # next turn does the work of this one too. Any other exception is a bug and ends the worker.
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(LogEvent.WORKER_TURN_FAILED, reason=type(err).__name__)
        # After the run and not by the clock: a slow run must never overlap with the next.
        await asyncio.sleep(interval_s)
