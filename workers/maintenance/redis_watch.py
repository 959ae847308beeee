"""
What a worker knows of its Redis, and the log lines about it: one when trouble begins, one a minute,
and one when it is over.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.redis_trouble import RedisTrouble, classify_redis_error

REPORT_EVERY_S: Final = 60.0
# What only an operator can end.
_FOR_OPERATORS: Final = frozenset({RedisTrouble.FULL, RedisTrouble.DISK, RedisTrouble.READ_ONLY})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RedisWatch:
    """
    Trouble with the Redis of one account, reported by whatever meets it; the heartbeat, which goes
    on all the time, finds its end.

    `is_full` is for who can do with less room. `timer` gives seconds.
    """

    timer: Callable[[], float] = time.monotonic
    trouble: RedisTrouble | None = None
    is_full: bool = False
    _since: float = field(default=0, init=False)
    _reported_at: float = field(default=0, init=False)
    _refused_at: float | None = field(default=None, init=False)
    _lost: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _well: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._well.set()

    @property
    def is_well(self) -> bool:
        """Whether commands are worth trying."""
        return self._well.is_set()

    def lost(self, err: BaseException) -> None:
        """Redis has not done what it was asked."""
        trouble = classify_redis_error(err)
        if trouble is RedisTrouble.REFUSED:
            self.refused(err)
            return
        # What grows refuses to while Redis is full, the rest goes on; the heartbeat reports that.
        if trouble is not RedisTrouble.FULL:
            self._well.clear()
            self._lost.set()
            self._report(trouble)

    def refused(self, err: BaseException) -> None:
        """Redis is well, and refuses a command: a record is of another type than it should be."""
        now = self.timer()
        if self._refused_at is None or now - self._refused_at >= REPORT_EVERY_S:
            self._refused_at = now
            log.error(LogEvent.WORKER_TURN_FAILED, reason=RedisTrouble.REFUSED, error=str(err))

    def full(self) -> None:
        """Redis takes only what finishes something."""
        self.is_full = True
        self._set_well()
        self._report(RedisTrouble.FULL)

    def well(self) -> None:
        """Redis takes everything."""
        self.is_full = False
        self._set_well()
        if self.trouble is None:
            return
        log.info(
            LogEvent.WORKER_REDIS_BACK,
            reason=self.trouble.value,
            outage_s=round(self.timer() - self._since, 1),
        )
        self.trouble = None

    async def wait_until_well(self, *, at_most_s: float) -> None:
        """Wait until commands are worth trying again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._well.wait()

    async def wait_for_trouble(self, *, at_most_s: float) -> None:
        """Wait until something has met trouble that was not there before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._lost.wait()

    def _set_well(self) -> None:
        self._lost.clear()
        self._well.set()

    def _report(self, trouble: RedisTrouble) -> None:
        now = self.timer()
        if self.trouble is None:
            self._since = now
        elif trouble is self.trouble and now - self._reported_at < REPORT_EVERY_S:
            return
        # One kind follows another while a server restarts: away, then loading. Only what lasts, or
        # does not pass by itself, is for an operator.
        is_lasting = now - self._since >= REPORT_EVERY_S
        needs_operator = is_lasting or not trouble.may_pass or trouble in _FOR_OPERATORS
        write = log.error if needs_operator else log.warning
        write(
            LogEvent.WORKER_REDIS_TROUBLE,
            reason=trouble.value,
            error=trouble.text,
            outage_s=round(now - self._since, 1),
        )
        self.trouble = trouble
        self._reported_at = now
