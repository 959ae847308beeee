"""
Ending asyncio tasks.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

# How long a task may take to close what it has open before it is cancelled once more.
CANCEL_AGAIN_S: Final = 0.2


async def cancel_and_wait(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """
    Cancel tasks until all have ended.

    One cancellation is not enough: redis-py swallows one that arrives while it handles a lost
    connection.
    """
    remaining = {task for task in tasks if not task.done()}
    while remaining:
        for task in remaining:
            task.cancel()
        # `wait` and not `gather`: the errors of tasks that are being cancelled are of no use any
        # more, and `gather` would raise the first one with the others still running.
        _, remaining = await asyncio.wait(remaining, timeout=CANCEL_AGAIN_S)
