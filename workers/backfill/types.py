"""
What a vendor's call log holds, in the terms of a back-fill.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx

from service.sources.common.fields import Fields
from service.sources.request import JSON
from workers.backfill.api import Pause

# A day with an hour before and behind it: most often all that is read.
DAY_SLICE: Final = timedelta(hours=26)
LATEST: Final = timedelta(minutes=5)


class SliceTooLarge(Exception):
    """Raised when a vendor does not show all calls of a span of time; a shorter one is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """
    One entry of a call log: a call, or one leg of it.

    `source_call_id` is the id under which webhooks report the call. Times are UTC, `ended_at` None
    where the log does not show it; `is_over` is False for what goes on. `is_internal`: both ends
    are our own.
    """

    entry_id: str
    source_call_id: str
    started_at: datetime | None
    ended_at: datetime | None = None
    is_over: bool = True
    is_internal: bool = False
    fields: Fields


@dataclass(slots=True)
class LoggedCall:
    """One call as the log shows it: all of its entries."""

    source_call_id: str
    entries: list[LogEntry] = field(default_factory=list)

    @property
    def started_at(self) -> datetime | None:
        """When the first entry began (UTC)."""
        times = [entry.started_at for entry in self.entries if entry.started_at is not None]
        return min(times, default=None)

    @property
    def ended_at(self) -> datetime | None:
        """When the last entry ended (UTC), as far as the log shows it."""
        times = [entry.ended_at for entry in self.entries if entry.ended_at is not None]
        return max(times, default=None)

    @property
    def is_over(self) -> bool:
        """Whether no entry goes on."""
        return all(entry.is_over for entry in self.entries)

    @property
    def is_internal(self) -> bool:
        """Whether it is a call among ourselves."""
        return all(entry.is_internal for entry in self.entries)

    def entry(self, entry_id: str) -> LogEntry | None:
        """The entry with an id."""
        return next((entry for entry in self.entries if entry.entry_id == entry_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMessage:
    """A message that the source's `parse` reads, made from one entry of the log or from several."""

    record_id: str
    body: bytes
    content_type: str = JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """The log does not show how a call ended; `reason` is for the operator."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    """A call that is to be read by itself, its legs, and when it began (UTC), as far as known."""

    source_call_id: str
    leg_ids: Sequence[str] = ()
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """
    What opens a vendor's API: `credentials` by the setting's name without the slug, the `secrets`
    of the source. Where it `is_patient`, a request is repeated after a 429 and after no answer;
    `transport` and `pause` are for tests.
    """

    credentials: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    is_patient: bool = True
    transport: httpx.AsyncBaseTransport | None = None
    pause: Pause = asyncio.sleep


class CallLog(Protocol):
    """One vendor's call log. Every method raises `UpkeepError`."""

    @property
    def slice(self) -> timedelta:
        """How much time is read at once, an hour or more."""

    def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """
        The entries that began in a span of time (UTC), page by page; more than those do no harm.
        Raises `SliceTooLarge` too.
        """

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """One call; None where the log does not hold it."""

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The messages of a call that is over; what is missing is read first."""

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with; `now` is the present (UTC)."""

    async def close(self) -> None:
        """Close the connections."""


async def read_latest(log: CallLog, now: datetime) -> None:
    """Read one page of the last minutes. Raises `UpkeepError`."""
    async for _ in log.pages(now - LATEST, now):
        return
