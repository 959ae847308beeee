"""
Putting failed calls and messages through again by hand.

A replay reads the raw messages anew, so that a mended table, rule or link takes effect. It passes the dedupe, which guards only the way
in, and starts the call's job under the same name as always: nothing can swallow it the second time.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from service.clock import utc_now
from service.errors import IgnoredEvent, MalformedPayload
from service.sources import SOURCES
from service.store.calls import Mark
from service.store.connection import Store
from service.store.failed import Failed, FailedFilter
from service.store.keys import ref_of
from service.store.lanes import Lane


class Verdict(StrEnum):
    """What a replay does, or would do, with one failed entry."""

    REPLAYED = "replayed"
    FROM_EVENTS = "replayed from its events"
    TAKEN = "taken by somebody else"
    UNREADABLE = "still names no call"
    GONE = "nothing is kept of it any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One entry and what became of it."""

    entry: Failed
    verdict: Verdict
    ref: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether the entry went through again."""
        return self.verdict in (Verdict.REPLAYED, Verdict.FROM_EVENTS)


async def select(store: Store, wanted: FailedFilter, *, entry_ids: tuple[str, ...] = (), limit: int | None = None) -> list[Failed]:
    """The failed entries that are meant: those named, else those that the filter holds for, oldest first."""
    if entry_ids:
        named = [await store.failed.get(each) for each in entry_ids]
        return [entry for entry in named if entry is not None]
    found: list[Failed] = []
    async for entry in store.failed.select(wanted):
        found.append(entry)
        if limit is not None and len(found) >= limit:
            break
    return found


async def replay(store: Store, entries: list[Failed], *, is_dry_run: bool = False) -> AsyncIterator[Replayed]:
    """Put entries through again, one after the other; with `is_dry_run` only say what would happen."""
    for entry in entries:
        yield await _replay_one(store, entry, is_dry_run=is_dry_run)


async def _replay_one(store: Store, entry: Failed, *, is_dry_run: bool) -> Replayed:
    kept = await store.messages.get_many(list(entry.message_ids))
    ref = entry.entry_id if entry.kind == "call" else await _call_of(store, entry)
    if ref is None:
        return Replayed(entry=entry, verdict=Verdict.UNREADABLE if kept else Verdict.GONE)
    if not kept and (entry.kind == "message" or await store.calls.get(ref) is None):
        return Replayed(entry=entry, verdict=Verdict.GONE, ref=ref)
    verdict = Verdict.REPLAYED if kept else Verdict.FROM_EVENTS
    mark = Mark(lane=Lane.REPLAY, at=utc_now())
    if not is_dry_run and await store.failed.replay(entry, ref=ref, message_ids=list(kept), mark=mark) is None:
        return Replayed(entry=entry, verdict=Verdict.TAKEN, ref=ref)
    return Replayed(entry=entry, verdict=verdict, ref=ref)


async def _call_of(store: Store, entry: Failed) -> str | None:
    """The call of a failed message, asked anew of its source: an older version may not have been able to say."""
    message = await store.messages.get(entry.entry_id)
    source = SOURCES.get(entry.source)
    if message is None or source is None:
        return None
    try:
        return ref_of(entry.source, source.keys(message.incoming).source_call_id)
    except (MalformedPayload, IgnoredEvent):
        return None
