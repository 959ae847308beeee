"""
The fleet's budget of requests to Buildr: permits, the lanes in which calls wait for them, and the
breaker while Buildr is away.

A permit counts against every budget from the moment it is given until a whole window after the
latest time at which its request can have reached Buildr. So no window of true arrival times holds
more than the budget, whatever the network does.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.store.keys import Keys
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

LEASE_MS: Final = 5000
PUMP_LIMIT: Final = 50
LONGEST_BLOCK_S: Final = 86_400
# What Buildr's beta version calls the budgets that last longer than a burst.
LONGER_BUCKETS: Final = frozenset({"hour", "hourly", "day", "daily"})


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
    timer: Callable[[], float] = time.monotonic

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
        since_ms = int(since.timestamp() * 1000)
        answer = await self.scripts.run(
            "grant",
            self._budgets,
            ref,
            cost,
            int(hold_s * 1000),
            lane.value,
            since_ms,
            self.newest_first_above,
        )
        if not isinstance(answer, list):
            raise TypeError("unexpected answer of the script grant")
        verdict = int(answer[0])
        if verdict == 1:
            starts_at = self.timer() + int(answer[2]) / 1000
            return Grant(
                ref,
                GrantStatus.GRANTED,
                tuple(_text(answer[1]).split(",")),
                starts_at=starts_at,
                valid_until=valid_until,
            )
        wait_s = max(0.05, float(_text(answer[1])) / 1000)
        if verdict == 0:
            return Grant(ref, GrantStatus.WAITS, (), wait_s, is_away=int(answer[2]) == 1)
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
        return self.timer() + request_timeout_s <= grant.valid_until

    async def renew(self, grant: Grant, *, answered: int, hold_s: float) -> float:
        """
        Give the requests after the first `answered` ones their whole time again; returns the new
        `valid_until`, 0 if it is too late.
        """
        valid_until = self.timer() + hold_s
        is_ours = await self.scripts.run(
            "renew", self._budgets, grant.ref, ",".join(grant.permits), answered, int(hold_s * 1000)
        )
        return valid_until if is_ours == 1 else 0

    async def release(
        self,
        grant: Grant,
        *,
        sent: int,
        heard: HealthSignal = HealthSignal.NOTHING,
        wait_s: float | None = None,
        cause: str = "",
        bucket: str | None = None,
    ) -> RateLimitState:
        """
        Give permits back, and say what was heard.

        The first `sent` of them count from now on for a window, the others not at all. After a 429
        nobody sends for `wait_s` seconds as Buildr has said, or for a growing while if it did not
        say; `cause` is why Buildr counts as down. A `bucket` that names a longer budget leaves our
        share of the shortest as it is.
        """
        used, unused = grant.permits[:sent], grant.permits[sent:]
        detail = (
            cause
            if heard is HealthSignal.DOWN
            else ""
            if wait_s is None
            else str(int(min(wait_s, LONGEST_BLOCK_S) * 1000) + 1)
        )
        names = [",".join(each) for each in (used, unused, grant.permits)]
        answer = await self.scripts.run(
            "release",
            self._budgets,
            grant.ref,
            *names,
            heard.value,
            detail,
            int(bucket in LONGER_BUCKETS),
        )
        if not isinstance(answer, list):
            raise TypeError("unexpected answer of the script release")
        blocked_ms, is_open, outage_ms, has_opened, allowance = (int(part) for part in answer)
        return RateLimitState(
            blocked_s=blocked_ms / 1000,
            is_open=bool(is_open),
            has_opened=bool(has_opened),
            outage_s=outage_ms / 1000 if outage_ms else None,
            allowance=allowance,
        )

    async def pump(self, *, worker_id: str = "", has_reason: bool = True) -> PumpResult:
        """
        Let as many waiting calls go as the budget allows; safe to be called by every worker at
        once.

        Without a reason to believe that there is room, only the one worker does anything that keeps
        the time for all.
        """
        answer = await self.scripts.run(
            "pump",
            self._budgets,
            LEASE_MS,
            PUMP_LIMIT,
            self.newest_first_above,
            worker_id,
            int(has_reason),
        )
        if not isinstance(answer, list):
            raise TypeError("unexpected answer of the script pump")
        gone, waiting, next_ms = (int(part) for part in answer)
        return PumpResult(gone, waiting, next_ms / 1000 if waiting else None)

    async def leave(self, ref: str) -> None:
        """Take a name out of its lane."""
        pipe = self.redis.pipeline(transaction=True)
        for lane in LANES:
            pipe.zrem(self.keys.named(f"lane:{lane}"), ref)
        await pipe.execute()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
