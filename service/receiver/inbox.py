"""
The inbox: a message is stored and its call's job enqueued in one atomic step in Redis; what Redis
does not confirm goes to the spool; and if that does not take it either, the sender gets 503 and
sends it again.

Nothing here trusts arq's own `enqueue_job`, which answers the same for "already queued" and for
"the connection was lost".
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from service.cancelling import cancel_and_wait
from service.errors import FailureCause, QueueUnavailable
from service.receiver.acceptance import Acceptance, acceptance_of
from service.receiver.inbox_messages import (
    InboxLimits,
    failed_entry,
    script_call,
    small,
    spooled_message,
)
from service.receiver.inbox_notes import InboxNotes
from service.receiver.redis_writer import STOPPING, RedisWriter, Waiter
from service.sources.base import RetryPolicy
from service.spool.drain import Drain
from service.spool.messages import Depth, SpooledMessage, SpoolUnavailable
from service.spool.spool import Spool
from service.store.accept_scripts import AcceptResult
from service.store.connection import Store
from service.store.messages import Message

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
DEFAULT_RETRY_POLICY: Final = RetryPolicy(response_timeout_s=15, retry_delays_s=(60,))


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
        self.notes: Final = InboxNotes(store)

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

    def submit(self, message: Message, waiter: Waiter) -> SpooledMessage:
        """
        Give a message to the next batch for Redis; `waiter` is answered with what Redis says, and
        goes on with `accept_after` if Redis does not keep it.

        Raises `QueueUnavailable` if it is not taken: `accept` it then.
        """
        if self._redis.trouble is not None:
            raise QueueUnavailable(self._redis.trouble)
        spooled = spooled_message(self._account, message)
        self._redis.submit(script_call(spooled, self._limits), len(spooled.packed_message), waiter)
        return spooled

    async def accept_after(
        self,
        unavailable: QueueUnavailable,
        message: SpooledMessage,
        retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY,
        *,
        submitted_at: float,
    ) -> Acceptance:
        """
        What `accept` does with a message that was given to Redis at a time of the loop's clock, and
        was not kept there since it was `unavailable`.
        """
        return await self._keep(message, retry_policy, unavailable, submitted_at=submitted_at)

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

    async def probe(self) -> bool:
        """Whether Redis takes writes now; then what was refused meanwhile is counted."""
        if not await self._redis.probe():
            return False
        await self.notes.count_refused()
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
            await cancel_and_wait({self._drain_task})
        # Refused and not left without an answer: the vendor may send it again, to another instance
        # or after the restart.
        await self._redis.close()

    async def _keep(
        self,
        message: SpooledMessage,
        retry_policy: RetryPolicy,
        unavailable: QueueUnavailable | None = None,
        *,
        submitted_at: float | None = None,
    ) -> Acceptance:
        """
        Write to Redis, unless that was tried and it was `unavailable`; else to the spool; else
        refuse.
        """
        answer_s = max(LEAST_ANSWER_S, retry_policy.response_timeout_s - ANSWER_MARGIN_S)
        deadline = (submitted_at or asyncio.get_running_loop().time()) + answer_s
        never_retries = not retry_policy.retry_delays_s
        try:
            if self._spool is None:
                return await self._write_until(
                    deadline, message, unavailable, never_retries=never_retries
                )
            return await self._write_or_spool(
                self._spool, deadline, message, unavailable, never_retries=never_retries
            )
        except QueueUnavailable:
            self.notes.refused[message.source] += 1
            raise

    async def _write(self, message: SpooledMessage) -> Acceptance:
        """Write to Redis. Raises `QueueUnavailable`."""
        call = script_call(message, self._limits)
        return acceptance_of(await self._redis.write(call, len(message.packed_message)))

    async def _write_or_spool(
        self,
        spool: Spool,
        deadline: float,
        message: SpooledMessage,
        unavailable: QueueUnavailable | None,
        *,
        never_retries: bool,
    ) -> Acceptance:
        """Write to Redis if it is there, else to the spool. Raises `QueueUnavailable`."""
        # Known to be away: nobody waits for a timeout of its own. The drain notices its return.
        trouble = None
        if unavailable is None:
            trouble = self._redis.trouble
        if trouble is not None:
            unavailable = QueueUnavailable(trouble)
        try:
            return await self._write_first(message, unavailable)
        except QueueUnavailable as err:
            unavailable = err
        if self._drain is not None:
            self._drain.wake()
        try:
            async with asyncio.timeout_at(deadline):
                is_new = await spool.put(small(message), is_last_chance=never_retries)
        except TimeoutError as err:
            raise QueueUnavailable(f"{unavailable}; the spool's disk does not answer") from err
        except SpoolUnavailable as err:
            # Redis may be back by now, or be so before a sender that never retries gives up.
            if trouble is not None or never_retries:
                return await self._write_until(deadline, message, None, never_retries=never_retries)
            raise QueueUnavailable(
                f"{unavailable}; the spool takes nothing: {err}",
                retry_after_s=unavailable.retry_after_s,
            ) from err
        if is_new:
            return Acceptance.SPOOLED
        return Acceptance.REPEATED

    async def _write_first(
        self, message: SpooledMessage, unavailable: QueueUnavailable | None
    ) -> Acceptance:
        """Write to Redis, unless it is known to be `unavailable`. Raises `QueueUnavailable`."""
        if unavailable is not None:
            raise unavailable
        return await self._write(message)

    async def _write_until(
        self,
        deadline: float,
        message: SpooledMessage,
        unavailable: QueueUnavailable | None,
        *,
        never_retries: bool,
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
                        return await self._write_first(message, unavailable)
                    except QueueUnavailable as err:
                        unavailable = None
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
