"""
How many jobs of a worker may have requests to Buildr under way at a time.
"""

import asyncio
from typing import Final

# A permit is held meanwhile. Well below what its hold has for the time before the request.
PLACE_WAIT_S: Final = 0.5


class RequestPlaces:
    """
    Places for the jobs that have a permit; of those without a request many more may run.

    Belongs to one event loop.
    """

    def __init__(self, count: int, *, wait_s: float = PLACE_WAIT_S) -> None:
        self.free = count
        self._wait_s: Final = wait_s
        self._places: Final = asyncio.Semaphore(count)

    async def enter(self) -> bool:
        """Take a place, to be given back by `leave`; False if none is free in time."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            return False
        self.free -= 1
        return True

    def leave(self) -> None:
        """Give a place back."""
        self.free += 1
        self._places.release()
