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
    while True:
        try:
            await run()
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(LogEvent.WORKER_TURN_FAILED, reason=type(err).__name__)
        await asyncio.sleep(interval_s)
