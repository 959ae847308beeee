"""
Reports sources that are silent at an hour at which messages usually arrive.

A webhook that was switched off at the vendor causes no error anywhere. A source is silent if, in
the hours since its last message, at least `MIN_MESSAGES` messages came in the same hours of each
of the weeks before.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog
from msgspec import Struct

from service.logs.events import LogEvent
from service.store.connection import Store

HOUR_S: Final = 3600
WEEK_H: Final = 7 * 24
# How many weeks are compared; one week alone is no habit.
MAX_WEEKS: Final = 4
# Two, since one busy week says nothing: an installation reports no silence in its first two weeks.
MIN_WEEKS: Final = 2
# With fewer, a quiet hour is likely by chance. A source with some calls a day is judged over more
# hours, until so many messages would have come.
MIN_MESSAGES: Final = 5
# Of a longer silence only the first week is compared, so that the result does not change with time.
# A shorter limit would miss a silence that begins on a Friday evening: weekends are always quiet.
LONGEST_H: Final = WEEK_H
# Often enough for a figure that only changes with the hour.
CHECK_EVERY_S: Final = 300.0

log = structlog.get_logger(__name__)


class Silence(Struct, frozen=True):
    """
    A source without messages since `since` (UTC).

    `typical_counts` are the messages in the same hours of the weeks before, the last week first.
    """

    since: datetime
    typical_counts: tuple[int, ...]

    @property
    def reason(self) -> str:
        """The evidence, as one sentence."""
        counts = ", ".join(map(str, self.typical_counts))
        weeks = len(self.typical_counts)
        return f"in the same hours of the {weeks} weeks before there came {counts} messages"


def detect_silence(hours: Mapping[int, int], last_at: datetime, now: datetime) -> Silence | None:
    """
    The silence of a source whose last message came at `last_at`; None if it is not unusual.

    `hours` counts its messages by hour since 1970. Only whole hours count, so that a silence is
    noticed after one hour at the earliest.
    """
    last_hour = int(last_at.timestamp()) // HOUR_S
    this_hour = int(now.timestamp()) // HOUR_S
    # The current hour is left out: a part of an hour would be compared with whole ones.
    silent_hours = range(last_hour + 1, min(this_hour, last_hour + 1 + LONGEST_H))
    first_hour = min(hours, default=last_hour)
    weeks = min(MAX_WEEKS, (last_hour - first_hour) // WEEK_H)
    if not silent_hours or weeks < MIN_WEEKS:
        return None
    typical_counts = tuple(_count(hours, silent_hours, week) for week in range(1, weeks + 1))
    # The least of the weeks, not their mean: a week with a holiday at this time makes the hour no
    # habit.
    if min(typical_counts) < MIN_MESSAGES:
        return None
    return Silence(last_at, typical_counts)


def _count(hours: Mapping[int, int], silent_hours: range, week: int) -> int:
    """The messages in the same hours of a week before."""
    first = silent_hours.start - WEEK_H * week
    last = silent_hours.stop - 1 - WEEK_H * week
    if _clocks_changed(first, silent_hours.stop):
        # Offices have opened and closed an hour earlier or later since, by UTC.
        first += 1
        last -= 1
    return sum(hours.get(hour, 0) for hour in range(first, last + 1))


def _clocks_changed(first_hour: int, last_hour: int) -> bool:
    """Whether clocks in North America or Europe may have been set between two hours."""
    first = datetime.fromtimestamp(first_hour * HOUR_S, UTC).date()
    last = datetime.fromtimestamp(last_hour * HOUR_S, UTC).date()
    return any(
        first <= day <= last for year in {first.year, last.year} for day in _clock_changes(year)
    )


def _clock_changes(year: int) -> Iterator[date]:
    for month, latest_day in ((3, 14), (3, 31), (10, 31), (11, 7)):
        day = date(year, month, latest_day)
        # The last Sunday up to then.
        yield day - timedelta(days=day.isoweekday() % 7)


class SilenceMonitor(Struct, frozen=True, kw_only=True):
    """
    Logs once when a source goes silent, and once when it is back.

    Every worker runs it; a flag in Redis lets one of them log.
    """

    store: Store
    sources: tuple[str, ...]
    clock: Callable[[], datetime]

    async def check(self) -> None:
        """Check every source once. Raises redis-py's errors."""
        latest = await self.store.source_activity.last()
        for source in self.sources:
            last_at = latest.get(("message", source))
            # A source that has never sent anything is not silent: it may not be set up yet.
            if last_at is not None:
                await self._check(source, last_at, was_silent=("silent", source) in latest)

    async def _check(self, source: str, last_at: datetime, *, was_silent: bool) -> None:
        activity = self.store.source_activity
        silence = detect_silence(await activity.hours(source), last_at, self.clock())
        if silence is not None:
            if await activity.set_silent(source, silence.since):
                log.warning(
                    LogEvent.SOURCE_SILENT,
                    source=source,
                    since=silence.since.isoformat(),
                    reason=silence.reason,
                )
        elif was_silent and await activity.clear_silent(source):
            log.info(LogEvent.SOURCE_RECEIVING_AGAIN, source=source)
        # Hours are kept relative to the last message: during a silence the hours that prove it
        # must not expire.
        await activity.forget_hours(source, before=last_at)
