"""
The time that the fleet agrees on: that of Redis.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

# What an operator would notice in the delay of a call. A machine with NTP stays far below.
TOLERATED: Final = timedelta(milliseconds=500)
LONGEST_ROUND_TRIP: Final = timedelta(milliseconds=500)


@dataclass(slots=True)
class SharedClock:
    """
    The clock of this machine, put right by Redis' own; `sync` measures how far they are apart.
    """

    # Not used for arq's own start of jobs, which reads this machine's clock by itself.
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
            # Both ways are taken as equally long, so that the error is at most half of the round
            # trip.
            self.offset = redis_time - (before + (after - before) / 2)
        return self.offset

    @property
    def is_off(self) -> bool:
        """
        Whether this machine's clock differs so much that arq starts jobs noticeably early or late.
        """
        return abs(self.offset) > TOLERATED
