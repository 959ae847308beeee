"""
The phone book from Buildr's list of contacts: page by page, behind all calls, and resumable.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from service.errors import BuildrError
from service.store.connection import Store
from service.store.phone_book import Origin, PhoneBookEntry, SyncCursor
from service.store.rate_limit.grants import Grant, GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient
from workers.contacts.fields import ContactFields, entries_of
from workers.delivery.feedback import health_signal_of, release_permits

POLL_S: Final = 0.5
# How long a killed synchronisation keeps another one from starting.
LOCK_TTL_S: Final = 20.0
LOCK_WAIT_S: Final = 25.0
# Pages shift while contacts are added and removed: an old cursor would leave too many out.
CURSOR_LIFE: Final = timedelta(hours=24)
MAX_FAILURES: Final = 5
# It ends a series of pages that leads in a circle.
MAX_PAGES: Final = 50_000

Contact = Mapping[str, object]


class SyncRunning(Exception):
    """Raised when another process is synchronising the same phone book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSync:
    """
    Reads all contacts into the phone book, and removes what they do not list any more.

    `hold_s` is the longest that one request may take, in seconds. Whoever uses it gives the right
    to synchronise back in the end, by `store.phone_book.unlock`.
    """

    store: Store
    client: BuildrClient
    fields: ContactFields
    hold_s: float
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    permit_name: str = field(default_factory=lambda: f"#contacts:{secrets.token_hex(4)}")

    async def begin(self, *, restarts: bool = False) -> SyncCursor:
        """
        Take the right to synchronise; the cursor of the last run if it has not ended, unless
        `restarts`, else a new one.

        Raises `SyncRunning`.
        """
        for _ in range(int(LOCK_WAIT_S / POLL_S)):
            if await self.store.phone_book.lock(ttl_s=LOCK_TTL_S):
                break
            await self.sleep(POLL_S)
        else:
            raise SyncRunning
        cursor = (await self.store.phone_book.state()).cursor
        now = self.clock()
        if cursor is not None and not restarts and now - cursor.started_at < CURSOR_LIFE:
            return cursor
        cursor = SyncCursor(batch=await self.store.phone_book.begin(), started_at=now)
        await self.store.phone_book.save_cursor(cursor)
        return cursor

    async def read_pages(self, cursor: SyncCursor) -> AsyncIterator[SyncCursor]:
        """
        Read the pages from a cursor on; yields the cursor after each page, which is stored.

        Raises `BuildrError` once it is not likely to pass, `SyncRunning` if another process has
        begun meanwhile.
        """
        for _ in range(MAX_PAGES):
            if cursor.is_read:
                return
            contacts, url = await self.read_page(cursor.url)
            entries, unreadable = self.read_contacts(contacts)
            await self.store.phone_book.put(entries, batch=cursor.batch)
            cursor = replace(
                cursor,
                url=url,
                is_read=url is None,
                contacts=cursor.contacts + len(contacts),
                entries=cursor.entries + len(entries),
                unreadable=cursor.unreadable + unreadable,
            )
            await self.store.phone_book.save_cursor(cursor)
            yield cursor

    async def finish(self, cursor: SyncCursor) -> int:
        """
        Remove the entries that the whole list does not have any more, and return how many.

        A list without any number removes nothing: the names of its fields may be wrong.
        """
        book = self.store.phone_book
        removed = 0
        if cursor.entries:
            removed = await book.sweep(cursor.batch, origin=Origin.SYNC)
        await book.finish(Origin.SYNC, self.clock())
        return removed

    async def read_page(self, url: str | None) -> tuple[Sequence[Contact], str | None]:
        """
        One page of contacts and the URL of the next, within the budget and after all calls.

        Raises as `read_pages`.
        """
        failures = 0
        while True:
            grant = await self._permit()
            if not await self.store.permits.start(grant, request_timeout_s=self.client.timeout_s):
                await self.store.permits.release(grant, sent=0)
                continue
            try:
                page = await self.client.contacts_page(url)
            except BuildrError as err:
                signal = health_signal_of(err)
                await release_permits(self.store.permits, grant, sent=1, signal=signal, err=err)
                if signal is not HealthSignal.LIMITED:
                    failures += 1
                if not err.retryable or failures >= MAX_FAILURES:
                    raise
                continue
            await release_permits(self.store.permits, grant, sent=1, signal=HealthSignal.FINE)
            return page

    def read_contacts(self, contacts: Sequence[Contact]) -> tuple[list[PhoneBookEntry], int]:
        """The entries of contacts, and how many numbers could not be read."""
        entries: list[PhoneBookEntry] = []
        unreadable = 0
        for contact in contacts:
            contact_entries = entries_of(contact, self.fields)
            entries += contact_entries.entries
            unreadable += contact_entries.unreadable
        return entries, unreadable

    async def _permit(self) -> Grant:
        """A permit in the last lane; the right to synchronise is kept while it waits."""
        permits = self.store.permits
        since = self.clock()
        try:
            while True:
                if not await self.store.phone_book.lock(ttl_s=LOCK_TTL_S):
                    raise SyncRunning
                grant = await permits.ask(
                    self.permit_name, lane=Lane.BACKFILL, since=since, cost=1, hold_s=self.hold_s
                )
                if grant.verdict is GrantStatus.GRANTED:
                    return grant
                await permits.pump()
                await self.sleep(min(POLL_S, grant.wait_s))
        finally:
            await permits.leave(self.permit_name)
