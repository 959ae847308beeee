"""
The account's call outcomes, as last read from Buildr.
"""

from typing import Final

import msgspec
from msgspec import Struct

from service.events import UtcDatetime
from service.store import script_calls
from service.store.keys import Keys
from service.store.redis_client import Client
from service.store.script_runner import Scripts


class StoredOutcomes(Struct, frozen=True, kw_only=True):
    """
    The account's call outcomes as pairs `(name, id)`, and when they were read.
    """

    names: tuple[tuple[str, str], ...]
    read_at: UtcDatetime


_OUTCOMES: Final = msgspec.json.Decoder(StoredOutcomes)


class Outcomes(Struct, frozen=True):
    """Keeps the list without an end: an old one is better than none when Buildr is away."""

    redis: Client
    keys: Keys
    scripts: Scripts

    async def load(self) -> StoredOutcomes | None:
        """The list, or None if it was never read, or is damaged: it is soon read again."""
        text = await self.redis.get(self.keys.named("outcomes"))
        if text is None:
            return None
        try:
            return _OUTCOMES.decode(text)
        except ValueError:
            return None

    async def save(self, outcomes: StoredOutcomes) -> None:
        """Keep a list that was just read."""
        text = msgspec.json.encode(outcomes)
        await self.scripts.run(script_calls.put(name="outcomes", value=text, ttl_ms=0))
