"""
The time that the fleet agrees on: that of Redis.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

TOLERATED: Final = timedelta(milliseconds=500)
LONGEST_ROUND_TRIP: Final = timedelta(milliseconds=500)


@dataclass(slots=True)
class SharedClock:
    """
    The clock of this machine, put right by Redis' own; `sync` measures how far they are apart.
    """

    offset: timedelta = field(default=timedelta())

    def __call__(self) -> datetime:
        """The present by the clock of Redis, in UTC."""
        return datetime.now(UTC) + self.offset

    async def sync(self, read_time: Callable[[], Awaitable[datetime]]) -> timedelta:
        """
        Measure the offset by `Store.time`; an answer that took longer than 500 ms is not used,
        since half of that time is the error. Raises redis-py's errors.
        """
        before = datetime.now(UTC)
        redis_time = await read_time()
        after = datetime.now(UTC)
        if after - before <= LONGEST_ROUND_TRIP:
            self.offset = redis_time - (before + (after - before) / 2)
        return self.offset

    @property
    def is_off(self) -> bool:
        """
        Whether this machine's clock differs so much that arq starts jobs noticeably early or late.
        """
        return abs(self.offset) > TOLERATED
