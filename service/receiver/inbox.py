"""
The inbox: a message is stored and its call's job enqueued in one atomic step, or the sender gets
503 and sends it again.

Messages that arrive together share one round trip (group commit). Nothing here trusts arq's own
`enqueue_job`, which answers the same for "already queued" and for "the connection was lost".
"""

import asyncio
import contextlib
import contextvars
from collections import deque
from dataclasses import dataclass
from typing import Final, Self

import structlog
from redis.exceptions import RedisError

from service.errors import FailureCause, QueueUnavailable
from service.logs.events import LogEvent
from service.settings import Settings
from service.sources.base import RetryPolicy
from service.store import script_calls
from service.store.connection import Store
from service.store.failed import Failed, to_text
from service.store.keys import ref_of
from service.store.messages import Message, pack_message
from service.store.script_calls import AcceptResult
from service.store.script_runner import ScriptCall

# A batch is one round trip; the largest keeps Redis busy for some milliseconds.
BATCH: Final = 128
# Beyond it Redis cannot keep up: an early 503 is better for a sender than a late one.
MAX_WAITING: Final = 2000
# A message that its sender never sends again waits for Redis as long as the sender does, unless too
# many of them wait.
MAX_RETRYING_REQUESTS: Final = 500
# Four attempts a second: a Redis that restarts is noticed well before a vendor gives up.
RETRY_INTERVAL_S: Final = 0.25
# For the way back: an answer that arrives after the vendor's limit counts as none.
ANSWER_MARGIN_S: Final = 0.5
LEAST_ANSWER_S: Final = 0.5
NOTE_TIMEOUT_S: Final = 0.5
DEFAULT_RETRY_POLICY: Final = RetryPolicy(response_timeout_s=15, retry_delays_s=(60,))
STOPPING: Final = "the service is stopping"
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """
    The limits of one account's inbox; names end in their unit: hours, days or seconds.

    A repeated message is recognised for `dedupe_h`. At most `max_pending` messages wait for a
    worker. Redis has `accept_timeout_s` for one answer. `keep_messages_d` is for messages that were
    handled, `keep_failed_d` for those that could not be read.
    """

    dedupe_h: float
    keep_failed_d: float
    max_pending: int
    accept_timeout_s: float
    keep_messages_d: float = 0

    @property
    def dedupe_ms(self) -> int:
        """
        For how long the id of a message is kept beside it; 0 if the message itself is kept for as
        long, which is enough to recognise it.
        """
        dedupe_ms = int(self.dedupe_h * HOUR_MS)
        if min(self.keep_messages_d, self.keep_failed_d) * DAY_MS >= self.dedupe_h * HOUR_MS:
            return 0
        return dedupe_ms

    @property
    def keep_failed_ms(self) -> int:
        """For how long a message that cannot be read is kept."""
        return int(self.keep_failed_d * DAY_MS)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings give."""
        return cls(
            dedupe_h=settings.dedupe_h,
            keep_failed_d=settings.keep_failed_d,
            keep_messages_d=settings.keep_messages_d,
            max_pending=settings.max_pending,
            accept_timeout_s=settings.accept_timeout_s,
        )


@dataclass(slots=True)
class _Waiting:
    call: ScriptCall[AcceptResult]
    future: "asyncio.Future[AcceptResult]"


class Inbox:
    """Accepts messages. Belongs to one event loop; `close` it when the loop ends."""

    def __init__(self, store: Store, limits: InboxLimits) -> None:
        self._store = store
        self._limits = limits
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._retrying_requests = 0
        self._is_closed = False

    async def accept(
        self, message: Message, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
    ) -> bool:
        """
        Keep a message and enqueue its call.

        Returns False for a message that was kept before. Raises `QueueUnavailable` unless Redis has
        confirmed while the sender still waits; the message may then have been kept all the same,
        and sending it again does no harm. Where the sender never retries, Redis is asked until
        shortly before the sender gives up.
        """
        if message.source_call_id is None:
            raise ValueError("a message without a call cannot be enqueued")
        ref = ref_of(message.source, message.source_call_id)
        limits = self._limits
        call = script_calls.accept(
            message_id=message.message_id,
            ref=ref,
            dedupe_ms=limits.dedupe_ms,
            max_pending=limits.max_pending,
            packed_message=pack_message(message),
        )
        return await self._write_with_retry(call, retry_policy)

    async def keep_failed(
        self,
        message: Message,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        *,
        cause: FailureCause,
        detail: str,
    ) -> bool:
        """
        Keep a genuine message that cannot be read, as failed.

        Returns False for one that was kept before. Raises `QueueUnavailable` as `accept` does.
        """
        entry = Failed(
            entry_id=message.message_id,
            kind="message",
            source=message.source,
            source_call_id=message.source_call_id,
            cause=cause,
            detail=detail,
            failed_at=message.received_at,
            message_ids=(message.message_id,),
        )
        call = script_calls.keep_failed(
            message_id=message.message_id,
            source=message.source,
            dedupe_ms=self._limits.dedupe_ms,
            keep_ms=self._limits.keep_failed_ms,
            entry=to_text(entry),
            packed_message=pack_message(message),
        )
        return await self._write_with_retry(call, retry_policy)

    async def note_ignored(self, source: str) -> None:
        """
        Count a message that is not wanted. A Redis that is away is not worth an error here, and one
        that hangs is not worth the sender's timeout.
        """
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.counters.add("ignored", source)
                await self._store.source_activity.note("message", source)
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(
                LogEvent.COUNTER_LOST, reason=type(err).__name__, name="ignored", source=source
            )

    async def note_handshake(self, source: str) -> None:
        """Remember that a source's challenge was answered; it is answered with Redis away too."""
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.source_activity.note("handshake", source)
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(LogEvent.HANDSHAKE_NOT_NOTED, reason=type(err).__name__, source=source)

    async def close(self) -> None:
        """
        Stop writing; requests that still wait are refused, and so is every later one.
        """
        self._is_closed = True
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        # 503 and not silence: the vendor may send it again, to another instance or after the
        # restart.
        self._refuse(list(self._waiting), STOPPING)
        self._waiting.clear()

    async def _write_with_retry(
        self, call: ScriptCall[AcceptResult], retry_policy: RetryPolicy
    ) -> bool:
        """Write, and try again where the sender itself never would; True if the message is new."""
        # Only requests of senders that never retry are counted: many others must not take their
        # places.
        is_last_chance = (
            not retry_policy.retry_delays_s and self._retrying_requests < MAX_RETRYING_REQUESTS
        )
        self._retrying_requests += is_last_chance
        reason = "Redis did not confirm"
        try:
            async with asyncio.timeout(
                max(LEAST_ANSWER_S, retry_policy.response_timeout_s - ANSWER_MARGIN_S)
            ):
                while True:
                    try:
                        return await self._write(call)
                    except QueueUnavailable as err:
                        reason = str(err)
                        if not is_last_chance or self._is_closed:
                            raise
                        await asyncio.sleep(RETRY_INTERVAL_S)
        except TimeoutError as err:
            raise QueueUnavailable(f"{reason} while the sender waited") from err
        finally:
            self._retrying_requests -= is_last_chance

    async def _write(self, call: ScriptCall[AcceptResult]) -> bool:
        if self._is_closed:
            raise QueueUnavailable(STOPPING)
        if len(self._waiting) >= MAX_WAITING:
            raise QueueUnavailable("too many requests wait for Redis")
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        # Also after a writer that a bug has ended: its batch times out, and the next message begins
        # anew.
        if self._writer is None or self._writer.done():
            # A context of its own: the writer outlives the request that happened to start it.
            self._writer = asyncio.create_task(
                self._drain(), name="inbox-writer", context=contextvars.Context()
            )
        try:
            async with asyncio.timeout(self._limits.accept_timeout_s):
                answer = await waiting.future
        except TimeoutError as err:
            raise QueueUnavailable("Redis did not confirm in time") from err
        if answer is AcceptResult.FULL:
            raise QueueUnavailable("too many messages wait to be read", retry_after_s=30)
        return answer is AcceptResult.KEPT

    async def _drain(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            # Its sender has been answered 503 already. Written now, it would be kept although it is
            # sent again; that is harmless, but so is work that nobody waits for.
            batch = [waiting for waiting in batch if not waiting.future.done()]
            try:
                async with asyncio.timeout(self._limits.accept_timeout_s):
                    answers = await self._store.scripts.run_batch(
                        [waiting.call for waiting in batch]
                    )
            except (RedisError, OSError, TimeoutError) as err:
                self._refuse(batch, f"Redis is away ({type(err).__name__})")
                continue
            # The batch is no longer in `_waiting`, so that `close` would not find it.
            except asyncio.CancelledError:
                self._refuse(batch, STOPPING)
                raise
            for waiting, answer in zip(batch, answers, strict=True):
                self._resolve(waiting, answer)

    def _resolve(self, waiting: _Waiting, answer: object) -> None:
        if waiting.future.done():
            return
        if isinstance(answer, AcceptResult):
            waiting.future.set_result(answer)
        else:
            error_code = type(answer).__name__
            if isinstance(answer, RedisError):
                # Like OOM or READONLY; the rest of the text names keys.
                error_code = str(answer).partition(" ")[0]
            waiting.future.set_exception(
                QueueUnavailable(f"Redis refused the message ({error_code})")
            )

    def _refuse(self, batch: list[_Waiting], reason: str) -> None:
        for waiting in batch:
            if not waiting.future.done():
                waiting.future.set_exception(QueueUnavailable(reason))
