"""
The phone book from Buildr's list of contacts: page by page, and resumable.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.store.phone_book import Origin, PhoneBook, PhoneBookEntry, SyncCursor
from workers.contacts.fields import ContactFields, entries_of
from workers.contacts.reading import LOCK_TTL_S, POLL_S, ContactReader, SyncRunning

LOCK_WAIT_S: Final = LOCK_TTL_S + 5
# Pages shift while contacts are added and removed: an old cursor would leave too many out.
CURSOR_LIFE: Final = timedelta(hours=24)
# It ends a series of pages that leads in a circle.
MAX_PAGES: Final = 50_000

Contact = Mapping[str, object]


class ContactSync(Struct, frozen=True, kw_only=True):
    """Reads all contacts into the phone book, and removes what they do not list any more."""

    reader: ContactReader
    fields: ContactFields

    @property
    def phone_book(self) -> PhoneBook:
        """The phone book that is synchronised."""
        return self.reader.store.phone_book

    async def begin(self, *, restarts: bool = False) -> SyncCursor:
        """
        Take the right to synchronise; the cursor of the last run if it has not ended, unless
        `restarts`, else a new one.

        Raises `SyncRunning`.
        """
        for _ in range(int(LOCK_WAIT_S / POLL_S)):
            if await self.phone_book.lock(ttl_s=LOCK_TTL_S):
                break
            await self.reader.sleep(POLL_S)
        else:
            raise SyncRunning
        cursor = (await self.phone_book.state()).cursor
        now = self.reader.clock()
        if cursor is not None and not restarts and now - cursor.started_at < CURSOR_LIFE:
            return cursor
        cursor = SyncCursor(batch=await self.phone_book.begin(), started_at=now)
        await self.phone_book.save_cursor(cursor)
        return cursor

    async def read_pages(self, cursor: SyncCursor) -> AsyncIterator[SyncCursor]:
        """
        Read the pages from a cursor on; yields the cursor after each page, which is stored.

        Raises as `ContactReader.read`.
        """
        for _ in range(MAX_PAGES):
            if cursor.is_read:
                return
            contacts, url = await self.read_page(cursor.url)
            entries, unreadable = self.read_contacts(contacts)
            await self.phone_book.put(entries, batch=cursor.batch)
            cursor = replace(
                cursor,
                url=url,
                is_read=url is None,
                contacts=cursor.contacts + len(contacts),
                entries=cursor.entries + len(entries),
                unreadable=cursor.unreadable + unreadable,
            )
            await self.phone_book.save_cursor(cursor)
            yield cursor

    async def finish(self, cursor: SyncCursor) -> int:
        """
        Remove the entries that the whole list does not have any more, and return how many.

        A list without any number removes nothing: the names of its fields may be wrong.
        """
        removed = 0
        if cursor.entries:
            removed = await self.phone_book.sweep(cursor.batch, origin=Origin.SYNC)
        await self.phone_book.finish(Origin.SYNC, self.reader.clock())
        return removed

    async def read_page(self, url: str | None) -> tuple[Sequence[Contact], str | None]:
        """One page of contacts and the URL of the next; raises as `ContactReader.read`."""
        return await self.reader.read(partial(self.reader.client.contacts_page, url))

    def read_contacts(self, contacts: Sequence[Contact]) -> tuple[list[PhoneBookEntry], int]:
        """The entries of contacts, and how many numbers could not be read."""
        entries: list[PhoneBookEntry] = []
        unreadable = 0
        for contact in contacts:
            contact_entries = entries_of(contact, self.fields)
            entries += contact_entries.entries
            unreadable += contact_entries.unreadable
        return entries, unreadable
