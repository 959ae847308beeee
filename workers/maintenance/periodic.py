"""
What a worker does beside its jobs: let waiting calls go, heal lost alarms, prove that Redis takes
writes, read outcome names.

arq's own cron is not used: it forgets a run that it missed, and clocks that differ make it run
twice.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


async def every(seconds: float, turn: Callable[[], Awaitable[None]]) -> None:
    """
    Take turns until cancelled; an error of Redis is logged and the next turn comes all the same.
    """
    while True:
        try:
            await turn()
        except (RedisError, OSError, TimeoutError) as err:
            log.warning("worker.turn_failed", reason=type(err).__name__)
        await asyncio.sleep(seconds)
