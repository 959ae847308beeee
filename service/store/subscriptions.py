"""
How the subscriptions at the vendors stood when they were last looked after, and the right to look
after them.
"""

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import UtcDatetime
from service.store.keys import Keys, name_in
from service.store.locks import acquire, release
from service.store.redis_client import Client
from service.store.script_runner import Scripts


class UpkeepState(Struct, frozen=True, kw_only=True):
    """
    How a source's subscription stood at `checked_at`.

    `state` is active, expiring, expired, disabled, unknown (the vendor does not tell), missing, or
    failed where the vendor could not be asked; `detail` says in one line what is wrong or what an
    operator has to do. `settings` names the settings by which it was looked after, `given` the
    secret that a subscription was given, by its id: digests, for vendors that never show it.
    `unseen_since` is when one was made that the vendor does not list; `failures` is how often in a
    row the vendor could not be asked, or did not do what it was asked for.
    """

    checked_at: UtcDatetime
    state: str
    expires_at: UtcDatetime | None = None
    detail: str | None = None
    settings: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    unseen_since: UtcDatetime | None = None
    failures: int = 0


_STATE: Final = msgspec.json.Decoder(UpkeepState)


class Upkeep(Struct, frozen=True):
    """
    Keeps the last state of each source; `lock` lets one process look after a source at a time.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    # One per process: only the one that has taken the right may give it back.
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    async def all(self) -> dict[str, UpkeepState]:
        """
        The last states, by the sources' slugs; what cannot be read counts as never looked after.
        """
        texts = await self.redis.hgetall(self.keys.named("upkeep"))
        states = ((name_in(slug), _read(text)) for slug, text in texts.items())
        return {slug: state for slug, state in states if state is not None}

    async def save(self, source: str, state: UpkeepState) -> None:
        """Keep the state of a source."""
        await self.redis.hset(self.keys.named("upkeep"), source, msgspec.json.encode(state))

    async def lock(self, source: str, *, ttl_s: float) -> bool:
        """
        Take the right to look after a source, for at most `ttl_s` seconds; False if somebody has
        it.
        """
        return await acquire(self.scripts, f"upkeep_lock:{source}", self.owner, ttl_s=ttl_s)

    async def unlock(self, source: str) -> None:
        """Give the right back, if it is still ours."""
        await release(self.redis, self.keys.named(f"upkeep_lock:{source}"), self.owner)


def _read(text: bytes) -> UpkeepState | None:
    try:
        return _STATE.decode(text)
    # Read anew from the vendor at the next turn: nothing here is the only copy of anything.
    except ValueError:
        return None
