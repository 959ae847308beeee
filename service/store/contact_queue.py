"""
Contacts that are to be read again from Buildr, whose webhooks have named them.
"""

import secrets
from dataclasses import dataclass
from itertools import islice
from typing import Final

from service.store.keys import Keys
from service.store.redis_client import Client

_REMOVE: Final = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then "
    "return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
)


@dataclass(frozen=True, slots=True)
class ContactQueue:
    """The queue of an account; every method raises redis-py's errors."""

    redis: Client
    keys: Keys

    async def add(self, contact_id: str) -> None:
        """Queue a contact; it is read once, however often it is queued meanwhile."""
        await self.redis.hset(self._key, contact_id, secrets.token_hex(4))

    async def first(self, *, limit: int) -> dict[str, str]:
        """Some queued contacts: their ids, each with what `remove` needs."""
        queued = await self.redis.hgetall(self._key)
        return {key.decode(): text.decode() for key, text in islice(queued.items(), limit)}

    async def remove(self, contact_id: str, ticket: str) -> None:
        """Take a contact off the queue, unless it was queued once more since it was read."""
        await self.redis.eval(_REMOVE, 1, self._key, contact_id, ticket)

    @property
    def _key(self) -> str:
        return self.keys.named("phonebook_queue")
