"""
Contacts that are to be read again from Buildr, whose webhooks have named them.
"""

import secrets
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from service.store.keys import Keys, name_in
from service.store.redis_client import Client

# Neither may undo that the contact was queued once more since it was read.
_REMOVE: Final = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then "
    "return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
)
_REPLACE: Final = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then "
    "redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end return 0"
)


class QueuedContact(Struct, frozen=True, kw_only=True):
    """
    A contact that is to be read: `ticket` is new each time it is queued. After `failures` attempts
    it is read again at `due_at` (UTC; None = at once).
    """

    contact_id: str
    ticket: str
    failures: int = 0
    due_at: datetime | None = None

    @property
    def stored(self) -> str:
        """The form in Redis: the ticket, and after a failure `TICKET:FAILURES:SECONDS`."""
        if self.due_at is None:
            return self.ticket
        return f"{self.ticket}:{self.failures}:{self.due_at.timestamp():.0f}"


class ContactQueue(Struct, frozen=True):
    """The queue of an account; every method raises redis-py's errors."""

    redis: Client
    keys: Keys

    async def add(self, contact_id: str) -> None:
        """Queue a contact; it is read once, however often it is queued meanwhile."""
        await self.redis.hset(self._key, contact_id, secrets.token_hex(4))

    async def due(self, now: datetime, *, limit: int) -> list[QueuedContact]:
        """Some of the contacts that are to be read by now."""
        queued = await self.redis.hgetall(self._key)
        contacts = (_read(name_in(key), name_in(text)) for key, text in queued.items())
        due = [item for item in contacts if item.due_at is None or item.due_at <= now]
        return due[:limit]

    async def remove(self, contact: QueuedContact) -> None:
        """Take a contact off the queue, unless it was queued once more since it was read."""
        await self.redis.eval(_REMOVE, 1, self._key, contact.contact_id, contact.stored)

    async def postpone(self, contact: QueuedContact, due_at: datetime) -> None:
        """After a failure: read it again at a later time, unless it was queued once more since."""
        later = QueuedContact(
            contact_id=contact.contact_id,
            ticket=contact.ticket,
            failures=contact.failures + 1,
            due_at=due_at,
        )
        await self.redis.eval(
            _REPLACE, 1, self._key, contact.contact_id, contact.stored, later.stored
        )

    @property
    def _key(self) -> str:
        return self.keys.named("phonebook_queue")


def _read(contact_id: str, text: str) -> QueuedContact:
    ticket, _, rest = text.partition(":")
    if not rest:
        return QueuedContact(contact_id=contact_id, ticket=ticket)
    failures, _, due_s = rest.partition(":")
    try:
        due_at = datetime.fromtimestamp(int(due_s), UTC)
        return QueuedContact(
            contact_id=contact_id, ticket=ticket, failures=int(failures), due_at=due_at
        )
    # Damaged: as one that was queued just now.
    except (ValueError, OverflowError, OSError):
        return QueuedContact(contact_id=contact_id, ticket=ticket)
