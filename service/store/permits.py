"""
The fleet's budget of requests to Buildr: permits, and the lane in which calls wait for them.

A permit counts against every budget from the moment it is given until a whole window after the latest time at which its request can
have reached Buildr. So no window of true arrival times holds more than the budget, whatever the network does.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.store.client import Client
from service.store.keys import Keys
from service.store.lua import Scripts

LEASE_MS: Final = 5000
PUMP_LIMIT: Final = 50


class Verdict(StrEnum):
    """What became of asking for permits."""

    GRANTED = "granted"
    WAITS = "waits"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Permits, one per request; `wait_s` is when asking again may help, in seconds, where none were given.

    Requests must be over at `valid_until` (on the clock of `time.monotonic`): after that others may count on them not to come.
    """

    ref: str
    verdict: Verdict
    permits: tuple[str, ...] = ()
    wait_s: float = 0
    valid_until: float = 0


@dataclass(frozen=True, slots=True)
class Pumped:
    """What one turn of the pump did; `next_in_s` is None when nobody waits."""

    gone: int
    waiting: int
    next_in_s: float | None


@dataclass(frozen=True, slots=True)
class Permits:
    """Gives, counts and takes back permits. `budgets` are pairs of requests and window in milliseconds."""

    redis: Client
    keys: Keys
    scripts: Scripts
    budgets: Sequence[tuple[int, int]]

    @property
    def _budgets(self) -> str:
        return json.dumps([list(budget) for budget in self.budgets])

    async def ask(self, ref: str, *, cost: int, hold_s: float, is_first_in_lane: bool = False) -> Grant:
        """
        Ask for `cost` permits for a call.

        Without budget the call waits in the lane and its job ends; `pump` wakes it. `hold_s` is the longest that its requests may take.
        """
        # Taken before the question: the answer may be long on its way.
        valid_until = time.monotonic() + hold_s
        answer = await self.scripts.run("grant", self._budgets, ref, cost, int(hold_s * 1000), 0 if is_first_in_lane else "")
        verdict, value = _pair(answer)
        if verdict == 1:
            return Grant(ref, Verdict.GRANTED, tuple(_text(value).split(",")), valid_until=valid_until)
        wait_s = max(0.05, float(_text(value)) / 1000)
        return Grant(ref, Verdict.WAITS if verdict == 0 else Verdict.BUSY, (), wait_s)

    async def release(self, grant: Grant, *, sent: int) -> None:
        """Give permits back: the first `sent` of them count from now on for a window, the others not at all."""
        used, unused = grant.permits[:sent], grant.permits[sent:]
        await self.scripts.run("release", self._budgets, grant.ref, ",".join(used), ",".join(unused), ",".join(grant.permits))

    async def pump(self, *, call_cost: int) -> Pumped:
        """Let as many waiting calls go as the budget allows; safe to be called by every worker at once."""
        answer = await self.scripts.run("pump", self._budgets, call_cost, LEASE_MS, PUMP_LIMIT)
        if not isinstance(answer, list):
            raise TypeError("unexpected answer of the script pump")
        gone, waiting, next_ms = (int(part) for part in answer)
        return Pumped(gone, waiting, next_ms / 1000 if waiting else None)

    async def block(self, retry_after_s: float | None) -> float:
        """Let nobody send for as long as Buildr says, or for a growing while if it did not say; returns the seconds."""
        answer = await self.scripts.run("block", "" if retry_after_s is None else int(retry_after_s * 1000) + 1)
        return float(_text(answer)) / 1000

    async def leave(self, ref: str) -> None:
        """Take a name out of the lane."""
        await self.redis.zrem(self.keys.named("lane"), ref)

    async def waiting(self) -> int:
        """How many wait in the lane."""
        return int(await self.redis.zcard(self.keys.named("lane")))

    async def usage(self) -> tuple[list[int], float]:
        """Requests that count in each budget's window now, and for how many seconds Buildr has forbidden everything."""
        now_ms = await self._now_ms()
        pipe = self.redis.pipeline(transaction=False)
        for _, window_ms in self.budgets:
            pipe.zcount(self.keys.named("limit"), f"({now_ms - window_ms}", "+inf")
        pipe.get(self.keys.named("blocked"))
        *used, blocked = await pipe.execute()
        return [int(count) for count in used], max(0.0, (float(blocked or 0) - now_ms) / 1000)

    async def _now_ms(self) -> int:
        seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _pair(answer: object) -> tuple[int, object]:
    if not isinstance(answer, list):
        raise TypeError("unexpected answer of the script grant")
    return int(answer[0]), answer[1]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
