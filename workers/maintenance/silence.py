"""
Sources that have gone silent at an hour at which they never are: a webhook that was switched off at
the vendor says nothing about it.

A source is silent if, in the hours since its last message, at least so many messages came in the
same hours of each week that is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from service.store.connection import Store

HOUR_S: Final = 3600
WEEK_H: Final = 7 * 24
# So many weeks are looked back on; fewer than two are no habit.
MOST_WEEKS: Final = 4
LEAST_WEEKS: Final = 2
LEAST_MESSAGES: Final = 5
# A longer silence is judged by its first week: the weeks before it are then the same for ever. Less
# would never notice one that begins on a Friday evening, since nothing comes on the day after that.
LONGEST_H: Final = WEEK_H
CHECK_EVERY_S: Final = 300.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Silence:
    """
    Since when (UTC) nothing came, and how much came in the same hours of the weeks before, the last
    week first.
    """

    since: datetime
    usual: tuple[int, ...]

    @property
    def reason(self) -> str:
        """What speaks for it, as one sentence."""
        counts = ", ".join(map(str, self.usual))
        return (
            f"in the same hours of the {len(self.usual)} weeks before there came {counts} messages"
        )


def detect_silence(hours: Mapping[int, int], last_at: datetime, now: datetime) -> Silence | None:
    """
    Whether a source that was last heard of at `last_at` is silent when it should not be; `hours`
    are its messages by hour since 1970.

    Only whole hours count, so that a silence is noticed after one hour at the earliest.
    """
    last_hour, this_hour = int(last_at.timestamp()) // HOUR_S, int(now.timestamp()) // HOUR_S
    quiet = range(last_hour + 1, min(this_hour, last_hour + 1 + LONGEST_H))
    weeks = min(MOST_WEEKS, (last_hour - min(hours, default=last_hour)) // WEEK_H)
    if not quiet or weeks < LEAST_WEEKS:
        return None
    usual = tuple(
        sum(hours.get(hour - WEEK_H * back, 0) for hour in quiet) for back in range(1, weeks + 1)
    )
    return Silence(last_at, usual) if min(usual) >= LEAST_MESSAGES else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceMonitor:
    """
    Reports each source of an account that has gone silent, and each that is back, once. Every
    worker may listen; one of them reports.
    """

    store: Store
    sources: tuple[str, ...]
    clock: Callable[[], datetime]

    async def turn(self) -> None:
        """Look at every source once. Raises redis-py's errors."""
        heard, now = self.store.heard, self.clock()
        last = await heard.last()
        for source in self.sources:
            last_at = last.get(("message", source))
            if last_at is None:
                continue
            found = detect_silence(await heard.hours(source), last_at, now)
            if found is not None and await heard.mark_silent(source, found.since):
                log.warning(
                    "source.silent",
                    source=source,
                    since=found.since.isoformat(),
                    reason=found.reason,
                )
            elif found is None and ("silent", source) in last and await heard.mark_heard(source):
                log.info("source.heard_again", source=source)
            # Counted from the last message: a silence must not outlive the hours by which it is
            # judged.
            await heard.forget_hours(source, before=last_at)
