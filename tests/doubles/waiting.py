"""
Waiting in a coroutine test until something holds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

TIMEOUT_S: Final = 30.0
INTERVAL_S: Final = 0.01


async def until(holds: Callable[[], Awaitable[bool]], *, goal: str) -> None:
    """Wait until something holds, or fail saying what was waited for."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TIMEOUT_S
    while not await holds():
        if loop.time() > deadline:
            raise AssertionError(f"waited {TIMEOUT_S:g} s in vain for {goal}")
        await asyncio.sleep(INTERVAL_S)
