"""
The fleet's budget of requests to Buildr: permits, the lanes in which calls wait for them, and the
breaker while Buildr is away.

A permit counts against every budget from the moment it is given until a whole window after the
latest time at which its request can have reached Buildr. So no window of true arrival times holds
more than the budget, whatever the network does.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from msgspec import Struct

from service.clock import steady_s
from service.store.keys import Keys
from service.store.rate_limit import script_calls
from service.store.rate_limit.grants import (
    Grant,
    GrantStatus,
    HealthSignal,
    PumpResult,
    RateLimitState,
)
from service.store.rate_limit.lanes import LANES, Lane
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# How long a permit waits for its job: arq starts it within milliseconds, unless all slots are
# taken. It is lost budget if its worker has died.
LEASE_MS: Final = 5000
# Calls per turn, so that one script stays short.
PUMP_LIMIT: Final = 50
# Buildr's longest budget is that of a day. A larger number in a header is a mistake, and must not
# stop deliveries for weeks.
LONGEST_BLOCK_S: Final = 86_400
# A wait of 0 would run the same call in a loop until the budget has room.
SHORTEST_WAIT_S: Final = 0.05
# The first value that the script grant returns.
WAITS: Final = 0
GRANTED: Final = 1
# What Buildr's beta version calls the budgets that last longer than a burst.
LONGER_BUCKETS: Final = frozenset({"hour", "hourly", "day", "daily"})


class _LastTime(Struct):
    """
    The present by the scripts as the pump last saw it, carried on by this process's own timer: by
    it the scripts notice that the clock of Redis was set ahead.
    """

    _now_ms: int | None = None
    _at: float = 0

    def note(self, now_ms: int, at: float) -> None:
        """The scripts counted `now_ms` when they were asked at `at` (seconds of the timer)."""
        self._now_ms = now_ms
        self._at = at

    def now_ms(self, at: float) -> int | None:
        """The present, None before the first turn of the pump."""
        if self._now_ms is None:
            return None
        return self._now_ms + int((at - self._at) * 1000)


@dataclass(frozen=True, slots=True)
class Permits:
    """
    Gives, counts and takes back permits.

    `budgets` are pairs of requests and window in milliseconds; above `newest_first_above` calls in
    a lane the newest go first. `timer` gives the seconds by which grants are valid.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    budgets: Sequence[tuple[int, int]]
    newest_first_above: int = 200
    # Not the wall clock, which may be set back while a permit is valid.
    timer: Callable[[], float] = steady_s
    _last_time: _LastTime = field(default_factory=_LastTime, init=False, compare=False)

    @property
    def _budgets(self) -> str:
        return json.dumps([list(budget) for budget in self.budgets])

    async def ask(
        self, ref: str, *, lane: Lane, since: datetime, cost: int, hold_s: float
    ) -> Grant:
        """
        Ask for `cost` permits for a call, or for a request of the service's own, whose name then
        starts with `#`.

        Without budget it waits in its lane, by the age that `since` (UTC) gives it, and its job
        ends; `pump` wakes it. `hold_s` is the longest that one request may take.
        """
        # Taken before the question: the answer may be long on its way.
        valid_until = self.timer() + hold_s
        call = script_calls.grant(
            budgets=self._budgets,
            ref=ref,
            cost=cost,
            hold_ms=int(hold_s * 1000),
            lane=lane,
            since_ms=int(since.timestamp() * 1000),
            newest_above=self.newest_first_above,
            expected_ms=self._last_time.now_ms(self.timer()),
        )
        code, detail, *rest = await self.scripts.run(call)
        if code == GRANTED:
            return Grant(
                ref,
                GrantStatus.GRANTED,
                _permit_ids(detail),
                # After the answer, and `valid_until` before the question: both err on the safe
                # side.
                starts_at=self.timer() + int(rest[0]) / 1000,
                valid_until=valid_until,
            )
        wait_s = max(SHORTEST_WAIT_S, int(detail) / 1000)
        if code == WAITS:
            return Grant(ref, GrantStatus.WAITS, (), wait_s, is_away=rest[0] == 1)
        return Grant(ref, GrantStatus.BUSY, (), wait_s)

    async def start(
        self,
        grant: Grant,
        *,
        request_timeout_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> bool:
        """
        Wait until the permits are good, never longer than they may be given ahead; False if a
        request would outlast them.
        """
        wait_s = grant.starts_at - self.timer()
        if wait_s > 0:
            await sleep(wait_s)
        # Compared after the sleep, which takes longer than it should if the process is stopped in
        # it.
        return self.timer() + request_timeout_s <= grant.valid_until

    async def renew(self, grant: Grant, *, answered: int, hold_s: float) -> float:
        """
        Give the requests after the first `answered` ones their whole time again; returns the new
        `valid_until`, 0 if it is too late.
        """
        valid_until = self.timer() + hold_s
        call = script_calls.renew(
            budgets=self._budgets,
            ref=grant.ref,
            permits=grant.permits,
            answered=answered,
            hold_ms=int(hold_s * 1000),
        )
        if not await self.scripts.run(call):
            return 0
        return valid_until

    async def release(
        self,
        grant: Grant,
        *,
        sent: int,
        signal: HealthSignal = HealthSignal.NOTHING,
        wait_s: float | None = None,
        cause: str = "",
        bucket: str | None = None,
    ) -> RateLimitState:
        """
        Give permits back, and report what the requests showed of Buildr.

        The first `sent` of them count for a window from now on, the others not at all. After a 429
        nobody sends for `wait_s` seconds as Buildr has asked, or for a growing time of our own if
        it named none. A time that is longer than every budget is believed only so far; then one
        request at a time is tried, after growing pauses, until one gets through.

        `cause` is why Buildr counts as down. A `bucket` that names a longer budget leaves the
        allowance of the shortest as it is.
        """
        call = script_calls.release(
            budgets=self._budgets,
            ref=grant.ref,
            used=grant.permits[:sent],
            unused=grant.permits[sent:],
            permits=grant.permits,
            signal=signal,
            detail=_signal_detail(signal, wait_s, cause),
            is_longer_bucket=bucket in LONGER_BUCKETS,
        )
        result = await self.scripts.run(call)
        blocked_ms, is_open, outage_ms, has_opened, allowance, was_unknown, unknown_calls = result
        return RateLimitState(
            blocked_s=blocked_ms / 1000,
            is_open=bool(is_open),
            has_opened=bool(has_opened),
            outage_s=_seconds_or_none(outage_ms),
            allowance=allowance,
            was_unknown=bool(was_unknown),
            unknown_calls=unknown_calls,
        )

    async def pump(self, *, worker_id: str = "", has_reason: bool = True) -> PumpResult:
        """
        Let as many waiting calls go as the budget allows; safe to be called by every worker at
        once.

        Without a reason to believe that there is room, only the one worker does anything that keeps
        the time for all.
        """
        call = script_calls.pump(
            budgets=self._budgets,
            lease_ms=LEASE_MS,
            limit=PUMP_LIMIT,
            newest_above=self.newest_first_above,
            worker_id=worker_id,
            has_reason=has_reason,
            expected_ms=self._last_time.now_ms(self.timer()),
        )
        asked_at = self.timer()
        released, waiting, next_ms, now_ms = await self.scripts.run(call)
        if worker_id:
            self._last_time.note(now_ms, asked_at)
        if waiting == 0:
            return PumpResult(released, waiting, None)
        return PumpResult(released, waiting, next_ms / 1000)

    async def leave(self, ref: str) -> None:
        """Take a name out of its lane."""
        pipe = self.redis.pipeline(transaction=True)
        for lane in LANES:
            pipe.zrem(self.keys.named(f"lane:{lane}"), ref)
        await pipe.execute()


def _permit_ids(joined: bytes | int) -> tuple[str, ...]:
    if not isinstance(joined, bytes):
        raise TypeError("the script grant returned no permits")
    return tuple(joined.decode().split(","))


def _signal_detail(signal: HealthSignal, wait_s: float | None, cause: str) -> str:
    """What the script needs beside the signal: the cause of an outage, or ms to wait."""
    if signal is HealthSignal.DOWN:
        return cause
    if wait_s is None:
        return ""
    # One more for the fraction that is cut off: Buildr would refuse a request that is early.
    return str(int(min(wait_s, LONGEST_BLOCK_S) * 1000) + 1)


def _seconds_or_none(ms: int) -> float | None:
    if ms == 0:
        return None
    return ms / 1000
