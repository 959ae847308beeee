"""
Bar charts of messages by hour, as the numbers that an inline SVG is drawn from.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

HOUR_S: Final = 3600
HEIGHT: Final = 64
# In the units of the drawing, which is stretched to the width of the page.
BAR: Final = 10
GAP: Final = 2
HOURS_OF_A_DAY: Final = 24
# Ends of scales that a reader takes in at once.
ROUND: Final = (1, 2, 5)


class Bar(Struct, frozen=True):
    """One bar: where it is, how high, and what it says when it is pointed at."""

    x: int
    y: float
    height: float
    label: str
    is_now: bool


class Chart(Struct, frozen=True, kw_only=True):
    """Bars over time, oldest first; `top` is the number at the upper end of the scale."""

    title: str
    bars: tuple[Bar, ...]
    width: int
    top: int
    total: int
    first: str
    last: str
    height: int = HEIGHT

    @property
    def summary(self) -> str:
        """The chart in a sentence, for those who do not see it."""
        return f"{self.title}: {self.total:,} messages, at most {self.top:,} in one bar"


def by_hour(counts: Mapping[int, int], *, hours: int, now: datetime, title: str) -> Chart:
    """Messages in each of the last hours."""
    last_hour = int(now.timestamp()) // HOUR_S
    starts = range(last_hour - hours + 1, last_hour + 1)
    return _chart(
        title,
        [(counts.get(hour, 0), f"{_at(hour):%a %H:00}") for hour in starts],
        first=f"{_at(starts[0]):%a %H:00}",
    )


def by_six_hours(counts: Mapping[int, int], *, days: int, now: datetime, title: str) -> Chart:
    """Messages in each quarter of the last days."""
    quarter = 6
    last_hour = int(now.timestamp()) // HOUR_S
    starts = range(last_hour - days * HOURS_OF_A_DAY + 1, last_hour + 1, quarter)
    values = []
    for start in starts:
        total = sum(counts.get(hour, 0) for hour in range(start, start + quarter))
        values.append((total, f"{_at(start):%a %d %b %H:00}, 6 h"))
    return _chart(title, values, first=f"{_at(starts[0]):%a %d %b}")


def add_up(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sum of several counts by hour."""
    total: dict[int, int] = {}
    for of_source in counts:
        for hour, number in of_source.items():
            total[hour] = total.get(hour, 0) + number
    return total


def _chart(title: str, values: Sequence[tuple[int, str]], *, first: str) -> Chart:
    top = _round_up(max((number for number, _ in values), default=0))
    bars = []
    for index, (number, label) in enumerate(values):
        height = round(HEIGHT * number / top, 1)
        # A single message among thousands must be seen all the same.
        if number:
            height = max(height, 1.0)
        is_now = index == len(values) - 1
        x = index * (BAR + GAP)
        bars.append(Bar(x, round(HEIGHT - height, 1), height, f"{label}: {number:,}", is_now))
    return Chart(
        title=title,
        bars=tuple(bars),
        width=len(values) * (BAR + GAP) - GAP,
        top=top,
        total=sum(number for number, _ in values),
        first=first,
        last="now",
    )


def _round_up(number: int) -> int:
    scale = 1
    while True:
        for step in ROUND:
            if number <= step * scale:
                return step * scale
        scale *= 10


def _at(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * HOUR_S, UTC)
