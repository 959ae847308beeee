"""
Commands of many tasks in one round trip: what is asked at the same moment, or while Redis still
answers what was asked before, goes to it together.

redis-py takes a connection out of its pool for each command, checks it, and sets four timers. Jobs
that run side by side need none of that each.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.cancelling import cancel_and_wait
from service.store.idle_connections import close_idle
from service.store.redis_client import Value
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error

# The second one works while Redis answers the first. More of them would make the batches smaller.
CONNECTIONS: Final = 2
# So that one batch does not hold up Redis for long.
MOST_AT_ONCE: Final = 100
# For a whole batch.
ANSWER_TIMEOUT_S: Final = 5.0
# It outlasts a restart of Redis. The first repeat comes at once: a connection that was idle may
# have been closed.
MOST_REPEATS: Final = 40
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
CLOSED: Final = "the connection was closed"


class _Command:
    """A command in the form in which it is sent, and its answer to come."""

    __slots__ = ("answer", "packed", "repeats")

    def __init__(self, packed: bytes, answer: "asyncio.Future[object]") -> None:
        self.packed = packed
        self.answer = answer
        self.repeats = 0

    def fail(self, err: BaseException) -> None:
        """Nobody waits for it any more if its task was cancelled."""
        if not self.answer.done():
            self.answer.set_exception(err)


class CommandBatches:
    """
    Sends commands, in the order in which they were asked, over connections of its own.

    A command whose connection is lost is sent again, whether it was carried out or not, as redis-py
    does it. Belongs to one event loop.
    """

    def __init__(self, make_connection: Callable[[], AbstractConnection]) -> None:
        self._make_connection = make_connection
        self._waiting: deque[_Command] = deque()
        self._idle: list[AbstractConnection] = []
        self._senders: set[asyncio.Task[None]] = set()
        # Senders that will still look for commands. A task is in `_senders` for a moment longer.
        self._active = 0
        self._is_starting = False
        self._is_closed = False

    async def ask(self, *arguments: Value) -> object:
        """The answer to one command. Raises redis-py's errors."""
        if self._is_closed:
            raise RedisConnectionError(CLOSED)
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Command(_packed(arguments), answer))
        # What else is asked in this turn of the loop goes with it.
        if not self._is_starting and self._active < CONNECTIONS:
            self._is_starting = True
            self._active += 1
            sender = asyncio.create_task(self._send_waiting(), name="redis-commands")
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return await answer

    async def close(self) -> None:
        """End the connections; what waits for an answer gets an error."""
        self._is_closed = True
        try:
            await cancel_and_wait(tuple(self._senders))
        finally:
            # One that was cancelled before its first step has not ended by itself.
            self._fail_waiting(CLOSED)
            await close_idle(self._idle)

    async def _send_waiting(self) -> None:
        self._is_starting = False
        try:
            await self._send_over_one_connection()
        except Exception as err:
            # A bug: nobody must wait for ever.
            self._fail_waiting(f"{CLOSED} ({type(err).__name__})")
            raise
        finally:
            # At once, and not by a callback of the task: who has just got an answer may ask again
            # before that is called, and has to find that nobody sends any more.
            self._active -= 1

    def _fail_waiting(self, reason: str) -> None:
        _fail(self._waiting, RedisConnectionError(reason))
        self._waiting.clear()

    async def _send_over_one_connection(self) -> None:
        # One that was used before is open already.
        connection = self._idle.pop() if self._idle else self._make_connection()
        failures = 0
        try:
            while batch := self._next_batch():
                try:
                    await _exchange(connection, batch)
                    failures = 0
                except (*REDIS_ERRORS, OSError) as err:
                    await asyncio.shield(connection.disconnect(nowait=True))
                    self._repeat(batch, err)
                    await asyncio.sleep(_pause_s(failures))
                    failures += 1
        finally:
            if self._is_closed:
                await connection.disconnect(nowait=True)
            else:
                self._idle.append(connection)

    def _next_batch(self) -> list[_Command]:
        batch: list[_Command] = []
        while self._waiting and len(batch) < MOST_AT_ONCE:
            command = self._waiting.popleft()
            # Nobody waits for the answer of a task that was cancelled.
            if not command.answer.done():
                batch.append(command)
        return batch

    def _repeat(self, batch: Sequence[_Command], err: Exception) -> None:
        """Have the commands of a batch sent again that got no answer."""
        lasts = not classify_redis_error(err).may_pass
        for command in reversed(batch):
            command.repeats += 1
            if lasts or command.repeats > MOST_REPEATS:
                command.fail(err)
            else:
                self._waiting.appendleft(command)


async def _exchange(connection: AbstractConnection, batch: Sequence[_Command]) -> None:
    """Send a batch and read its answers. Raises an error of the connection."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await connection.send_packed_command(b"".join([command.packed for command in batch]))
            for command in batch:
                try:
                    reply = await connection.read_response()
                except ResponseError as err:
                    command.fail(err)
                else:
                    if not command.answer.done():
                        command.answer.set_result(reply)
    except TimeoutError as err:
        raise RedisTimeoutError("Redis does not answer in time") from err
    except (*REDIS_ERRORS, OSError):
        raise
    # A bug, or the end of the process: nobody must wait for ever.
    except BaseException as err:
        _fail(batch, RedisConnectionError(f"{CLOSED} ({type(err).__name__})"))
        raise


def _fail(commands: Iterable[_Command], err: Exception) -> None:
    for command in commands:
        command.fail(err)


def _packed(arguments: Sequence[Value]) -> bytes:
    name = str(arguments[0])
    # Its stub knows tuples of one item only.
    packed: bytes = hiredis.pack_command(cast("Any", (*name.split(), *arguments[1:])))
    return packed


def _pause_s(failures: int) -> float:
    if not failures:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (failures - 1))
