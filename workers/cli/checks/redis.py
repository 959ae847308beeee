"""
Whether Redis answers, keeps what it is given, takes writes, and has the time of this machine.
"""

import asyncio
from collections.abc import Sequence

from service.errors import QueueUnavailable
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.durability import read_durability
from service.store.redis_trouble import REDIS_ERRORS
from workers.cli.checks.finding import Finding
from workers.cli.session import redis_failure
from workers.clock import SharedClock


class RedisChecks:
    """One check of each Redis, whichever account asks for it first; `is_up` waits for it."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[tuple[bool, list[Finding]]]] = {}

    async def findings(self, settings: Settings) -> list[Finding]:
        """What is to be known of an account's Redis."""
        return (await self._result(settings))[1]

    async def is_up(self, settings: Settings) -> bool:
        """Whether it answers, so that records can be read."""
        return (await self._result(settings))[0]

    async def _result(self, settings: Settings) -> tuple[bool, list[Finding]]:
        task = self._tasks.get(settings.redis_dsn)
        if task is None:
            task = asyncio.create_task(_check(settings))
            self._tasks[settings.redis_dsn] = task
        return await task


def one_for_each_redis(accounts: Sequence[Settings]) -> list[Settings]:
    """The first account of each Redis."""
    first: dict[str, Settings] = {}
    for account in accounts:
        first.setdefault(account.redis_dsn, account)
    return list(first.values())


async def _check(settings: Settings) -> tuple[bool, list[Finding]]:
    async with open_store(settings, role="cli") as store:
        try:
            await store.ping()
            report = await read_durability(store.redis, store.scripts.confirmation)
            clock = await _clock(store)
        except (QueueUnavailable, *REDIS_ERRORS) as err:
            return False, [Finding("redis", is_fine=False, detail=redis_failure(settings, err))]
        details = [fault.text for fault in report.faults if store.durability != "off"]
        # A server that forbids CONFIG is taken at its word.
        is_fine = not details or not report.is_readable
        try:
            await store.check_writes()
        except QueueUnavailable as err:
            details.insert(0, redis_failure(settings, err))
            is_fine = False
        if report.is_replica:
            is_fine = False
        detail = "; ".join(details) or "answers, keeps what it is given, evicts nothing"
        return True, [Finding("redis", is_fine=is_fine, detail=detail), clock]


async def _clock(store: Store) -> Finding:
    clock = SharedClock()
    await clock.sync(store.server_time)
    offset_ms = int(clock.machine_offset.total_seconds() * 1000)
    detail = f"differs from Redis by {offset_ms} ms"
    if clock.is_off:
        detail += ": set the clocks by NTP (timedatectl set-ntp true)"
    return Finding("clock", is_fine=not clock.is_off, detail=detail)
