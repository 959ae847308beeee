"""
The status of what comes in: the sources of an account, its spool on this machine, and the causes of
what has failed.

For operators, like `workers.delivery.status`; nothing is decided by it.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from service.settings import Settings
from service.sources import SOURCES
from service.spool.messages import Depth
from service.spool.status import read_spool
from service.store.connection import Store

HOUR_S: Final = 3600


class SourceStatus(Struct, frozen=True, kw_only=True):
    """
    One telephony system that is on; times are UTC. `subscription` is the state of its upkeep, None
    where it has none; `hours` are its messages by hour since 1970.
    """

    slug: str
    title: str
    last_at: datetime | None
    handshake_at: datetime | None
    silent_since: datetime | None
    subscription: str | None
    hours: Mapping[int, int] = field(default_factory=dict)

    @property
    def has_news(self) -> bool:
        """Whether anything is known of it."""
        moments = (self.last_at, self.handshake_at, self.silent_since, self.subscription)
        return any(moment is not None for moment in moments)

    @property
    def state(self) -> str:
        """Whether it sends: silent, nothing yet, or ready."""
        if self.silent_since is not None:
            return "silent"
        if self.last_at is None:
            return "nothing yet"
        return "ready"

    def messages(self, *, hours: int, now: datetime) -> int:
        """How many messages came in the last hours, the present one among them."""
        first = int(now.timestamp()) // HOUR_S - hours + 1
        return sum(count for hour, count in self.hours.items() if hour >= first)


class SpoolDepth(Struct, frozen=True):
    """What waits on this machine's disk for Redis."""

    messages: int = 0
    set_aside: int = 0
    oldest_age_s: float | None = None


async def read_sources(settings: Settings, store: Store) -> Sequence[SourceStatus]:
    """The sources that are on, in the order of their slugs. Raises redis-py's errors."""
    slugs = sorted(slug for slug in SOURCES if settings.secrets_of(slug))
    last = await store.source_activity.last()
    upkeep = await store.upkeep.all()
    counts = await asyncio.gather(*(store.source_activity.hours(slug) for slug in slugs))
    rows = []
    for slug, hours in zip(slugs, counts, strict=True):
        subscription = None
        if slug in upkeep:
            subscription = upkeep[slug].state
        rows.append(
            SourceStatus(
                slug=slug,
                title=SOURCES[slug].title,
                last_at=last.get(("message", slug)),
                handshake_at=last.get(("handshake", slug)),
                silent_since=last.get(("silent", slug)),
                subscription=subscription,
                hours=hours,
            )
        )
    return rows


async def count_causes(store: Store, *, most: int) -> Mapping[str, int]:
    """How often each cause is among the oldest `most` failed entries, the most frequent first."""
    facts = await store.failed.facts(most=most)
    return dict(Counter(entry.cause for entry in facts).most_common())


def read_spool_depth(settings: Settings, now: datetime) -> SpoolDepth:
    """What waits in the folder that the settings name; nothing if it is off or cannot be read."""
    if settings.spool_folder is None:
        return SpoolDepth()
    try:
        depths = read_spool(settings.spool_folder).depths
    # Of another machine or user: nothing is known of it here.
    except (OSError, sqlite3.Error):
        return SpoolDepth()
    depth = depths.get(settings.account, Depth())
    return SpoolDepth(depth.messages, depth.set_aside, depth.age_s(now))
