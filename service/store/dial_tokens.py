"""
The people who may use the dial page: a token for each, and their sessions.

Only digests of tokens and sessions are kept: what is in Redis opens nothing.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from service.events import UtcDatetime
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.stored_values import read_iso

ID_BYTES: Final = 4
SECRET_BYTES: Final = 24
# A rep at a telephone starts far fewer; a stolen session must not fill Redis.
MAX_CALLS: Final = 30
CALLS_WINDOW_MS: Final = 60_000


class DialToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One person's token: `name` is for people, `agent` how the telephony system names them (None:
    their calls name nobody), `digest` of the secret half.
    """

    token_id: str
    name: str
    digest: str
    created_at: UtcDatetime
    agent: str | None = None


_TOKEN: Final = msgspec.json.Decoder(DialToken)


class DialTokens(Struct, frozen=True):
    """
    The tokens of an account, in one hash, and a key for each session. Every method raises
    redis-py's errors.
    """

    redis: Client
    keys: Keys

    async def add(self, name: str, *, agent: str | None, now: datetime) -> tuple[DialToken, str]:
        """Make a token for a rep; also its text, which is known only now."""
        token_id = secrets.token_hex(ID_BYTES)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        token = DialToken(
            token_id=token_id, name=name, digest=_digest(secret), created_at=now, agent=agent
        )
        text = msgspec.json.encode(token)
        await self.redis.hset(self._tokens, token_id, text)
        return token, f"{token_id}.{secret}"

    async def all(self) -> list[DialToken]:
        """Every token, the oldest first; those of a newer version are left out."""
        stored = await self.redis.hgetall(self._tokens)
        tokens = [token for token in map(_read, stored.values()) if token is not None]
        return sorted(tokens, key=lambda token: token.created_at)

    async def last_log_ins(self) -> dict[str, datetime]:
        """When each token was last logged in with, by its id."""
        stored = await self.redis.hgetall(self._log_ins)
        times = ((name_in(token_id), read_iso(text)) for token_id, text in stored.items())
        return {token_id: at for token_id, at in times if at is not None}

    async def find(self, text: str) -> DialToken | None:
        """The token of a text that somebody logs in with; None if it is wrong or revoked."""
        token_id, _, secret = text.partition(".")
        token = await self._get(token_id)
        if token is None or not hmac.compare_digest(token.digest, _digest(secret)):
            return None
        return token

    async def revoke(self, token_id: str) -> bool:
        """Withdraw a token; its sessions end with it. False if there is none."""
        is_revoked = bool(await self.redis.hdel(self._tokens, token_id))
        await self.redis.hdel(self._log_ins, token_id)
        return is_revoked

    async def open_session(self, token: DialToken, *, now: datetime, keep_s: int) -> str:
        """A new session of a rep, for so many seconds: the secret of its cookie."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        await self.redis.set(self._session(secret), token.token_id, px=keep_s * 1000)
        # Beside the token and not in it: a token that is revoked meanwhile must not come back.
        await self.redis.hset(self._log_ins, token.token_id, now.isoformat())
        return secret

    async def of_session(self, secret: str) -> DialToken | None:
        """Whose session it is; None if it is over, or the token was revoked."""
        token_id = await self.redis.get(self._session(secret))
        if token_id is None:
            return None
        return await self._get(name_in(token_id))

    async def end_session(self, secret: str) -> None:
        """End a session."""
        await self.redis.delete(self._session(secret))

    async def may_call(self, token: DialToken) -> bool:
        """Count a call of a rep; False if there were too many within a minute."""
        key = self.keys.named(f"dial_calls:{token.token_id}")
        pipe = self.redis.pipeline(transaction=True)
        pipe.set(key, 0, px=CALLS_WINDOW_MS, nx=True)
        pipe.incr(key)
        replies = await pipe.execute()
        return int(replies[-1]) <= MAX_CALLS

    async def _get(self, token_id: str) -> DialToken | None:
        text = await self.redis.hget(self._tokens, token_id)
        if text is None:
            return None
        return _read(text)

    @property
    def _tokens(self) -> str:
        return self.keys.named("dial_tokens")

    @property
    def _log_ins(self) -> str:
        return self.keys.named("dial_log_ins")

    def _session(self, secret: str) -> str:
        return self.keys.named(f"dial_session:{_digest(secret)}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(text: bytes) -> DialToken | None:
    try:
        return _TOKEN.decode(text)
    except ValueError:
        return None
