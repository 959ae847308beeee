"""
What has changed of calls, for an operator who watches: read by polling, from what is stored anyway.

Nothing is written and nobody announces anything, so that receiver and workers pay nothing for it. A
poll of a thousand calls is two round trips, and a few ms of Redis.
"""

from collections.abc import Sequence

from msgspec import Struct

from service.store.call_index import ALL_CALLS
from service.store.delivery_record import DeliveryRecord
from service.store.keys import Keys, name_in
from service.store.listed_call import Place
from service.store.record_reading import read_records
from service.store.redis_client import Client
from service.store.stored_values import read_integer


class CallVersion(Struct, frozen=True, kw_only=True):
    """How far a call is: the version of its record, and how many of its messages are unread."""

    version: int
    unread_count: int


class CallFeed(Struct, frozen=True):
    """Reads the calls of an account. Every method raises redis-py's errors."""

    redis: Client
    keys: Keys

    async def latest(self, *, since_ms: int, limit: int) -> list[Place]:
        """
        The calls that had a message at that time (ms since the epoch) or later, the newest first;
        at most `limit`.
        """
        members = await self.redis.zrevrangebyscore(
            self.keys.named(ALL_CALLS), "+inf", since_ms, start=0, num=limit, withscores=True
        )
        return [(int(score), name_in(ref)) for ref, score in members]

    async def since(self, at_ms: int, *, limit: int) -> list[Place]:
        """The same calls, those first whose last message is oldest."""
        members = await self.redis.zrangebyscore(
            self.keys.named(ALL_CALLS), at_ms, "+inf", start=0, num=limit, withscores=True
        )
        return [(int(score), name_in(ref)) for ref, score in members]

    async def woken(self, *, since_ms: int, limit: int) -> list[str]:
        """The calls that something else than a message has woken since then, the newest first."""
        members = await self.redis.zrevrangebyscore(
            self.keys.named("woken"), "+inf", since_ms, start=0, num=limit, withscores=True
        )
        return [name_in(ref) for ref, _ in members]

    async def place(self) -> tuple[str, str]:
        """Which records these are, under whatever address: the server's run, and the prefix."""
        info = await self.redis.info("server")
        return str(info.get("run_id")), self.keys.prefix

    async def due(self, *, limit: int) -> list[str]:
        """The names of the calls that wait for something, those first that are due first."""
        refs = await self.redis.zrange(self.keys.named("due"), 0, limit - 1)
        return [name_in(ref) for ref in refs]

    async def versions(self, refs: Sequence[str]) -> dict[str, CallVersion]:
        """How far these calls are, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for ref in refs:
            pipe.hget(self.keys.call(ref), "v")
            pipe.llen(self.keys.pending(ref))
        answers = await pipe.execute()
        return {
            ref: CallVersion(version=read_integer(version) or 0, unread_count=int(unread_count))
            for ref, version, unread_count in zip(refs, answers[::2], answers[1::2], strict=True)
        }

    async def records(self, refs: Sequence[str]) -> list[DeliveryRecord]:
        """The records of these calls, without those that are gone or cannot be read."""
        return await read_records(self.redis, self.keys, refs)

    async def message_ids(self, ref: str) -> list[str]:
        """The ids of all messages of a call, read or not; those without events are left out."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.hkeys(self.keys.call(ref))
        pipe.lrange(self.keys.pending(ref), 0, -1)
        fields, pending = await pipe.execute()
        prefix = "e:"
        names = [name_in(name) for name in fields]
        read = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return list(dict.fromkeys([*read, *(name_in(message_id) for message_id in pending)]))
