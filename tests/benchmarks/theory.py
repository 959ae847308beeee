"""
What can be known without measuring: how soon a limit lets the last of many requests through, and
what many figures come to.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Reading = Literal["window", "bucket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int = 10
    window_s: float = 10

    def __str__(self) -> str:
        return f"{self.requests}/{self.window_s:g}s"


def earliest_end_s(count: int, limit: Limit, reading: Reading) -> float:
    """
    Seconds from the first of `count` requests to the last, at the earliest, if nothing was sent
    before the first.

    In the strict window each batch waits for the one before to leave it; a bucket takes one batch
    at once and then drains evenly.
    """
    if count <= limit.requests:
        return 0.0
    if reading == "window":
        return (math.ceil(count / limit.requests) - 1) * limit.window_s
    return (count - limit.requests) * limit.window_s / limit.requests


def percentile(values: Sequence[float], percent: float) -> float:
    """
    The value that so many percent of the values do not exceed (nearest rank). Raises ValueError if
    there are none.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
