"""
Requests for contacts: one at a time, within the budget, behind all calls.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeVar

from msgspec import Struct, field

from service.errors import BuildrError, BuildrRateLimited, BuildrUnavailable
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


class ContactReader(Struct, frozen=True, kw_only=True):
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
            try:
                return await self._request(request, signal_of=health_signal_of)
            except BuildrRateLimited:
                continue
            except BuildrError as err:
                failures += 1
                if not err.retryable or failures >= MAX_FAILURES:
                    raise

    async def read_once(self, request: Callable[[], Awaitable[T]]) -> T:
        """
        The answer to a request about one record, which is not made again unless Buildr asked to
        wait. Raises as `read`.
        """
        while True:
            try:
                return await self._request(request, signal_of=_signal_about_one)
            except BuildrRateLimited:
                continue

    async def _request(
        self,
        request: Callable[[], Awaitable[T]],
        *,
        signal_of: Callable[[BuildrError], HealthSignal],
    ) -> T:
        permits = self.store.permits
        grant = await self._permit()
        while not await permits.start(grant, request_timeout_s=self.client.timeout_s):
            await permits.release(grant, sent=0)
            grant = await self._permit()
        try:
            answer = await request()
        except BuildrError as err:
            await release_permits(permits, grant, sent=1, signal=signal_of(err), err=err)
            raise
        await release_permits(permits, grant, sent=1, signal=HealthSignal.FINE)
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


def _signal_about_one(err: BuildrError) -> HealthSignal:
    """What the failure of one record shows: a 5xx may be about the record alone."""
    # Without calls nothing else would be sent, and a record that Buildr cannot show would hold an
    # outage open that there is none of.
    status = err.status_code
    if isinstance(err, BuildrUnavailable) and status and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return HealthSignal.NOTHING
    return health_signal_of(err)
