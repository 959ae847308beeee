"""
When each source last sent something, and how many messages came in each hour of the last weeks.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from service.store import script_calls
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts
from service.store.stored_values import read_integer, read_ms

Kind = Literal["message", "handshake"]
HOUR_S: Final = 3600
# The name under which stored data has it; see `SourceActivity`.
LAST_AT_KEY: Final = "heard"
# The hours of four weeks, and those of the week that is compared with them.
KEEP_HOURS: Final = 5 * 7 * 24


class SourceActivity(Struct, frozen=True):
    """
    Reads what `accept` and `keep_failed` write with each message; the rest is written here. Moments
    are UTC, by the clock of Redis.

    Two kinds of hash. `LAST_AT_KEY`, one per account: `message:SLUG`, `handshake:SLUG` and
    `silent:SLUG`, each with ms since the epoch. `hours:SLUG`: the number of messages by the number
    of the hour since 1970 (UTC).
    """

    redis: Client
    keys: Keys
    scripts: Scripts

    async def note(self, kind: Kind, source: str) -> None:
        """Record that a message or handshake came now. Raises redis-py's errors."""
        # By the clock of Redis, as the scripts write it: a receiver whose clock is ahead would make
        # a silent source look active.
        now_ms = await self.scripts.run(script_calls.now())
        await self.redis.hset(self.keys.named(LAST_AT_KEY), f"{kind}:{source}", str(now_ms))

    async def last(self) -> dict[tuple[str, str], datetime]:
        """
        When each kind last came from each source, by `(kind, slug)`, such as
        `("message", "twilio")`; the kind `silent` is since when a source is silent.
        """
        fields = await self.redis.hgetall(self.keys.named(LAST_AT_KEY))
        pairs = ((name_in(name).partition(":")[::2], read_ms(at)) for name, at in fields.items())
        return {pair: at for pair, at in pairs if at is not None}

    async def take_back(
        self, source: str, counts: Mapping[int, int], *, last_at: datetime | None
    ) -> None:
        """
        Undo what test messages have left: `counts` by hour as in `hours`, and the time of the last
        message, which was `last_at` before them.
        """
        for hour, count in counts.items():
            await self.redis.hincrby(self.keys.named(f"hours:{source}"), str(hour), -count)
        name = f"message:{source}"
        if last_at is None:
            await self.redis.hdel(self.keys.named(LAST_AT_KEY), name)
            return
        last_ms = round(last_at.timestamp() * 1000)
        await self.redis.hset(self.keys.named(LAST_AT_KEY), name, str(last_ms))

    async def set_silent(self, source: str, since: datetime) -> bool:
        """Record that a source is silent; True for the process that is the first to do so."""
        since_ms = str(int(since.timestamp() * 1000))
        # HSET counts new fields: of several workers that note it at once one gets 1, and logs it.
        added = await self.redis.hset(self.keys.named(LAST_AT_KEY), f"silent:{source}", since_ms)
        return added == 1

    async def clear_silent(self, source: str) -> bool:
        """Record that a source sends again; True for the process that is the first to do so."""
        return await self.redis.hdel(self.keys.named(LAST_AT_KEY), f"silent:{source}") == 1

    async def hours(self, source: str) -> dict[int, int]:
        """
        The number of messages by hour, as hours since 1970 (UTC); an hour without any is left out.
        """
        counts = await self.redis.hgetall(self.keys.named(f"hours:{source}"))
        pairs = ((read_integer(hour), read_integer(count)) for hour, count in counts.items())
        return {hour: count for hour, count in pairs if hour is not None and count is not None}

    async def forget_hours(self, source: str, *, before: datetime) -> None:
        """Drop the hours that are too old to be compared with those after a moment."""
        oldest = int(before.timestamp()) // HOUR_S - KEEP_HOURS
        # Hashes have no expiry per field before Redis 7.4.
        old = [str(hour) for hour in await self.hours(source) if hour < oldest]
        if old:
            await self.redis.hdel(self.keys.named(f"hours:{source}"), *old)
