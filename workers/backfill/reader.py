"""
Reads a vendor's call log span by span, and puts the entries of each call together.

A leg can begin after the span in which its call began: a call is complete once an hour behind its
beginning has been read. In memory are the calls of one span and an hour.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from workers.backfill.types import CallLog, LogEntry, LoggedCall, SliceTooLarge
from workers.subscriptions.errors import (
    NotReady,
    UpkeepError,
    VendorBusy,
    VendorRefuses,
    VendorUnavailable,
)

# Within this time after its beginning, a call's last leg has begun.
MARGIN: Final = timedelta(hours=1)
SHORTEST_SLICE: Final = timedelta(minutes=5)
# A list that leads in a circle would be read for ever.
MOST_PAGES: Final = 20_000


class LogFault(UpkeepError):
    """Raised when a page of the log could not be read: which one, and why, in one line."""


class CallBatch(Struct, frozen=True, kw_only=True):
    """Complete calls; all that began before `done_until` (UTC) are in this or an earlier batch."""

    calls: Sequence[LoggedCall]
    done_until: datetime


async def read_calls(
    log: CallLog,
    since: datetime,
    until: datetime,
    *,
    now: datetime,
    on_page: Callable[[int], None],
) -> AsyncIterator[CallBatch]:
    """
    The calls that began in [`since`, `until`), all times UTC, the oldest first; `on_page` is called
    with the number of entries of each page.

    Raises `LogFault`.
    """
    calls: dict[str, LoggedCall] = {}
    end = min(until + MARGIN, max(now, until))
    # Of a call that began just before, only its later legs would be seen else.
    start = since - MARGIN
    length = log.slice
    while start < end:
        stop = min(start + length, end)
        try:
            await _read_span(log, start, stop, calls, on_page)
        except SliceTooLarge:
            length = _half(length, start)
            continue
        done_until = stop
        if stop < end:
            done_until = stop - MARGIN
        done_until = min(max(done_until, since), until)
        yield CallBatch(calls=_take_done(calls, since, done_until), done_until=done_until)
        start = stop


async def _read_span(
    log: CallLog,
    start: datetime,
    stop: datetime,
    calls: dict[str, LoggedCall],
    on_page: Callable[[int], None],
) -> None:
    number = 0
    try:
        async for page in log.pages(start, stop):
            number += 1
            for entry in page:
                _add(calls, entry)
            on_page(len(page))
            if number >= MOST_PAGES:
                raise VendorUnavailable(f"the list does not end after {MOST_PAGES:,} pages")
    except UpkeepError as err:
        raise _fault(err, f"calls from {start:%Y-%m-%d %H:%M} UTC, page {number + 1}") from err


def _fault(err: UpkeepError, place: str) -> LogFault:
    # Wrong credentials are wrong on every page.
    if isinstance(err, NotReady | VendorRefuses):
        return LogFault(str(err))
    advice = ""
    if isinstance(err, VendorBusy | VendorUnavailable):
        advice = "; what was read until then is done"
    return LogFault(f"{place}: {err}{advice}")


def _add(calls: dict[str, LoggedCall], entry: LogEntry) -> None:
    call = calls.setdefault(entry.source_call_id, LoggedCall(entry.source_call_id))
    # Spans and pages may overlap.
    if call.entry(entry.entry_id) is None:
        call.entries.append(entry)


def _take_done(
    calls: dict[str, LoggedCall], since: datetime, done_until: datetime
) -> list[LoggedCall]:
    """Take out the calls that began before a time; those that began before `since` are dropped."""
    done = [
        call for call in calls.values() if call.started_at is None or call.started_at < done_until
    ]
    for call in done:
        del calls[call.source_call_id]
    begun = [call for call in done if call.started_at is not None and call.started_at >= since]
    return sorted(begun, key=lambda call: (call.started_at or since, call.source_call_id))


def _half(length: timedelta, start: datetime) -> timedelta:
    if length <= SHORTEST_SLICE:
        raise LogFault(
            f"calls from {start:%Y-%m-%d %H:%M} UTC: more than the vendor shows in "
            f"{SHORTEST_SLICE.total_seconds() / 60:.0f} minutes"
        )
    return length / 2
