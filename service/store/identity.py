"""
The id of an account's records in one Redis: two processes that read the same one share them.
"""

import secrets
from typing import Final

from msgspec import Struct

from service.store.keys import Keys, name_in
from service.store.redis_client import Client

BYTES: Final = 8
# The path at which a receiver names the records that it writes to, and the header, so that
# `buildr-calls check` knows whether a public URL leads to the right one.
PUBLIC_HEALTH: Final = "/webhooks/healthz"
INSTANCE: Final = "buildr-calls-instance"


class Identity(Struct, frozen=True):
    """An id made up at random, which says nothing and is no secret; kept without an end."""

    redis: Client
    keys: Keys

    async def read(self) -> str | None:
        """The id, or None where no receiver has made one up yet. Raises redis-py's errors."""
        stored = await self.redis.get(self.keys.named("identity"))
        if stored is None:
            return None
        return name_in(stored)

    async def ensure(self) -> str | None:
        """The id, made up if there is none. Raises redis-py's errors."""
        identity = await self.read()
        if identity is not None:
            return identity
        # NX: of several receivers that start at once, one makes it up.
        await self.redis.set(self.keys.named("identity"), secrets.token_hex(BYTES), nx=True)
        return await self.read()
