"""
The way from the spool to Redis: the messages of one account in the order in which they came, as
soon as Redis takes them.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from msgspec import Struct

from service.errors import QueueUnavailable
from service.logs.events import LogEvent
from service.spool.file import Row
from service.spool.messages import SpooledMessage, SpoolUnavailable
from service.spool.spool import Spool
from service.store.accept_scripts import AcceptResult
from service.store.redis_trouble import RedisTrouble, classify_redis_error

# One round trip, and one transaction of the spool.
BATCH: Final = 128
# Redis is noticed again well within a second.
PROBE_INTERVAL_S: Final = 0.25
# With too many messages waiting for workers: they are read at some hundred a second.
FULL_INTERVAL_S: Final = 1.0
REPORT_INTERVAL_S: Final = 60.0

log = structlog.get_logger(__name__)


class Target(Protocol):
    """Where the messages go: Redis, which knows whether it takes them."""

    @property
    def trouble(self) -> str | None:
        """Why Redis takes no messages, in words for people; None while it takes them."""

    @property
    def has_waiting(self) -> bool:
        """Whether messages of senders wait for Redis, which go first."""

    async def probe(self) -> bool:
        """Whether Redis takes writes again."""

    async def write_spooled(
        self, messages: Sequence[SpooledMessage]
    ) -> Sequence[AcceptResult | Exception]:
        """
        Give messages to Redis, in order: the answer to each, or its error.

        Raises `QueueUnavailable` if Redis answers none of them.
        """


class _Episode(Struct):
    """One time of spooling: since when, and what has come of its messages."""

    began_at: float
    reported_at: float
    written: int = 0
    repeated: int = 0


class Drain:
    """Moves the messages of one account. Belongs to one event loop."""

    def __init__(self, spool: Spool, account: str, target: Target) -> None:
        self._spool = spool
        self._account = account
        self._target = target
        self._event = spool.event(account)
        self._episode: _Episode | None = None

    def wake(self) -> None:
        """Look after Redis, which has just been noticed to be away."""
        self._event.set()

    async def run(self) -> None:
        """Move messages until cancelled."""
        while True:
            try:
                pause_s = await self._turn()
            # Messages wait: whatever it is, it must not be the end of moving them.
            except Exception:
                log.exception(LogEvent.SPOOL_BROKEN, account=self._account)
                pause_s = FULL_INTERVAL_S
            await asyncio.sleep(pause_s)

    async def _turn(self) -> float:
        """One batch, or one question whether Redis is back; returns the seconds to wait then."""
        if not (self._target.trouble or self._spool.depth(self._account).messages):
            self._end()
            self._event.clear()
            await self._event.wait()
        self._report()
        if self._target.trouble and not await self._target.probe():
            return PROBE_INTERVAL_S
        try:
            return await self._move_batch()
        except (QueueUnavailable, SpoolUnavailable):
            return PROBE_INTERVAL_S

    async def _move_batch(self) -> float:
        """
        Give the oldest messages to Redis, then remove those that it has; returns the seconds to
        wait before the next ones.

        Raises `QueueUnavailable` and `SpoolUnavailable`.
        """
        started = time.monotonic()
        rows = await self._spool.read(self._account, BATCH)
        messages = [row.message for row in rows if row.message is not None]
        if not messages:
            return PROBE_INTERVAL_S
        results = await self._target.write_spooled(messages)
        confirmed: list[Row] = []
        is_full = False
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, Exception):
                if classify_redis_error(result) is RedisTrouble.REFUSED:
                    await self._set_aside(row, result)
            elif result is AcceptResult.FULL:
                is_full = True
            else:
                confirmed.append(row)
                self._count(result)
        # After Redis has confirmed. A process that ends in between leaves them for the next one,
        # which Redis answers that it knows them.
        await self._spool.remove(confirmed)
        if is_full:
            return FULL_INTERVAL_S
        # Senders wait for the same Redis: they have it at least half of the time.
        if self._target.has_waiting:
            return time.monotonic() - started
        return 0

    async def _set_aside(self, row: Row, err: Exception) -> None:
        """Redis takes other messages and refuses this one: it must not hold up those behind it."""
        reason = f"{type(err).__name__}: {err}".partition(" script:")[0][:200]
        log.error(
            LogEvent.SPOOL_ROW_SET_ASIDE,
            account=self._account,
            message_id=row.message and row.message.message_id,
            reason=type(err).__name__,
        )
        await self._spool.set_aside(row, reason)

    def _count(self, result: AcceptResult) -> None:
        if self._episode is None:
            return
        if result is AcceptResult.KEPT:
            self._episode.written += 1
        else:
            self._episode.repeated += 1

    def _report(self) -> None:
        """Log that messages go to the spool: once, then every minute."""
        depth = self._spool.depth(self._account)
        if not depth.messages:
            return
        now = time.monotonic()
        if self._episode is None:
            self._episode = _Episode(now, now)
            log.warning(
                LogEvent.SPOOL_BEGAN,
                account=self._account,
                reason=self._target.trouble or "messages of before wait for Redis",
                messages=depth.messages,
            )
        elif now - self._episode.reported_at >= REPORT_INTERVAL_S:
            self._episode.reported_at = now
            log.warning(
                LogEvent.SPOOL_CONTINUES,
                account=self._account,
                reason=self._target.trouble or "Redis takes them now",
                messages=depth.messages,
                oldest_age_s=depth.age_s(datetime.now(UTC)),
            )

    def _end(self) -> None:
        """Log that everything is in Redis."""
        episode = self._episode
        if episode is None:
            return
        self._episode = None
        log.info(
            LogEvent.SPOOL_ENDED,
            account=self._account,
            messages=episode.written,
            repeated=episode.repeated,
            spooled_s=round(time.monotonic() - episode.began_at, 1),
        )
