"""
Requests for contacts: one at a time, within the budget, behind all calls.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from service.errors import BuildrError
from service.store.connection import Store
from service.store.rate_limit.grants import Grant, GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient
from workers.delivery.feedback import health_signal_of, release_permits

POLL_S: Final = 0.5
# How long a process that was killed keeps others from reading contacts.
LOCK_TTL_S: Final = 20.0
MAX_FAILURES: Final = 5

T = TypeVar("T")


class SyncRunning(Exception):
    """Raised when another process is reading contacts into the same phone book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReader:
    """
    Makes requests in the last lane, for the one process that has the right to synchronise; whoever
    uses it gives the right back in the end, by `store.phone_book.unlock`.

    `hold_s` is the longest that one request may take, in seconds.
    """

    store: Store
    client: BuildrClient
    hold_s: float
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    permit_name: str = field(default_factory=lambda: f"#contacts:{secrets.token_hex(4)}")

    async def read(self, request: Callable[[], Awaitable[T]]) -> T:
        """
        The answer to a request, which is made again after a failure that may pass.

        Raises `BuildrError` after five failures in a row, or one that does not pass, and
        `SyncRunning` if another process has taken the right.
        """
        failures = 0
        while True:
            grant = await self._permit()
            if not await self.store.permits.start(grant, request_timeout_s=self.client.timeout_s):
                await self.store.permits.release(grant, sent=0)
                continue
            try:
                answer = await request()
            except BuildrError as err:
                signal = health_signal_of(err)
                await release_permits(self.store.permits, grant, sent=1, signal=signal, err=err)
                if signal is not HealthSignal.LIMITED:
                    failures += 1
                if not err.retryable or failures >= MAX_FAILURES:
                    raise
                continue
            await release_permits(self.store.permits, grant, sent=1, signal=HealthSignal.FINE)
            return answer

    async def _permit(self) -> Grant:
        """A permit in the last lane; the right to synchronise is kept while it waits."""
        permits = self.store.permits
        since = self.clock()
        try:
            while True:
                if not await self.store.phone_book.lock(ttl_s=LOCK_TTL_S):
                    raise SyncRunning
                grant = await permits.ask(
                    self.permit_name, lane=Lane.BACKFILL, since=since, cost=1, hold_s=self.hold_s
                )
                if grant.verdict is GrantStatus.GRANTED:
                    return grant
                await permits.pump()
                await self.sleep(min(POLL_S, grant.wait_s))
        finally:
            await permits.leave(self.permit_name)
