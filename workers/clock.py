"""
The time that the fleet agrees on: that of Redis.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from service.store.redis_client import Client

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

    async def sync(self, redis: Client) -> timedelta:
        """
        Measure again, unless the answer took too long to mean anything: half of its way is the
        error. Raises redis-py's errors.
        """
        before = datetime.now(UTC)
        seconds, micros = await redis.time()
        after = datetime.now(UTC)
        theirs = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)
        if after - before <= LONGEST_ROUND_TRIP:
            self.offset = theirs - (before + (after - before) / 2)
        return self.offset

    @property
    def is_off(self) -> bool:
        """
        Whether this machine's clock differs so much that arq starts jobs noticeably early or late.
        """
        return abs(self.offset) > TOLERATED
