"""
The inbox: a message is stored and its call's job enqueued in one atomic step in Redis; what Redis
does not confirm goes to the spool; and if that does not take it either, the sender gets 503 and
sends it again.

Nothing here trusts arq's own `enqueue_job`, which answers the same for "already queued" and for
"the connection was lost".
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog

from service.errors import FailureCause, QueueUnavailable
from service.logs.events import LogEvent
from service.receiver.acceptance import Acceptance
from service.receiver.inbox_messages import (
    InboxLimits,
    failed_entry,
    script_call,
    spooled_message,
)
from service.receiver.redis_writer import STOPPING, RedisWriter
from service.sources.base import RetryPolicy
from service.spool.drain import Drain
from service.spool.messages import Depth, SpooledMessage, SpoolUnavailable
from service.spool.spool import Spool
from service.store.accept_calls import AcceptResult
from service.store.connection import Store
from service.store.messages import Message
from service.store.redis_trouble import REDIS_ERRORS

# With a spool: a Redis that needs longer is not waited for. Every sender waits at least for twice
# as long.
SPOOL_AFTER_S: Final = 1.0
# Without a spool, or with a full one: a message that its sender never sends again waits for Redis
# as long as the sender does, unless too many of them wait.
MAX_RETRYING_REQUESTS: Final = 500
# Four attempts a second: a Redis that restarts is noticed well before a vendor gives up.
RETRY_INTERVAL_S: Final = 0.25
# For the way back: an answer that arrives after the vendor's limit counts as none.
ANSWER_MARGIN_S: Final = 0.5
LEAST_ANSWER_S: Final = 0.5
NOTE_TIMEOUT_S: Final = 0.5
# Seconds after which a sender tries again while too many messages wait for workers.
FULL_RETRY_AFTER_S: Final = 30
DEFAULT_RETRY_POLICY: Final = RetryPolicy(response_timeout_s=15, retry_delays_s=(60,))

log = structlog.get_logger(__name__)


class Inbox:
    """
    Accepts the messages of one account. Belongs to one event loop; `open` it when the loop begins,
    `close` it when it ends.

    Without a spool, what Redis does not confirm is refused.
    """

    def __init__(self, store: Store, limits: InboxLimits, spool: Spool | None = None) -> None:
        self._store = store
        self._account = store.account
        self._limits = limits
        self._spool = spool
        timeout_s = limits.accept_timeout_s
        if spool is not None:
            timeout_s = min(SPOOL_AFTER_S, timeout_s)
        self._redis = RedisWriter(store, timeout_s=timeout_s, has_spool=spool is not None)
        self._drain: Drain | None = None
        self._drain_task: asyncio.Task[None] | None = None
        self._retrying_requests = 0
        self._is_stopping = False
        # Refused messages by source, counted in Redis once that takes writes again.
        self._refused: Counter[str] = Counter()

    def open(self) -> None:
        """Begin to move to Redis what is in the spool, from before too."""
        if self._spool is not None:
            self._drain = Drain(self._spool, self._account, self)
            self._drain_task = asyncio.create_task(self._drain.run(), name="spool-drain")

    @property
    def trouble(self) -> str | None:
        """Why Redis took no messages at the last attempt; None if it took them."""
        return self._redis.trouble

    @property
    def has_waiting(self) -> bool:
        """Whether messages of senders wait for Redis."""
        return self._redis.has_waiting

    @property
    def depth(self) -> Depth:
        """What waits in the spool."""
        if self._spool is None:
            return Depth()
        return self._spool.depth(self._account)

    async def accept(
        self, message: Message, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
    ) -> Acceptance:
        """
        Keep a message and enqueue its call, or spool it.

        Raises `QueueUnavailable` unless it is safe while the sender still waits; it may then have
        been kept all the same, and sending it again does no harm.
        """
        if message.source_call_id is None:
            raise ValueError("a message without a call cannot be enqueued")
        return await self._keep(spooled_message(self._account, message), retry_policy)

    async def keep_failed(
        self,
        message: Message,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        *,
        cause: FailureCause,
        detail: str,
    ) -> Acceptance:
        """
        Keep a genuine message that cannot be read, as failed.

        Raises `QueueUnavailable` as `accept` does.
        """
        entry = failed_entry(message, cause=cause, detail=detail)
        return await self._keep(
            spooled_message(self._account, message, failed_entry=entry), retry_policy
        )

    async def note_ignored(self, source: str) -> None:
        """
        Count a message that is not wanted. A Redis that is away is not worth an error here, and one
        that hangs is not worth the sender's timeout.
        """
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.counters.add("ignored", source)
                await self._store.source_activity.note("message", source)
        except REDIS_ERRORS as err:
            log.warning(
                LogEvent.COUNTER_LOST, reason=type(err).__name__, name="ignored", source=source
            )

    async def note_handshake(self, source: str) -> None:
        """Remember that a source's challenge was answered; it is answered with Redis away too."""
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.source_activity.note("handshake", source)
        except REDIS_ERRORS as err:
            log.warning(LogEvent.HANDSHAKE_NOT_NOTED, reason=type(err).__name__, source=source)

    async def probe(self) -> bool:
        """Whether Redis takes writes now; then what was refused meanwhile is counted."""
        if not await self._redis.probe():
            return False
        await self._count_refused()
        return True

    async def write_spooled(
        self, messages: Sequence[SpooledMessage]
    ) -> list[AcceptResult | Exception]:
        """
        Give messages of the spool to Redis: the answer to each, or its error. Raises
        `QueueUnavailable` if Redis answers none.
        """
        return await self._redis.write_now(
            [script_call(message, self._limits) for message in messages]
        )

    def begin_stop(self) -> None:
        """The process is going to end: nobody waits for Redis any longer than one attempt."""
        self._is_stopping = True

    async def close(self) -> None:
        """
        Stop writing to Redis. What still waits is spooled or refused, and so is every later
        message.
        """
        self._is_stopping = True
        if self._drain_task is not None:
            self._drain_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drain_task
        # Refused and not left without an answer: the vendor may send it again, to another instance
        # or after the restart.
        await self._redis.close()

    async def _keep(self, message: SpooledMessage, retry_policy: RetryPolicy) -> Acceptance:
        """Write to Redis, else to the spool; else refuse."""
        answer_s = max(LEAST_ANSWER_S, retry_policy.response_timeout_s - ANSWER_MARGIN_S)
        deadline = asyncio.get_running_loop().time() + answer_s
        never_retries = not retry_policy.retry_delays_s
        try:
            if self._spool is None:
                return await self._write_until(deadline, message, never_retries=never_retries)
            return await self._write_or_spool(
                self._spool, deadline, message, never_retries=never_retries
            )
        except QueueUnavailable:
            self._refused[message.source] += 1
            raise

    async def _write(self, message: SpooledMessage) -> Acceptance:
        """Write to Redis. Raises `QueueUnavailable`."""
        call = script_call(message, self._limits)
        result = await self._redis.write(call, len(message.packed_message))
        if result is AcceptResult.FULL:
            raise QueueUnavailable(
                "too many messages wait to be read", retry_after_s=FULL_RETRY_AFTER_S
            )
        return Acceptance(result)

    async def _write_or_spool(
        self, spool: Spool, deadline: float, message: SpooledMessage, *, never_retries: bool
    ) -> Acceptance:
        """Write to Redis if it is there, else to the spool. Raises `QueueUnavailable`."""
        # Known to be away: nobody waits for a timeout of its own. The drain notices its return.
        trouble = self._redis.trouble
        if trouble is None:
            try:
                return await self._write(message)
            except QueueUnavailable as err:
                unavailable = err
        else:
            unavailable = QueueUnavailable(trouble)
        if self._drain is not None:
            self._drain.wake()
        try:
            async with asyncio.timeout_at(deadline):
                is_new = await spool.put(message, is_last_chance=never_retries)
        except TimeoutError as err:
            raise QueueUnavailable(f"{unavailable}; the spool's disk does not answer") from err
        except SpoolUnavailable as err:
            # Redis may be back by now, or be so before a sender that never retries gives up.
            if trouble is not None or never_retries:
                return await self._write_until(deadline, message, never_retries=never_retries)
            raise QueueUnavailable(
                f"{unavailable}; the spool takes nothing: {err}",
                retry_after_s=unavailable.retry_after_s,
            ) from err
        if is_new:
            return Acceptance.SPOOLED
        return Acceptance.REPEATED

    async def _write_until(
        self, deadline: float, message: SpooledMessage, *, never_retries: bool
    ) -> Acceptance:
        """
        Write to Redis, and try again where the sender itself never would, until the deadline (by
        the loop's clock). Raises `QueueUnavailable`.
        """
        # Only requests of senders that never retry are counted: many others must not take their
        # places.
        is_last_chance = never_retries and self._retrying_requests < MAX_RETRYING_REQUESTS
        self._retrying_requests += is_last_chance
        reason = "Redis did not confirm"
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        return await self._write(message)
                    except QueueUnavailable as err:
                        reason = str(err)
                        if not is_last_chance:
                            raise
                        if self._is_stopping:
                            raise QueueUnavailable(STOPPING) from err
                        await asyncio.sleep(RETRY_INTERVAL_S)
        except TimeoutError as err:
            raise QueueUnavailable(f"{reason} while the sender waited") from err
        finally:
            self._retrying_requests -= is_last_chance

    async def _count_refused(self) -> None:
        with contextlib.suppress(*REDIS_ERRORS):
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                for source in list(self._refused):
                    await self._store.counters.add("refused", source, self._refused[source])
                    del self._refused[source]
