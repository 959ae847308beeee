"""
The access token that the whole fleet shares.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from service.events import UtcDatetime
from service.store import script_calls
from service.store.keys import Keys
from service.store.locks import acquire, release
from service.store.redis_client import Client
from service.store.script_runner import Scripts
from service.store.token_box import TokenBox


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """An access token and its life, in UTC."""

    access_token: str = field(repr=False)
    expires_at: UtcDatetime
    obtained_at: UtcDatetime


_TOKEN: Final = msgspec.json.Decoder(StoredToken)


class Tokens(Struct, frozen=True):
    """
    Keeps the token, encrypted, until it expires; `lock` lets one process renew it at a time.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    owner: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    box: TokenBox = msgspec.field(default_factory=lambda: TokenBox.of(None))

    async def load(self) -> StoredToken | None:
        """The token, or None, also for one that is damaged."""
        sealed = await self.redis.get(self.keys.named("sealed_token"))
        text = None
        if sealed is not None:
            text = self.box.open(sealed)
        if text is None:
            # In the clear, as versions before wrote it; it ends with its life.
            text = await self.redis.get(self.keys.named("token"))
        if text is None:
            return None
        try:
            return _TOKEN.decode(text)
        except ValueError:
            return None

    async def save(self, token: StoredToken) -> None:
        """Keep a new token."""
        # SET refuses a time to live of 0.
        life_ms = max(1, int((token.expires_at - datetime.now(UTC)).total_seconds() * 1000))
        sealed = self.box.seal(msgspec.json.encode(token))
        await self.scripts.run(script_calls.put(name="sealed_token", value=sealed, ttl_ms=life_ms))
        await self.redis.delete(self.keys.named("token"))

    async def drop(self, access_token: str) -> None:
        """Forget a token that Buildr refused, unless it has been replaced already."""
        sealed = await self.redis.get(self.keys.named("sealed_token"))
        token = await self.load()
        if token is None or not secrets.compare_digest(token.access_token, access_token):
            return
        await self.redis.delete(self.keys.named("token"))
        if sealed is not None:
            # By its text: another process may have written a new one since it was read.
            await release(self.redis, self.keys.named("sealed_token"), sealed)

    async def lock(self, ttl_s: float) -> bool:
        """Take the right to renew, for at most `ttl_s` seconds."""
        return await acquire(self.scripts, "token_lock", self.owner, ttl_s=ttl_s)

    async def unlock(self) -> None:
        """Give the right to renew back, if it is still ours."""
        await release(self.redis, self.keys.named("token_lock"), self.owner)
