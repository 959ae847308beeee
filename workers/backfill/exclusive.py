"""
One run at a time reads a source's call log: two would exceed the vendor's rate limit together, and
each would overwrite how far the other came.

The right to run expires by itself, so that a run that was killed is in nobody's way for long, and
is renewed while a run goes on.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final, TypeVar

from redis.exceptions import RedisError

from service.cancelling import cancel_and_wait
from service.store.backfill import Backfill, Run
from workers.subscriptions.errors import UpkeepError

TTL_S: Final = 60.0
RENEW_EVERY_S: Final = 15.0
LOST: Final = "another run has begun meanwhile, since Redis did not answer for too long"

T = TypeVar("T")
Pause = Callable[[float], Coroutine[object, object, None]]


class AlreadyRunning(UpkeepError):
    """Raised where another run reads the same log; the text says which, and since when."""


class RightLost(UpkeepError):
    """Raised in a run whose right went to another one."""


@asynccontextmanager
async def running_alone(
    records: Backfill, slug: str, *, now: datetime, pause: Pause = asyncio.sleep
) -> AsyncIterator[None]:
    """
    Have the right to read a source's call log. Raises `AlreadyRunning`, `RightLost` if the right
    could not be renewed, and redis-py's errors.
    """
    run = Run(host=socket.gethostname(), process=os.getpid(), began_at=now, owner=records.owner)
    other = await records.begin_run(slug, run, ttl_s=TTL_S)
    if other is not None:
        raise AlreadyRunning(_already_running(other))
    task = asyncio.current_task()
    is_lost = False

    async def renew() -> None:
        nonlocal is_lost
        while True:
            await pause(RENEW_EVERY_S)
            # Redis may be back before the right has expired.
            with suppress(RedisError, OSError):
                if await records.begin_run(slug, run, ttl_s=TTL_S) is not None:
                    break
        is_lost = True
        if task is not None:
            task.cancel()

    renewal = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if not is_lost:
            raise
        if task is not None:
            task.uncancel()
        raise RightLost(LOST) from None
    finally:
        await cancel_and_wait({renewal})
        with suppress(RedisError, OSError):
            await records.end_run(slug, run)


def _already_running(other: Run) -> str:
    return (
        f"another run reads its call log since {other.began_at:%Y-%m-%d %H:%M:%S} UTC "
        f"(process {other.process} on {other.host}); wait for its end. If it was killed, its right "
        f"to run ends within {TTL_S:.0f} s"
    )
