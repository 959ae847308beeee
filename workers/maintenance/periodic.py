"""
Runs a function at an interval.

arq's own cron is not used: it skips a run that it missed, and clocks that differ make it run twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error
from workers.maintenance.redis_watch import RedisWatch

# How long a turn waits for Redis before it is tried anyway.
WAIT_FOR_REDIS_S: Final = 60.0
# A bug fails the same way at the next turn: slow enough for the log, and the rest goes on.
BROKEN_RETRY_S: Final = 60.0

log = structlog.get_logger(__name__)


async def run_every(
    interval_s: float, run: Callable[[], Awaitable[None]], *, watch: RedisWatch
) -> None:
    """
    Call `run` every `interval_s` seconds until cancelled, while Redis is well. An error ends the
    turn, not the worker.
    """
    # Begins at once: a worker that starts after a crash of all others sweeps first.
    while True:
        await watch.wait_until_well(at_most_s=WAIT_FOR_REDIS_S)
        # After the run and not by the clock: a slow run must never overlap with the next.
        await asyncio.sleep(max(interval_s, await run_turn(run, watch=watch)))


async def run_turn(run: Callable[[], Awaitable[None]], *, watch: RedisWatch) -> float:
    """
    Call `run` once; returns for how many seconds the next turn is to wait at least.

    Nothing is made up for: each of these functions works on what is due by then, so that the next
    turn does the work of this one too.
    """
    try:
        await run()
    except (*REDIS_ERRORS, OSError) as err:
        self_heals = classify_redis_error(err) is not RedisTrouble.REFUSED
        watch.lost(err)
        return 0 if self_heals else BROKEN_RETRY_S
    # A bug, or records that cannot be read: deliveries must go on all the same.
    except Exception:
        log.exception(LogEvent.WORKER_TURN_FAILED, reason="internal_error")
        return BROKEN_RETRY_S
    return 0
