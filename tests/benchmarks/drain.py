"""
How long a backlog takes that the rate limit has to slow down, beside the earliest that the limit
allows.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tests.benchmarks.fleet import (
    block,
    fleet,
    forget_requests,
    patches_sent,
    read_names,
    right_calls,
    start_workers,
    state,
    waiting_calls,
    watch,
)
from tests.benchmarks.theory import Limit, Reading, earliest_end_s
from tests.benchmarks.workload import Case, put_in, shuffled

QUIET_S: Final = 3.0
# Calls per second that any fleet reads, however small the machine.
SLOWEST_READING: Final = 20
WAIT_TIMEOUT_S: Final = 60.0
MOST_PERCENT: Final = 102.0
MOST_PATCHES_PER_CALL: Final = 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """
    What one run came to; `took_s` is from the first PATCH to the last, by the sandbox's clock;
    `others` are requests that are none.
    """

    limit: Limit
    mode: Reading
    workers: int
    calls: int
    took_s: float
    patches: int
    others: int
    refused: int
    most: int
    right: int
    is_over: bool

    @property
    def percent(self) -> float:
        """
        The time taken, in percent of the earliest that the strict window allows, which both runs
        keep to.
        """
        return 100 * self.took_s / max(1e-9, earliest_end_s(self.calls, self.limit, "window"))

    @property
    def percent_of_mode(self) -> float:
        """The time taken, in percent of the earliest that the sandbox allowed."""
        return 100 * self.took_s / max(1e-9, earliest_end_s(self.calls, self.limit, self.mode))

    @property
    def lost_ms_per_window(self) -> float:
        """
        Milliseconds beyond the earliest time for each window waited for; unlike the percentage, it
        does not depend on the clock.
        """
        earliest_s = earliest_end_s(self.calls, self.limit, "window")
        return 1000 * (self.took_s - earliest_s) / max(1.0, earliest_s / self.limit.window_s)

    @property
    def patches_per_call(self) -> float:
        """PATCH requests for each call."""
        return self.patches / self.calls

    def faults(self) -> list[str]:
        """Which requirements were missed; empty if none was."""
        checks = [
            (self.is_over, "did not finish in time"),
            (
                self.percent <= MOST_PERCENT,
                f"{self.percent:.1f} % of the theoretical time, more than {MOST_PERCENT:g} %",
            ),
            (self.refused == 0, f"{self.refused} times 429"),
            (
                self.patches_per_call <= MOST_PATCHES_PER_CALL,
                f"{self.patches_per_call:.3f} PATCHes per call",
            ),
            (
                self.right == self.calls,
                f"{self.calls - self.right} calls without the right outcome",
            ),
        ]
        return [text for is_met, text in checks if not is_met]


def drain(cases: Sequence[Case], *, workers: int, mode: Reading, limit: Limit) -> Drained:
    """
    Put all events in, let the workers read them while Buildr is blocked, and then wait until it has
    been quiet for longer than a window.

    So neither starting a worker nor reading the backlog counts. The budget is free: the outcome
    names were read more than a window before.
    """
    with fleet(limit, mode=mode) as system:
        read_names(system)
        names_read_at = time.monotonic()
        asyncio.run(put_in(system.redis_url, shuffled(cases)))
        time.sleep(max(0.0, names_read_at + limit.window_s + 1 - time.monotonic()))
        forget_requests(system)
        with block(system) as free:
            start_workers(system, workers)
            watch(
                lambda: waiting_calls(system) >= len(cases),
                limit_s=WAIT_TIMEOUT_S + len(cases) / SLOWEST_READING,
            )
            free()
        quiet = _Quiet(limit.window_s + QUIET_S, len(cases))
        limit_s = 2 * earliest_end_s(len(cases), limit, "window") + WAIT_TIMEOUT_S
        is_over = watch(lambda: quiet.is_over(patches_sent(system)), limit_s=limit_s)
        patches = system.patches()
        counts = state(system)
        moments = [datetime.fromisoformat(str(patch["at"])).timestamp() for patch in patches]
        return Drained(
            limit=limit,
            mode=mode,
            workers=workers,
            calls=len(cases),
            took_s=max(moments) - min(moments) if moments else 0.0,
            patches=len(patches),
            others=int(counts["requests"]) - len(patches),
            refused=int(counts["rate_limited"]),
            most=int(counts["most_in_a_window"][0]["most"]),
            right=right_calls(system, cases),
            is_over=is_over,
        )


@dataclass(slots=True)
class _Quiet:
    """Over once as many PATCHes have come as there are calls, and then none for a while."""

    quiet_s: float
    least: int
    seen: int = 0
    since: float = 0.0

    def is_over(self, patches: int) -> bool:
        if patches != self.seen:
            self.seen = patches
            self.since = time.monotonic()
        return self.seen >= self.least and time.monotonic() - self.since > self.quiet_s
