"""
The lists of what waits for an operator: failed, unmatched and stalled; and what is done with
failed entries that nobody wants.
"""

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.errors import FailureCause
from service.logs.phone_masking import mask_number
from service.sources import SOURCES
from service.store.call_listing import ListedCall
from service.store.failed import FailedFacts
from workers.console.pages import redirect
from workers.console.parts import Visit
from workers.console.replays import MAX_AT_ONCE, selected
from workers.matching.reasons import KINDS, kind_of

PAGE: Final = 100
# Entries that are read for a page, fitting or not.
MAX_READ: Final = 2000
# Failed entries by which causes are counted and groups are made: as many as the overview reads.
MAX_FAILED: Final = 1000
MAX_REASON: Final = 200
MAX_START_DIGITS: Final = 9
LEAST_IN_GROUP: Final = 2
MAX_GROUPS: Final = 5
# What to do about a cause, in a few words; buildr-calls explain says more.
ADVICE: Final[Mapping[str, str]] = {
    FailureCause.MALFORMED_PAYLOAD: "The message cannot be read. A later version may read it.",
    FailureCause.UNSUPPORTED_EVENT: "A kind of message that is not used. Discard it.",
    FailureCause.INTERNAL_ERROR: "A fault of this program: see its log, then replay.",
    FailureCause.DAMAGED_RECORD: "What is stored of it cannot be read. Replay reads it again.",
    FailureCause.UNKNOWN_OUTCOME: (
        "Buildr has no outcome of this name. Rename it in [outcomes] of buildr-calls.toml, or add "
        "it in Buildr; then restart the workers and replay."
    ),
    FailureCause.BUILDR_REJECTED: "Buildr refuses the write: see its answer, then replay.",
    FailureCause.BUILDR_UNAVAILABLE: "Buildr was away for too long. Replay.",
    FailureCause.BUILDR_RATE_LIMITED: "Buildr's limit was used up for too long. Replay.",
    FailureCause.BUILDR_UNAUTHORIZED: "Buildr refuses the credentials. Correct them, then replay.",
    FailureCause.NOT_TAKEN: "Buildr answers 200 and keeps another value. Look at the call there.",
}


class Pager(Struct, frozen=True):
    """The addresses of a list's first page and of the next one; empty where this is it."""

    first_url: str
    next_url: str


class Group(Struct, frozen=True):
    """Entries that failed for one and the same reason."""

    cause: str
    detail: str
    entry_ids: tuple[str, ...]


async def failed(visit: Visit) -> Response:
    """`GET failed`: the oldest first, filtered by cause and source."""
    cause = visit.query("cause")
    source = visit.query("source")
    start = _start_of(visit)
    facts = await visit.store.failed.facts(most=MAX_FAILED)
    causes = Counter(entry.cause for entry in facts)
    matching = [
        entry for entry in facts if cause in ("", entry.cause) and source in ("", entry.source)
    ]
    shown = [entry.entry_id for entry in matching[start : start + PAGE]]
    total = await visit.store.failed.count()
    next_start = None
    if len(matching) > start + PAGE:
        next_start = start + PAGE
    done = visit.query("done")
    if not done.isdecimal():
        done = ""
    return visit.page(
        "failed",
        "Failed",
        entries=await visit.store.failed.get_many(shown),
        groups=_groups(matching),
        causes=causes.most_common(),
        cause=cause,
        source=source,
        sources=sorted(SOURCES),
        matching=len(matching),
        total=total,
        is_cut=total > MAX_FAILED,
        looked_at=len(facts),
        advice=ADVICE,
        done=done,
        max_at_once=MAX_AT_ONCE,
        pager=_pager(visit, "failed", start, next_start, cause=cause, source=source),
    )


async def discard(visit: Visit) -> Response:
    """`POST failed/discard`: take the selected entries off the list for good, with a reason."""
    visit.check_operator()
    reason = visit.field("reason")[:MAX_REASON]
    entry_ids = selected(visit, "id")
    if not reason:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Give the reason why.")
    count = 0
    for entry_id in entry_ids:
        entry = await visit.store.failed.get(entry_id)
        if entry is not None and await visit.store.failed.discard(entry):
            await visit.audit("discard", target=entry_id, detail=reason)
            count += 1
    return redirect(visit.url("failed", done=str(count)))


async def unmatched(visit: Visit) -> Response:
    """`GET unmatched`: calls that have ended and wait for a link, the oldest first."""
    return await _list_calls(visit, "unmatched", total=await visit.store.schedule.unmatched_count())


async def stalled(visit: Visit) -> Response:
    """`GET stalled`: calls whose end was never reported, the oldest first."""
    return await _list_calls(visit, "stalled", total=await visit.store.schedule.stalled_count())


async def actions(visit: Visit) -> Response:
    """`GET actions`: what was done in the console, the newest first."""
    start = _start_of(visit)
    recent = await visit.store.console.recent(PAGE + 1, start=start)
    next_start = None
    if len(recent) > PAGE:
        next_start = start + PAGE
    return visit.page(
        "actions",
        "Actions",
        actions=recent[:PAGE],
        pager=_pager(visit, "actions", start, next_start),
    )


async def _list_calls(visit: Visit, name: str, *, total: int) -> Response:
    source = visit.query("source")
    why = visit.query("why")
    start = _start_of(visit)
    rows: list[ListedCall] = []
    position = start
    # With a filter as many are read as it takes to fill a page, within bounds.
    while len(rows) < PAGE and position < min(total, start + MAX_READ):
        calls = await visit.store.listing.indexed(name, limit=PAGE, start=position)
        rows += [
            row for row in calls if source in ("", row.source) and why in ("", kind_of(row.reason))
        ]
        position += PAGE
    next_start = None
    if position < total:
        next_start = position
    return visit.page(
        name,
        name.capitalize(),
        template="waiting.html",
        rows=rows,
        number=mask_number,
        total=total,
        source=source,
        sources=sorted(SOURCES),
        why=why,
        kinds=tuple(KINDS),
        pager=_pager(visit, name, start, next_start, source=source, why=why),
    )


def _start_of(visit: Visit) -> int:
    """How many entries are above the page that is asked for."""
    text = visit.query("from")
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_START_DIGITS):
        return 0
    return int(text)


def _pager(visit: Visit, name: str, start: int, next_start: int | None, **parameters: str) -> Pager:
    first_url = ""
    if start:
        first_url = visit.url(name, **parameters)
    next_url = ""
    if next_start is not None:
        next_url = visit.url(name, **parameters, **{"from": str(next_start)})
    return Pager(first_url, next_url)


def _groups(entries: list[FailedFacts]) -> list[Group]:
    """The reasons that several of the entries share, the most frequent first."""
    ids: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        ids.setdefault((entry.cause, entry.detail), []).append(entry.entry_id)
    groups = [
        Group(cause, detail, tuple(entry_ids))
        for (cause, detail), entry_ids in ids.items()
        if len(entry_ids) >= LEAST_IN_GROUP
    ]
    return sorted(groups, key=_size, reverse=True)[:MAX_GROUPS]


def _size(group: Group) -> int:
    return len(group.entry_ids)
