"""
The part of redis-py that the store uses, with the types that its answers really have.

redis-py 5 types the methods of its asyncio client as "awaitable or not"; this is the one place that
says otherwise.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Protocol, cast, overload

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

Value = str | bytes | int | float


class Client(Protocol):
    """An asyncio client whose answers are bytes. Every method raises redis-py's errors."""

    async def get(self, name: str) -> bytes | None:
        """GET: the value, or None if there is no such key."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """MGET: the values in the order of the keys, None where there is none."""

    async def set(
        self, name: str, value: Value, *, px: int | None = None, nx: bool = False
    ) -> bool | None:
        """SET: True, or None if `nx` and the key exists. `px` is the time to live in ms."""

    async def setrange(self, name: str, offset: int, value: Value) -> int:
        """SETRANGE: the length of the value afterwards; an empty `value` writes nothing."""

    async def delete(self, *names: str) -> int:
        """DEL: how many of the keys existed."""

    async def hget(self, name: str, key: str) -> bytes | None:
        """HGET: the value of a field, or None if there is no such field or key."""

    async def hgetall(self, name: str) -> dict[bytes, bytes]:
        """HGETALL: the fields and values, empty if there is no such key."""

    async def hset(self, name: str, key: str, value: Value) -> int:
        """HSET: 1 if the field is new, 0 if it was replaced."""

    async def hdel(self, name: str, *keys: str | bytes) -> int:
        """HDEL: how many of the fields existed."""

    async def hincrby(self, name: str, key: str, amount: int = 1) -> int:
        """HINCRBY: the field's new value."""

    async def lrange(self, name: str, start: int, end: int) -> list[bytes]:
        """LRANGE: the items from `start` to `end` inclusive; empty if there is no such key."""

    async def smembers(self, name: str) -> AbstractSet[bytes]:
        """SMEMBERS: the members, in no order; empty if there is no such key."""

    async def zadd(
        self, name: str, mapping: Mapping[str, float], *, nx: bool = False, xx: bool = False
    ) -> int:
        """
        ZADD: how many members are new; the scores of others are replaced, unless `nx`. With `xx`
        none is added.
        """

    async def zcard(self, name: str) -> int:
        """ZCARD: how many members there are, 0 if there is no such key."""

    async def zrange(self, name: str, start: int, end: int) -> list[bytes]:
        """ZRANGE: the members from rank `start` to `end` inclusive, lowest score first."""

    async def zrem(self, name: str, *values: str) -> int:
        """ZREM: how many of the members existed."""

    @overload
    async def zrangebyscore(
        self, name: str, min: Value, max: Value, *, start: int, num: int, withscores: Literal[True]
    ) -> list[tuple[bytes, float]]:
        # ZRANGEBYSCORE: at most `num` members and scores from `min` to `max`, lowest first.
        ...

    @overload
    async def zrangebyscore(
        self, name: str, min: Value, max: Value, *, start: int, num: int
    ) -> list[bytes]:
        # The same without the scores.
        ...

    async def zrevrange(
        self, name: str, start: int, end: int, *, withscores: Literal[True]
    ) -> list[tuple[bytes, float]]:
        """ZREVRANGE: the members and scores from rank `start` to `end`, highest score first."""

    async def zrevrangebyscore(
        self, name: str, max: Value, min: Value, *, start: int, num: int, withscores: Literal[True]
    ) -> list[tuple[bytes, float]]:
        """ZREVRANGEBYSCORE: at most `num` members and scores from `max` down to `min`."""

    async def zrangebylex(
        self, name: str, min: Value, max: Value, *, start: int, num: int
    ) -> list[bytes]:
        """ZRANGEBYLEX: at most `num` members from `min` to `max`, where all scores are equal."""

    async def zremrangebyscore(self, name: str, min: Value, max: Value) -> int:
        """ZREMRANGEBYSCORE: how many members were removed."""

    async def scan(self, cursor: int, *, match: str, count: int) -> tuple[int, list[bytes]]:
        """SCAN: the next cursor, 0 at the end, and the keys of one step that match."""

    def scan_iter(self, *, match: str, count: int) -> AsyncIterator[bytes]:
        """SCAN: every matching key; one that comes or goes meanwhile may be missed."""

    async def time(self) -> tuple[int, int]:
        """TIME: seconds since the epoch, and microseconds."""

    async def ping(self) -> bool:
        """PING: True."""

    async def config_get(self, *patterns: str) -> dict[str, str]:
        """CONFIG GET: the settings by name, without those that the server does not have."""

    async def info(self, section: str) -> dict[str, Any]:
        """INFO: the values of one section by name."""

    async def execute_command(self, command: str, *arguments: Value) -> object:
        """A command that has no method here; its answer is as redis-py leaves it."""

    async def bgrewriteaof(self) -> object:
        """BGREWRITEAOF: Redis rewrites its append-only file in the background."""

    async def eval(self, script: str, numkeys: int, *keys_and_args: Value) -> object:
        """EVAL: whatever the script returns."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Value) -> object:
        """EVALSHA: whatever the script returns. Raises `NoScriptError` if it is not loaded."""

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        """Commands gathered for one round trip."""

    async def aclose(self, *, close_connection_pool: bool = True) -> None:
        """Close the connections."""


def typed(redis: Redis) -> Client:
    """The same client, with its types put right."""
    return cast("Client", redis)
