"""
Reads single contacts again, after Buildr's webhooks have named them.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from msgspec import Struct

from service.errors import BuildrError, BuildrRejected, BuildrUnavailable
from service.logs.events import LogEvent
from service.store.contact_queue import ContactQueue, QueuedContact
from service.store.phone_book import Origin, PhoneBook, PhoneBookEntry
from workers.contacts.fields import ContactFields, entries_of
from workers.contacts.reading import LOCK_TTL_S, ContactReader, SyncRunning

EVERY_S: Final = 60.0
# In one turn, so that its requests are not all lost if the worker ends.
MAX_CONTACTS: Final = 50
# Of different contacts, which shows an outage.
FAILURES_IN_A_ROW: Final = 3
FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=1)
# About a week. The next webhook about the contact, and the next sync, read it all the same.
MAX_FAILURES: Final = 170

log = structlog.get_logger(__name__)


class ContactRefresher(Struct, frozen=True, kw_only=True):
    """Reads the contacts that are queued, if no other process is reading contacts."""

    reader: ContactReader
    fields: ContactFields

    @property
    def phone_book(self) -> PhoneBook:
        """The phone book that is refreshed."""
        return self.reader.store.phone_book

    @property
    def queue(self) -> ContactQueue:
        """The contacts that are to be read again."""
        return self.reader.store.contact_queue

    async def refresh_due(self) -> None:
        """
        Read at most 50 of the queued contacts, of which none may be in the way of the others: one
        that Buildr refuses is taken off, and one that it fails to show is read again later each
        time. At an outage the rest stays queued as it is.
        """
        queued = await self.queue.due(self.reader.clock(), limit=MAX_CONTACTS)
        if not queued or not await self.phone_book.lock(ttl_s=LOCK_TTL_S):
            return
        try:
            await self._refresh(queued)
        finally:
            await self.phone_book.unlock()

    async def _refresh(self, queued: Sequence[QueuedContact]) -> None:
        batch = await self.phone_book.begin()
        read_contacts: list[QueuedContact] = []
        failures = 0
        try:
            for contact in queued:
                try:
                    entries = await self._read(contact.contact_id)
                except BuildrRejected as err:
                    _log_failure(err)
                    await self.queue.remove(contact)
                    continue
                except BuildrUnavailable as err:
                    await self._postpone(contact, err)
                    failures += 1
                    if failures >= FAILURES_IN_A_ROW:
                        break
                    continue
                failures = 0
                await self.phone_book.put(entries, batch=batch)
                read_contacts.append(contact)
        except BuildrError as err:
            _log_failure(err)
        except SyncRunning:
            return
        if not read_contacts:
            return
        contact_ids = [contact.contact_id for contact in read_contacts]
        removed = await self.phone_book.sweep(batch, origin=Origin.SYNC, contact_ids=contact_ids)
        for contact in read_contacts:
            await self.queue.remove(contact)
        log.info(LogEvent.PHONE_BOOK_REFRESHED, contacts=len(read_contacts), removed=removed)

    async def _postpone(self, contact: QueuedContact, err: BuildrUnavailable) -> None:
        _log_failure(err)
        if contact.failures >= MAX_FAILURES:
            await self.queue.remove(contact)
            return
        await self.queue.postpone(contact, self.reader.clock() + pause_after(contact.failures))

    async def _read(self, contact_id: str) -> tuple[PhoneBookEntry, ...]:
        """The entries of a contact as Buildr has it; none of one that is gone."""
        try:
            contact = await self.reader.read_once(partial(self.reader.client.contact, contact_id))
        except BuildrRejected as err:
            if err.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise
            return ()
        entries = entries_of(contact, self.fields).entries
        return tuple(entry for entry in entries if entry.contact_id == contact_id)


def pause_after(failures: int) -> timedelta:
    """How long a contact waits that has failed once more after so many failures."""
    # An unbounded power would not fit a timedelta.
    doublings = min(failures, (LONGEST_PAUSE // FIRST_PAUSE).bit_length())
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << doublings))


def _log_failure(err: BuildrError) -> None:
    log.warning(LogEvent.PHONE_BOOK_NOT_REFRESHED, reason=err.cause, status_code=err.status_code)
