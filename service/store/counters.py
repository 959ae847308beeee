"""
Counters of what the service left alone on purpose, per source.
"""

from contextlib import suppress

from msgspec import Struct
from redis.exceptions import OutOfMemoryError

from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.stored_values import read_integer


class Counters(Struct, frozen=True):
    """Counts by name and source, since the installation began."""

    redis: Client
    keys: Keys

    async def add(self, name: str, source: str, count: int = 1) -> None:
        """Count one more, or several. Raises redis-py's errors."""
        # No expiry: there are as many fields as there are names and sources, a few dozen.
        # A figure that is too small is no reason to stop a job while Redis is full.
        with suppress(OutOfMemoryError):
            await self.redis.hincrby(self.keys.named("counts"), f"{name}:{source}", count)

    async def all(self) -> dict[str, int]:
        """Every counter, by `name:source`."""
        counts = await self.redis.hgetall(self.keys.named("counts"))
        return {name_in(name): read_integer(value) or 0 for name, value in sorted(counts.items())}
