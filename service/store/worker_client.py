"""
The client of a worker: in the type that arq's worker needs, which loads arq.
"""

import json
from typing import Any, Final

from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import EMPTY_RESPONSE, NEVER_DECODE

from service.store.command_batches import CommandBatches

# Options of a command of redis-py that say how its answer is read from the connection.
_READ_OTHERWISE: Final = frozenset({EMPTY_RESPONSE, NEVER_DECODE})


def open_batching_client(pool: ConnectionPool, *, queue_name: str) -> ArqRedis:
    """For many tasks side by side, whose commands go together; not its pipelines."""
    return _BatchingRedis(
        pool,
        job_serializer=encode_job,
        job_deserializer=json.loads,
        default_queue_name=queue_name,
    )


def worker_client(redis: Redis) -> ArqRedis:
    """A worker's client in arq's type. Raises TypeError for a client of another role."""
    if not isinstance(redis, ArqRedis):
        raise TypeError("only a store that is opened for a worker has arq's client")
    return redis


class _BatchingRedis(ArqRedis):
    def __init__(self, pool: ConnectionPool, **options: Any) -> None:
        super().__init__(pool, **options)
        # Without timers and repeats of their own, see `CommandBatches`.
        connection_options = {
            **pool.connection_kwargs,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
        }
        self._batches = CommandBatches(lambda: pool.connection_class(**connection_options))

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if _READ_OTHERWISE & options.keys():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        reply = await self._batches.ask(*args)
        # Of no use without a cache of keys.
        options.pop("keys", None)
        read = self.response_callbacks.get(args[0])
        if read is None:
            return reply
        return read(reply, **options)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        try:
            await self._batches.close()
        finally:
            await super().aclose(close_connection_pool)


def encode_job(job: dict[str, object]) -> bytes:
    """An arq job as JSON; the scripts write the same form."""
    # `default=str`: arq serialises the exception of a failed job with it too.
    return json.dumps(job, default=str).encode()
