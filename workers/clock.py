"""
The time that the fleet agrees on: that of Redis.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from service.clock import steady_s

# A machine with NTP stays far below.
TOLERATED: Final = timedelta(milliseconds=500)
LONGEST_ROUND_TRIP: Final = timedelta(milliseconds=500)


@dataclass(slots=True)
class SharedClock:
    """
    The clock of Redis, carried on by this process's monotonic timer; `sync` reads it anew.

    What happens to the clock of this machine meanwhile does not matter. `offset` is by how much
    Redis was ahead of it when this process began.
    """

    offset: timedelta = field(default=timedelta())
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _began_s: float = field(default_factory=steady_s)

    def __call__(self) -> datetime:
        """The present by the clock of Redis, in UTC."""
        return self._carried_on() + self.offset

    async def sync(self, read_time: Callable[[], Awaitable[datetime]]) -> timedelta:
        """
        Measure the offset by `Store.time`; an answer that took longer than 500 ms is not used,
        since half of that time is the error. Raises redis-py's errors.
        """
        before = self._carried_on()
        redis_time = await read_time()
        after = self._carried_on()
        if after - before <= LONGEST_ROUND_TRIP:
            # Both ways are taken as equally long, so that the error is at most half of the round
            # trip.
            self.offset = redis_time - (before + (after - before) / 2)
        return self.offset

    @property
    def machine_offset(self) -> timedelta:
        """By how much Redis is ahead of the clock of this machine now."""
        return self() - datetime.now(UTC)

    @property
    def is_off(self) -> bool:
        """
        Whether this machine's clock differs noticeably: the times of its log lines do, nothing
        else.
        """
        return abs(self.machine_offset) > TOLERATED

    def _carried_on(self) -> datetime:
        return self._began_at + timedelta(seconds=steady_s() - self._began_s)
