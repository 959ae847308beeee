"""
Connections for one script after the other, packed and read without redis-py's pipeline, whose steps
for each command take as long as a short script.
"""

import asyncio
from typing import Any, Final, cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.idle_connections import close_idle
from service.store.script_runner import Result, ScriptCall, Scripts, digest_of

_LOST: Final = (RedisConnectionError, RedisTimeoutError, OSError)


class ScriptConnections:
    """
    Runs scripts over connections of its own: as many as are used at a time, which are those of
    redis-py with all that a pool is set up with. Belongs to one event loop; `close` it at its end.

    Nothing ends the waiting for an answer: whoever calls has a timeout around it.
    """

    def __init__(self, scripts: Scripts, pool: ConnectionPool) -> None:
        self._scripts: Final = scripts
        self._pool: Final = pool
        # Redis-py's own timer for each write and each read is a task each.
        self._options: Final = {
            **pool.connection_kwargs,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_error": [],
        }
        self._idle: Final[list[AbstractConnection]] = []
        self._is_closed = False

    async def run(self, call: ScriptCall[Result]) -> Result | Exception:
        """
        Run one script: its result, or the error that Redis answered. Raises redis-py's errors of
        the connection, OSError, and TypeError for a reply of another shape.
        """
        # What else has to be confirmed goes over the connection of the script.
        if self._scripts.confirmation.commands:
            (result,) = await self._scripts.run_batch([call])
            return result
        try:
            return call.read(await self._evaluate(call))
        except NoScriptError:
            pass
        except ResponseError as err:
            return err
        # Nothing has run: Redis has forgotten its scripts.
        (result,) = await self._scripts.run_batch([call])
        return result

    async def close(self) -> None:
        """End the connections; one that is in use ends with its script."""
        self._is_closed = True
        await close_idle(self._idle)

    async def _evaluate(self, call: ScriptCall[Result]) -> object:
        arguments = (*self._scripts.shared_arguments, *call.arguments)
        # Its stub knows tuples of one item only.
        packed: bytes = hiredis.pack_command(
            cast("Any", ("EVALSHA", digest_of(call.script), 0, *arguments))
        )
        connection = self._taken()
        try:
            try:
                return await _exchange(connection, packed)
            except _LOST:
                # Once more, at once: Redis may have closed a connection that was idle. Scripts may
                # be repeated.
                return await _exchange(connection, packed)
        finally:
            await self._give_back(connection)

    async def _give_back(self, connection: AbstractConnection) -> None:
        if self._is_closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)

    def _taken(self) -> AbstractConnection:
        if self._idle:
            return self._idle.pop()
        connection: AbstractConnection = self._pool.connection_class(**self._options)
        return connection


async def _exchange(connection: AbstractConnection, packed: bytes) -> object:
    """One command and its answer. After any other end the connection is closed."""
    try:
        await connection.send_packed_command(packed)
        reply: object = await connection.read_response()
    except ResponseError:
        raise
    # The answer of a command whose task was cancelled must not be read by the next one.
    except BaseException:
        await asyncio.shield(connection.disconnect(nowait=True))
        raise
    return reply
