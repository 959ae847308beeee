"""
The part of redis-py that the store uses, with the types that its answers really have.

redis-py 5 types the methods of its asyncio client as "awaitable or not"; this is the one place that
says otherwise.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, cast

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

Value = str | bytes | int | float


class Client(Protocol):
    """An asyncio client whose answers are bytes. Every method raises redis-py's errors."""

    async def get(self, name: str) -> bytes | None:
        """GET."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """MGET."""

    async def set(
        self, name: str, value: Value, *, px: int | None = None, nx: bool = False
    ) -> bool | None:
        """SET."""

    async def delete(self, *names: str) -> int:
        """DEL."""

    async def hgetall(self, name: str) -> dict[bytes, bytes]:
        """HGETALL."""

    async def hset(self, name: str, key: str, value: Value) -> int:
        """HSET."""

    async def hdel(self, name: str, *keys: str) -> int:
        """HDEL."""

    async def hincrby(self, name: str, key: str, amount: int = 1) -> int:
        """HINCRBY."""

    async def zadd(self, name: str, mapping: Mapping[str, float]) -> int:
        """ZADD."""

    async def zcard(self, name: str) -> int:
        """ZCARD."""

    async def zrange(self, name: str, start: int, end: int) -> list[bytes]:
        """ZRANGE."""

    async def zrem(self, name: str, *values: str) -> int:
        """ZREM."""

    async def zrangebyscore(
        self, name: str, min: Value, max: Value, *, start: int, num: int
    ) -> list[bytes]:
        """ZRANGEBYSCORE."""

    async def zremrangebyscore(self, name: str, min: Value, max: Value) -> int:
        """ZREMRANGEBYSCORE."""

    def scan_iter(self, *, match: str, count: int) -> AsyncIterator[bytes]:
        """SCAN."""

    async def time(self) -> tuple[int, int]:
        """TIME: seconds and microseconds."""

    async def ping(self) -> bool:
        """PING."""

    async def config_get(self, *patterns: str) -> dict[str, str]:
        """CONFIG GET."""

    async def info(self, section: str) -> dict[str, Any]:
        """INFO."""

    async def eval(self, script: str, numkeys: int, *keys_and_args: Value) -> object:
        """EVAL."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: Value) -> object:
        """EVALSHA."""

    async def script_load(self, script: str) -> str:
        """SCRIPT LOAD."""

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        """Commands gathered for one round trip."""

    async def aclose(self, *, close_connection_pool: bool = True) -> None:
        """Close the connections."""


def typed(redis: ArqRedis) -> Client:
    """The same client, with its types put right."""
    return cast("Client", redis)
