"""
The overview: whether all is well, and what is not.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from service.clock import utc_now
from service.counts import counted
from service.sources import SOURCES
from service.store.refused import MOST, RefusedRequests
from workers.console.charts import add_up, by_hour, by_six_hours
from workers.console.formats import count, span
from workers.console.parts import Visit
from workers.delivery.intake_status import (
    SourceStatus,
    SpoolDepth,
    count_causes,
    read_sources,
    read_spool_depth,
)
from workers.delivery.status import AccountStatus, read_account_status

# An outage fills the list; its causes show in the first ones.
MAX_FAILED: Final = 1000
# Longer than a worker needs to read a message, and a lane to move.
OLD_MESSAGE_S: Final = 60
OLD_CALL_S: Final = 600
DAY_H: Final = 24
WEEK_D: Final = 7
HOUR: Final = timedelta(hours=1)


class Concern(Struct, frozen=True):
    """
    Something that is not as it should be: `tone` is bad or warn, `advice` what to do, `page` where
    more is.
    """

    tone: str
    text: str
    advice: str
    page: str = ""


async def show(visit: Visit) -> Response:
    """`GET overview`."""
    store = visit.store
    now = utc_now()
    status, sources, causes, spool, refused = await asyncio.gather(
        read_account_status(visit.settings, store),
        read_sources(visit.settings, store),
        count_causes(store, most=MAX_FAILED),
        asyncio.to_thread(read_spool_depth, visit.settings, now),
        store.refused.recent(since=now - HOUR, limit=MOST),
    )
    hours = add_up(row.hours for row in sources)
    return visit.page(
        "overview",
        "Overview",
        status=status,
        concerns=[*_concerns(status, sources, spool), *_concerns_of_refused(refused)],
        # Those that never sent anything say little, and there may be many.
        sources=[row for row in sources if row.has_news],
        quiet=[row.title for row in sources if not row.has_news],
        causes=causes,
        spool=spool,
        charts=(
            by_hour(hours, hours=DAY_H, now=now, title="Messages, 24 hours"),
            by_six_hours(hours, days=WEEK_D, now=now, title="Messages, 7 days"),
        ),
    )


def _concerns(
    status: AccountStatus, sources: Sequence[SourceStatus], spool: SpoolDepth
) -> Iterator[Concern]:
    """What an operator should know, the most urgent first."""
    yield from _concerns_of_delivery(status)
    yield from _concerns_of_intake(status, sources, spool)
    yield from _concerns_of_calls(status)


def _concerns_of_delivery(status: AccountStatus) -> Iterator[Concern]:
    if not status.workers_alive:
        yield Concern(
            "bad",
            "No worker is running",
            "Start one: buildr-calls work. Nothing is lost meanwhile.",
        )
    if status.outage is not None:
        cause = status.outage.cause.replace("_", " ")
        yield Concern(
            "bad",
            f"Buildr is away ({cause})",
            "Calls wait and are sent once it is back. Check with: buildr-calls check",
        )
    if status.blocked_s > 0:
        yield Concern(
            "warn",
            f"Buildr asked everybody to wait (429), {span(status.blocked_s)} more",
            "Somebody else uses the Buildr account too. Nothing is to be done.",
        )
    oldest_s = max((lane.oldest_age_s or 0 for lane in status.lanes), default=0)
    if oldest_s > OLD_CALL_S:
        yield Concern(
            "warn",
            f"A call has waited for Buildr for {span(oldest_s)}",
            "The budget is used up, or Buildr is slow. See the lanes below.",
        )
    if status.redis_clock_set_back_s:
        seconds = span(status.redis_clock_set_back_s)
        yield Concern("warn", f"The clock of Redis was set back by {seconds}", "Check its NTP.")


def _concerns_of_intake(
    status: AccountStatus, sources: Sequence[SourceStatus], spool: SpoolDepth
) -> Iterator[Concern]:
    if (status.oldest_message_age_s or 0) > OLD_MESSAGE_S:
        yield Concern(
            "bad",
            f"A message has waited for a worker for {span(status.oldest_message_age_s)}",
            "Look into the log of the workers.",
        )
    if spool.messages:
        yield Concern(
            "bad",
            f"{counted(spool.messages, 'message waits', 'messages wait')} on disk for Redis",
            "They move to Redis by themselves once it takes writes: buildr-calls check",
        )
    if spool.set_aside:
        yield Concern(
            "bad",
            f"{counted(spool.set_aside, 'spooled message was', 'spooled messages were')} set aside",
            "Look for spool.row_set_aside in the receiver's log.",
        )
    for row in sources:
        if row.silent_since is not None:
            yield Concern(
                "warn",
                f"{row.title} has been silent for "
                f"{span((utc_now() - row.silent_since).total_seconds())}",
                "Check the webhook at the vendor: buildr-calls subscriptions list",
            )


def _concerns_of_calls(status: AccountStatus) -> Iterator[Concern]:
    if status.failed:
        yield Concern(
            "bad", f"{count(status.failed)} failed", "See the causes, then replay.", "failed"
        )
    if status.unmatched:
        yield Concern(
            "warn",
            f"{count(status.unmatched)} unmatched",
            "They have ended, and no Buildr call is known for them.",
            "unmatched",
        )
    if status.stalled:
        yield Concern(
            "warn", f"{count(status.stalled)} stalled", "Their end was never reported.", "stalled"
        )


def _concerns_of_refused(entries: Sequence[RefusedRequests]) -> Iterator[Concern]:
    """Sources whose requests were refused in the last hour; strangers at wrong paths are usual."""
    numbers: Counter[str] = Counter()
    hints: dict[str, str] = {}
    for entry in entries:
        if entry.source in SOURCES:
            numbers[entry.source] += entry.count
            hints.setdefault(entry.source, entry.hint or entry.reason)
    for slug, number in numbers.most_common():
        requests = counted(number, "request", "requests")
        text = f"{requests} to {SOURCES[slug].title} refused in the last hour"
        hint = hints[slug]
        yield Concern("warn", text, hint[:1].upper() + hint[1:], "refused")
