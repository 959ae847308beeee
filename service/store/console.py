"""
What the console keeps: what was done in it, and the sessions that were ended before their time.
"""

from typing import Final

import msgspec
from msgspec import Struct

from service.events import UtcDatetime
from service.store.keys import Keys
from service.store.redis_client import Client

# About 200 bytes each.
MAX_ACTIONS: Final = 1000


class ConsoleAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One thing that was done in the console.

    `session` is the beginning of the session's id, `address` where the request came from. `action`
    is a name like `call.replay`, `target` what it was done to, `detail` a sentence.
    """

    at: UtcDatetime
    action: str
    role: str
    session: str
    address: str
    target: str = ""
    detail: str = ""


_ACTION: Final = msgspec.json.Decoder(ConsoleAction)


class ConsoleRecords(Struct, frozen=True):
    """
    A list of actions, the newest first, and a key per ended session. Every method raises redis-py's
    errors.
    """

    redis: Client
    keys: Keys

    async def add(self, action: ConsoleAction) -> None:
        """Keep an action; the oldest beyond `MAX_ACTIONS` is dropped."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.lpush(self._actions, msgspec.json.encode(action))
        pipe.ltrim(self._actions, 0, MAX_ACTIONS - 1)
        await pipe.execute()

    async def recent(self, limit: int, *, start: int = 0) -> list[ConsoleAction]:
        """
        The newest actions first, without the first `start` of them, and without those of a newer
        version that cannot be read.
        """
        actions = []
        for text in await self.redis.lrange(self._actions, start, start + limit - 1):
            try:
                actions.append(_ACTION.decode(text))
            except ValueError:
                continue
        return actions

    async def end_session(self, session_id: str, *, keep_s: int) -> None:
        """End a session for as long as its cookie would be valid."""
        await self.redis.set(self._ended(session_id), b"", px=keep_s * 1000)

    async def is_ended(self, session_id: str) -> bool:
        """Whether a session was ended."""
        return await self.redis.get(self._ended(session_id)) is not None

    @property
    def _actions(self) -> str:
        return self.keys.named("console_actions")

    def _ended(self, session_id: str) -> str:
        return self.keys.named(f"console_ended:{session_id}")
