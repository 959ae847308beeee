"""
A call log is read span by span, whatever its lists do.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from workers.backfill import reader
from workers.backfill.reader import LogFault, read_calls
from workers.backfill.types import DAY_SLICE, KnownCall, LogEntry, LoggedCall, LogMessage, Untold

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)


class Circle:
    """A log whose list has a next page for ever."""

    slice = DAY_SLICE

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The same page again and again."""
        del until
        while True:
            yield [LogEntry(entry_id="1", source_call_id="1", started_at=since, fields={})]

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """Not needed here."""
        del call_ids
        return None

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """Not needed here."""
        del call
        return []

    async def check_rights(self, now: datetime) -> None:
        """Not needed here."""

    async def close(self) -> None:
        """Not needed here."""


async def test_a_list_that_leads_in_a_circle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After many pages, with a fault that says where."""
    monkeypatch.setattr(reader, "MOST_PAGES", 9)
    pages: list[int] = []
    with pytest.raises(LogFault, match="does not end after 9 pages"):
        async for _ in read_calls(
            Circle(), NOW - timedelta(hours=1), NOW, now=NOW, on_page=pages.append
        ):
            pass
    assert 9 == len(pages)
