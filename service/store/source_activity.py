"""
When each source was last heard of, and how much came from it in each hour of the last weeks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from service.store.keys import Keys
from service.store.redis_client import Client

Kind = Literal["message", "handshake"]
HOUR_S: Final = 3600
# The hours of four weeks, and those of the week that is compared with them.
KEEP_HOURS: Final = 5 * 7 * 24


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """
    Reads what `accept` and `keep_failed` write with each message; the rest is written here. Moments
    are UTC, by the clock of Redis.
    """

    redis: Client
    keys: Keys

    async def note(self, kind: Kind, source: str) -> None:
        """Remember that something came now. Raises redis-py's errors."""
        seconds, micros = await self.redis.time()
        await self.redis.hset(
            self.keys.named("heard"),
            f"{kind}:{source}",
            str(int(seconds) * 1000 + int(micros) // 1000),
        )

    async def last(self) -> dict[tuple[str, str], datetime]:
        """
        When each kind of thing last came from each source, by kind and slug; `silent` is since when
        a source is silent.
        """
        found = await self.redis.hgetall(self.keys.named("heard"))
        pairs = ((name.decode().partition(":")[::2], int(value)) for name, value in found.items())
        return {pair: datetime.fromtimestamp(value / 1000, UTC) for pair, value in pairs}

    async def mark_silent(self, source: str, since: datetime) -> bool:
        """Write down that a source is silent; True for whoever is the first to do so."""
        return (
            await self.redis.hset(
                self.keys.named("heard"), f"silent:{source}", str(int(since.timestamp() * 1000))
            )
            == 1
        )

    async def mark_heard(self, source: str) -> bool:
        """Write down that a source is no longer silent; True for whoever is the first to do so."""
        return await self.redis.hdel(self.keys.named("heard"), f"silent:{source}") == 1

    async def hours(self, source: str) -> dict[int, int]:
        """
        How many messages came in which hour, counted from 1970; an hour without any is not there.
        """
        found = await self.redis.hgetall(self.keys.named(f"hours:{source}"))
        return {int(hour): int(count) for hour, count in found.items()}

    async def forget_hours(self, source: str, *, before: datetime) -> None:
        """Drop the hours that are too old to be compared with those after a moment."""
        oldest = int(before.timestamp()) // HOUR_S - KEEP_HOURS
        old = [str(hour) for hour in await self.hours(source) if hour < oldest]
        if old:
            await self.redis.hdel(self.keys.named(f"hours:{source}"), *old)
