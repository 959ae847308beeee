"""
Calls that go on under another id: from the later id to the calls whose legs moved there.
"""

from msgspec import Struct

from service.store.keys import Keys, name_in
from service.store.redis_client import Client


class Continuations(Struct, frozen=True):
    """Keeps for `keep_ms` milliseconds, after the last leg moved, whose legs moved to a call."""

    redis: Client
    keys: Keys
    keep_ms: int

    async def add(self, ref: str, *, first_ref: str) -> bool:
        """
        Note that legs of the call `first_ref` have moved to the call `ref`; returns whether that is
        new.
        """
        key = self._key(ref)
        pipe = self.redis.pipeline(transaction=True)
        pipe.sadd(key, first_ref)
        pipe.pexpire(key, self.keep_ms)
        added, _ = await pipe.execute()
        return bool(added)

    async def first_refs(self, ref: str) -> tuple[str, ...]:
        """The calls whose legs moved to this one, in order; empty for almost every call."""
        members = await self.redis.smembers(self._key(ref))
        return tuple(sorted(name_in(member) for member in members))

    def _key(self, ref: str) -> str:
        return self.keys.named(f"moved_to:{ref}")
