"""
Messages on their way into Redis: those that arrive together share one round trip (group commit),
and it is remembered whether Redis takes any.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct
from redis.exceptions import RedisError

from service.errors import QueueUnavailable
from service.store.accept_batches import accept_together
from service.store.accept_scripts import AcceptResult
from service.store.connection import Store
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error
from service.store.script_runner import ScriptCall

# A batch is one round trip; the largest keeps Redis busy for some milliseconds.
BATCH: Final = 128
# Batches under way: while Redis writes one to disk, the requests of the next one are read, and
# those of the one before it answered.
UNDER_WAY: Final = 2
# Beyond them Redis cannot keep up: a message that waited longer would be too late for its sender.
MAX_WAITING: Final = 2000
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
STOPPING: Final = "the service is stopping"


class Waiter(Protocol):
    """Who waits for a message: a future whose `answer` is called once all of its batch are set."""

    def done(self) -> bool:
        """Whether it has been answered."""

    def set_result(self, result: AcceptResult, /) -> None:
        """Answer it."""

    def set_exception(self, exception: QueueUnavailable, /) -> None:
        """Answer it with an error."""

    def answer(self) -> None:
        """Go on with the result."""


class _Awaited(asyncio.Future[AcceptResult]):
    """Somebody who awaits the result."""

    def answer(self) -> None:
        """Awaiting goes on by itself."""


# Not frozen: one is made for each message, and a frozen one takes three times as long.
class _Waiting(Struct):
    call: ScriptCall[AcceptResult]
    size: int
    waiter: Waiter


class _Deadlines:
    """
    Ends the waiting of messages that Redis has not confirmed in time: one timer for all of them,
    since each waits equally long, so that the oldest is always the next.
    """

    def __init__(self) -> None:
        self._waiters: deque[tuple[float, Waiter]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, loop: asyncio.AbstractEventLoop, deadline: float, waiter: Waiter) -> None:
        """End the waiting at a time of the loop's clock, unless it is answered before."""
        self._waiters.append((deadline, waiter))
        if self._timer is None:
            # A context of its own: it outlives the request that starts it.
            self._timer = loop.call_at(deadline, self._expire, loop, context=contextvars.Context())

    def drop_answered(self) -> None:
        """Forget the oldest ones as far as they are answered."""
        while self._waiters and self._waiters[0][1].done():
            self._waiters.popleft()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._waiters and (self._waiters[0][1].done() or self._waiters[0][0] <= now):
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(QueueUnavailable("Redis did not confirm in time"))
        if self._waiters:
            deadline = self._waiters[0][0]
            self._timer = loop.call_at(deadline, self._expire, loop, context=contextvars.Context())


class RedisWriter:
    """
    Writes messages of one account. Belongs to one event loop; `close` it when the loop ends.

    Redis has `timeout_s` for an answer. With `has_spool`, what waits is refused as soon as one
    batch fails, since it is safe elsewhere.
    """

    def __init__(self, store: Store, *, timeout_s: float, has_spool: bool) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._has_spool = has_spool
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._deadlines = _Deadlines()
        self._writers: set[asyncio.Task[None]] = set()
        self._is_starting = False
        self._is_closed = False
        self._trouble: RedisTrouble | None = None

    @property
    def trouble(self) -> str | None:
        """
        Why Redis took no messages at the last attempt, in words for people; None if it took them.
        """
        if self._trouble is None:
            return None
        return self._trouble.text

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait for the next batch."""
        return bool(self._waiting)

    async def write(self, call: ScriptCall[AcceptResult], size: int) -> AcceptResult:
        """
        Write one message, whose call holds `size` bytes, with the next batch.

        Raises `QueueUnavailable` unless Redis has answered in time; the message may have been
        written all the same.
        """
        future = _Awaited(loop=asyncio.get_running_loop())
        self.submit(call, size, future)
        return await future

    def submit(self, call: ScriptCall[AcceptResult], size: int, waiter: Waiter) -> None:
        """
        The same without waiting: `waiter` is answered later, and raises nothing then.

        Raises `QueueUnavailable` if the message is not taken.
        """
        if self._is_closed:
            raise QueueUnavailable(STOPPING)
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            raise QueueUnavailable("too many requests wait for Redis")
        loop = asyncio.get_running_loop()
        self._waiting.append(_Waiting(call, size, waiter))
        self._waiting_bytes += size
        # What else arrives in this turn of the loop goes with it.
        if not self._is_starting and len(self._writers) < UNDER_WAY:
            self._start_writer()
        self._deadlines.add(loop, loop.time() + self._timeout_s, waiter)

    async def write_now(
        self, calls: Sequence[ScriptCall[AcceptResult]]
    ) -> list[AcceptResult | Exception]:
        """
        Write a batch: the answer to each message, or its error.

        Raises `QueueUnavailable` if Redis answers none of them.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = await self._write_all(calls)
        except (*REDIS_ERRORS, OSError) as err:
            self._trouble = classify_redis_error(err)
            raise QueueUnavailable(f"Redis is away ({type(err).__name__})") from err
        # REFUSED is the trouble of one message alone, such as a record of another form.
        troubles = {
            classify_redis_error(answer) for answer in answers if isinstance(answer, RedisError)
        } - {RedisTrouble.REFUSED}
        self._trouble = next(iter(troubles), None)
        return answers

    async def _write_all(
        self, calls: Sequence[ScriptCall[AcceptResult]]
    ) -> list[AcceptResult | Exception]:
        if len(calls) == 1:
            return [await self._store.script_connections.run(calls[0])]
        together = accept_together(calls)
        if together is None:
            return await self._store.scripts.run_batch(calls)
        # One script for all: Redis reads one command, and there is one reply to wait for.
        answers = await self._store.script_connections.run(together)
        if isinstance(answers, Exception):
            return [answers] * len(calls)
        return answers

    async def probe(self) -> bool:
        """Whether Redis takes writes now; asked without writing."""
        try:
            await self._store.check_writes()
        except QueueUnavailable as err:
            self._trouble = classify_redis_error(err)
            return False
        self._trouble = None
        return True

    async def close(self) -> None:
        """Stop writing; messages that still wait are refused, and so is every later one."""
        self._is_closed = True
        writers = tuple(self._writers)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        self._refuse_waiting(STOPPING)
        self._deadlines.close()

    def _start_writer(self) -> None:
        self._is_starting = True
        # A context of its own: the writer outlives the request that happened to start it.
        writer = asyncio.create_task(
            self._write_batches(), name="inbox-writer", context=contextvars.Context()
        )
        self._writers.add(writer)

    def _next_batch(self) -> list[_Waiting]:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._waiting_bytes -= sum(waiting.size for waiting in batch)
        # Not those that are answered, since Redis was too slow: nobody waits for them any more.
        return [waiting for waiting in batch if not waiting.waiter.done()]

    async def _write_batches(self) -> None:
        self._is_starting = False
        try:
            while self._waiting:
                await self._write_batch(self._next_batch())
        finally:
            # Also after a bug: its batch times out, and the next message begins anew. Not by a
            # callback of the task: what comes before that needs a writer.
            self._writers -= {asyncio.current_task()}

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self.write_now([waiting.call for waiting in batch])
        except QueueUnavailable as err:
            self._refuse(batch, str(err))
        # The batch is no longer in `_waiting`, so that `close` would not find it.
        except asyncio.CancelledError:
            self._refuse(batch, STOPPING)
            raise
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                _resolve(waiting, answer)
            for waiting in batch:
                waiting.waiter.answer()
        self._deadlines.drop_answered()
        if self._has_spool and self._trouble is not None:
            self._refuse_waiting(self._trouble.text)

    def _refuse_waiting(self, reason: str) -> None:
        self._refuse(list(self._waiting), reason)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _refuse(self, batch: list[_Waiting], reason: str) -> None:
        for waiting in batch:
            if not waiting.waiter.done():
                waiting.waiter.set_exception(QueueUnavailable(reason))


def _resolve(waiting: _Waiting, answer: AcceptResult | Exception) -> None:
    if waiting.waiter.done():
        return
    if isinstance(answer, AcceptResult):
        waiting.waiter.set_result(answer)
    else:
        waiting.waiter.set_exception(
            QueueUnavailable(f"Redis refused the message ({_error_code(answer)})")
        )


def _error_code(err: Exception) -> str:
    """A word like OOM or READONLY for an error of Redis; the rest of its text names keys."""
    if isinstance(err, RedisError):
        return str(err).partition(" ")[0]
    return type(err).__name__
