"""
Buildr's rate limit in both readings: https://buildr.dev/introduction/rate-limiting speaks of a
leaky bucket of 10 calls per 10 seconds.

Read strictly, no window of 10 s may hold more than 10 requests; a bucket that drains lets up to 19
through. Times are whole nanoseconds, so that no rounding decides. A request that is refused uses
nothing up.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from service.settings import Budget

NS_PER_S: Final = 1_000_000_000
Mode = Literal["window", "bucket", "both", "off"]
# Of the beta version's buckets only `burst` is documented; the others are made in its likeness.
NAMES: Final = {1: "second", 10: "burst", 3600: "hour", 86_400: "day"}


class _Reading(Protocol):
    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until the next request may pass; 0 for now."""

    def take(self, now_ns: int) -> None:
        """Count a request."""


@dataclass(slots=True)
class SlidingWindow:
    """
    At most `requests` in any window of `window_ns`; a request leaves the window exactly `window_ns`
    after it came.
    """

    requests: int
    window_ns: int
    _taken: deque[int] = field(default_factory=deque, init=False)

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until the next request may pass; 0 for now."""
        while self._taken and now_ns - self._taken[0] >= self.window_ns:
            self._taken.popleft()
        if len(self._taken) < self.requests:
            return 0
        return self._taken[-self.requests] + self.window_ns - now_ns

    def take(self, now_ns: int) -> None:
        """Count a request."""
        self._taken.append(now_ns)


@dataclass(slots=True)
class LeakyBucket:
    """
    A bucket for `requests` that drains all of them in `window_ns`.

    A request weighs `window_ns`, a nanosecond drains `requests`, so that everything stays a whole
    number.
    """

    requests: int
    window_ns: int
    _level: int = field(default=0, init=False)
    _at_ns: int = field(default=0, init=False)

    def wait_ns(self, now_ns: int) -> int:
        """Nanoseconds until the next request may pass; 0 for now."""
        too_much = self._drained(now_ns) + self.window_ns - self.requests * self.window_ns
        return max(0, -(-too_much // self.requests))

    def take(self, now_ns: int) -> None:
        """Count a request."""
        self._level = self._drained(now_ns) + self.window_ns
        self._at_ns = max(self._at_ns, now_ns)

    def _drained(self, now_ns: int) -> int:
        return max(0, self._level - self.requests * max(0, now_ns - self._at_ns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request over the limit: when the next will succeed, and which budget it broke."""

    wait_ns: int
    budget: Budget

    @property
    def wait_s(self) -> int:
        """Whole seconds, rounded up, so that whoever waits them is let through."""
        return max(1, -(-self.wait_ns // NS_PER_S))

    @property
    def bucket(self) -> str:
        """The budget's name, as in the body of the beta version's 429."""
        return NAMES.get(int(self.budget.window_s), f"{self.budget.window_s:g}s")


class Limiter:
    """
    All budgets of an account, each in the readings that the mode asks for; a request must pass all
    of them.
    """

    def __init__(self, budgets: Iterable[Budget], mode: Mode) -> None:
        self._readings: Final = [
            (budget, reading) for budget in budgets for reading in _readings(budget, mode)
        ]

    def admit(self, now_ns: int) -> Refusal | None:
        """Count a request that arrived now, or say why not."""
        # All are asked before any is counted: a request that one budget refuses uses up none.
        waits = [(reading.wait_ns(now_ns), budget) for budget, reading in self._readings]
        longest_ns, budget = max(waits, key=lambda wait: wait[0], default=(0, None))
        if budget is not None and longest_ns > 0:
            return Refusal(wait_ns=longest_ns, budget=budget)
        for _, reading in self._readings:
            reading.take(now_ns)
        return None


@dataclass(slots=True)
class PeakRate:
    """The most requests that ever came within one window, refused ones included."""

    budget: Budget
    most: int = field(default=0, init=False)
    _arrivals: deque[int] = field(default_factory=deque, init=False)

    def add(self, now_ns: int) -> None:
        """Count an arrival."""
        self._arrivals.append(now_ns)
        while now_ns - self._arrivals[0] >= window_ns(self.budget):
            self._arrivals.popleft()
        self.most = max(self.most, len(self._arrivals))


def window_ns(budget: Budget) -> int:
    """The budget's window in nanoseconds."""
    return round(budget.window_s * NS_PER_S)


def _readings(budget: Budget, mode: Mode) -> list[_Reading]:
    window = SlidingWindow(budget.requests, window_ns(budget))
    bucket = LeakyBucket(budget.requests, window_ns(budget))
    table: dict[Mode, list[_Reading]] = {
        "window": [window],
        "bucket": [bucket],
        "both": [window, bucket],
        "off": [],
    }
    return table[mode]
