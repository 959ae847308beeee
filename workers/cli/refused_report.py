"""
Refused requests in words.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from service.counts import counted
from service.sources import SOURCES
from service.store.connection import Store
from service.store.refused import MOST, RefusedRequests, summed

# What is older has another cause by now.
RECENT: Final = timedelta(days=1)
MOST_KINDS: Final = 3


async def refused_sentence(store: Store, source: str) -> list[str]:
    """
    What was refused of a source within a day, or of all sources if it is none: a sentence for each
    kind, at most three.
    """
    chosen = source if source in SOURCES else None
    # The clock of Redis as it is: what only reads for an operator notes nothing.
    since = await store.server_time() - RECENT
    entries = await store.refused.recent(source=chosen, since=since)
    return [sentence_of(entry) for entry in summed(entries)[:MOST_KINDS]]


async def refused_counts(store: Store) -> Counter[str]:
    """How many requests were refused within a day, by source."""
    counts: Counter[str] = Counter()
    entries = await store.refused.recent(since=await store.server_time() - RECENT, limit=MOST)
    for entry in entries:
        counts[entry.source] += entry.count
    return counts


def sentence_of(entry: RefusedRequests) -> str:
    """One kind in a sentence: how many, whose, why, since when."""
    path = entry.path
    requests = counted(entry.count, f"request to {path} was", f"requests to {path} were")
    since = f"since {entry.first_at:%Y-%m-%d %H:%M:%S} UTC"
    sentence = f"{requests} refused {since} ({entry.status_code or 'no answer'}): {entry.reason}"
    if entry.hint:
        return f"{sentence}; {entry.hint}"
    return sentence


def rows_of(entries: Sequence[RefusedRequests]) -> list[tuple[str, ...]]:
    """Kinds as rows of a table."""
    return [
        (
            f"{entry.last_at:%Y-%m-%d %H:%M:%S}",
            str(entry.count),
            entry.source,
            entry.path,
            str(entry.status_code or ""),
            entry.network,
            "; ".join(part for part in (entry.reason, entry.hint) if part),
        )
        for entry in entries
    ]
