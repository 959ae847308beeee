"""
What the alerts of an account keep: who sends them, what is open, and when a receiver last ran.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.store.keys import Keys
from service.store.locks import acquire_or_keep, release
from service.store.redis_client import Client
from service.store.script_runner import Scripts

LEASE: Final = "alerts_lease"


@dataclass(frozen=True, slots=True)
class AlertRecords:
    """
    Three strings: `alerts_lease` with the name of the process that sends, `alerts` with the state
    as JSON, `alerts_receiver` with ms since the epoch. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys
    scripts: Scripts

    async def take_lease(self, owner: str, *, ttl_s: float) -> bool:
        """Take or keep the right to send, for `ttl_s` seconds from now; False if others have it."""
        return await acquire_or_keep(self.scripts, LEASE, owner, ttl_s=ttl_s)

    async def give_lease(self, owner: str) -> None:
        """Give the right back, if it is the owner's."""
        await release(self.redis, self.keys.named(LEASE), owner)

    async def load(self) -> bytes | None:
        """The state, or None if there was never one."""
        return await self.redis.get(self.keys.named("alerts"))

    async def save(self, state: bytes) -> None:
        """Keep the state in place of the one before."""
        await self.redis.set(self.keys.named("alerts"), state)

    async def note_receiver(self, now: datetime) -> None:
        """Record that a receiver runs."""
        now_ms = int(now.timestamp() * 1000)
        await self.redis.set(self.keys.named("alerts_receiver"), now_ms)

    async def receiver_at(self) -> datetime | None:
        """When a receiver last recorded that it runs (UTC); None if none ever did."""
        text = await self.redis.get(self.keys.named("alerts_receiver"))
        if text is None:
            return None
        return datetime.fromtimestamp(int(text) / 1000, UTC)
