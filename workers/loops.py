"""
What a worker does beside its jobs: let waiting calls go, heal lost alarms, prove that Redis takes writes, read outcome names.

arq's own cron is not used: it forgets a run that it missed, and clocks that differ make it run twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import BuildrError, BuildrRateLimited
from service.store.connection import Store
from workers.buildr import BuildrClient
from workers.clock import SharedClock
from workers.delivery.names import OutcomeNames

IDLE_S: Final = 1.0
SHORTEST_S: Final = 0.005
SWEEP_EVERY_S: Final = 2.0
FORGET_EVERY_S: Final = 3600.0
# A worker that has not written for so long counts as dead, and its calls are taken over.
PROBE_EVERY_S: Final = 1.5
PROBE_LIFE_MS: Final = 6000
PROBES_LOST: Final = 40
NAMES_EVERY_S: Final = 30.0
NAMES_FIRST_S: Final = 0.5
NAMES_IN_LANE_S: Final = 0.5
NAMES_REFUSED_S: Final = 600.0

log = structlog.get_logger(__name__)


class RedisRefusesWrites(Exception):
    """Raised when Redis has no room, is read-only, or stayed away: the worker must end, so that its supervisor notices."""


@dataclass(slots=True)
class Pump:
    """Lets waiting calls go as soon as the budget has room; `kick` it when that may be so."""

    store: Store
    worker_id: str
    _kicked: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def kick(self) -> None:
        """Ask for a turn now."""
        self._kicked.set()

    async def run(self) -> None:
        """Pump until cancelled."""
        while True:
            has_reason = self._kicked.is_set()
            self._kicked.clear()
            try:
                pumped = await self.store.permits.pump(worker_id=self.worker_id, has_reason=has_reason)
            except (RedisError, OSError, TimeoutError) as err:
                log.warning("delivery.pump_failed", reason=type(err).__name__)
                await asyncio.sleep(IDLE_S)
                continue
            wait_s = IDLE_S if pumped.next_in_s is None else min(IDLE_S, max(SHORTEST_S, pumped.next_in_s))
            try:
                async with asyncio.timeout(wait_s):
                    await self._kicked.wait()
            except TimeoutError:
                continue


async def sweep(store: Store, *, in_progress_s: float) -> None:
    """Heal calls that have lost their alarm, and take over those of dead workers; in a healthy system there are none."""
    swept = await store.schedule.sweep(in_progress_s=in_progress_s)
    if swept.healed:
        log.warning("delivery.alarms_healed", count=swept.healed)
    if swept.taken_over:
        log.warning("delivery.calls_taken_over", count=swept.taken_over)


async def forget(store: Store, clock: SharedClock, *, keep: timedelta) -> None:
    """Drop unmatched calls whose time is over, with a line for each: nothing goes silently."""
    before_ms = int((clock() - keep).timestamp() * 1000)
    while refs := await store.schedule.forget_old(before_ms=before_ms):
        for ref in refs:
            source, _, source_call_id = ref.partition(":")
            log.warning("call.forgotten", source=source, source_call_id=source_call_id, reason="unmatched for longer than KEEP_CALLS_D")
            await store.counters.add("forgotten", source)


@dataclass(slots=True)
class Probe:
    """
    Writes a key every few moments: the sign of life by which others know that this worker's calls are in good hands.

    It also proves that Redis takes writes: arq takes every error of Redis for "already running" and would idle without a word. `map_digest`
    tells by which outcome map this worker decides.
    """

    store: Store
    worker_id: str
    clock: SharedClock
    map_digest: str
    _lost: int = field(default=0, init=False)

    async def turn(self) -> None:
        """Write once. Raises `RedisRefusesWrites`."""
        try:
            now = self.clock()
            await self.store.redis.set(self.store.keys.named(f"worker:{self.worker_id}"), now.isoformat(), px=PROBE_LIFE_MS)
            await self.store.redis.hset(self.store.keys.named("maps"), self.worker_id, f"{int(now.timestamp() * 1000)}:{self.map_digest}")
            await self.clock.sync(self.store.redis)
        except (RedisConnectionError, RedisTimeoutError, OSError) as err:
            self._lost += 1
            if self._lost >= PROBES_LOST:
                raise RedisRefusesWrites("Redis stayed away") from err
        except ResponseError as err:
            raise RedisRefusesWrites(str(err)) from err
        else:
            self._lost = 0


@dataclass(slots=True)
class NamesWatch:
    """Reads the account's outcome names anew once they are old; hurries while there are none, since calls wait for them."""

    names: OutcomeNames
    client: BuildrClient
    hold_s: float
    _hurry_s: float = field(default=NAMES_FIRST_S, init=False)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                is_through = await self._turn()
                has_names = await self.names.current() is not None
            except (RedisError, OSError, TimeoutError) as err:
                log.warning("worker.turn_failed", reason=type(err).__name__)
                is_through, has_names = True, False
            if not is_through:
                # Waits at the head of the lane; a permit is not held for long.
                wait_s = NAMES_IN_LANE_S
            elif has_names:
                wait_s = NAMES_EVERY_S
            else:
                wait_s = self._hurry_s
                self._hurry_s = min(NAMES_EVERY_S, self._hurry_s * 2)
            await asyncio.sleep(wait_s)

    async def _turn(self) -> bool:
        """Read the names if that is due; False if there was no budget for it."""
        await self.names.current()
        if not self.names.is_stale:
            # A worker may have died between reading the names and waking those who wait for them.
            await self.names.store.schedule.wake_named()
            return True
        try:
            if not await self.names.refresh(self.client, hold_s=self.hold_s):
                return False
            log.info("buildr.outcomes_read")
        except BuildrError as err:
            if not err.retryable:
                # An account without the list, which is only assumed to exist: asking often would take budget from calls.
                self._hurry_s = NAMES_REFUSED_S
            if not isinstance(err, BuildrRateLimited):
                log.warning("buildr.outcomes_not_read", reason=err.cause, status_code=err.status_code, error=str(err))
        return True


async def every(seconds: float, turn: Callable[[], Awaitable[None]]) -> None:
    """Take turns until cancelled; an error of Redis is logged and the next turn comes all the same."""
    while True:
        try:
            await turn()
        except (RedisError, OSError, TimeoutError) as err:
            log.warning("worker.turn_failed", reason=type(err).__name__)
        await asyncio.sleep(seconds)
