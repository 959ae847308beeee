"""
Ending tasks that do not end at once.
"""

import asyncio
from contextlib import suppress

import pytest

from service.cancelling import cancel_and_wait


async def _stubborn(times: int) -> None:
    """Swallow so many cancellations, as redis-py does with one while a connection is lost."""
    for _ in range(times + 1):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


@pytest.mark.anyio
async def test_a_task_is_cancelled_until_it_ends() -> None:
    """Beside it one that has ended, and one that fails."""
    ended = asyncio.create_task(asyncio.sleep(0))
    await ended
    tasks = [asyncio.create_task(_stubborn(times)) for times in (0, 1)]
    # Each is at its first wait.
    await asyncio.sleep(0)
    await cancel_and_wait([ended, *tasks])
    assert all(task.done() for task in tasks)
    await cancel_and_wait([])
