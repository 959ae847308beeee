"""
Reads single contacts again, after Buildr's webhooks have named them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog

from service.errors import BuildrError, BuildrRejected
from service.logs.events import LogEvent
from service.store.contact_queue import ContactQueue
from service.store.phone_book import Origin, PhoneBook, PhoneBookEntry
from workers.contacts.fields import ContactFields, entries_of
from workers.contacts.reading import LOCK_TTL_S, ContactReader, SyncRunning

EVERY_S: Final = 60.0
# In one turn, so that its requests are not all lost if the worker ends.
MAX_CONTACTS: Final = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRefresher:
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
        Read at most 50 of the queued contacts. At an outage the rest stays queued; a contact whose
        request Buildr refuses is taken off, because it would be in the way of all others for ever.
        """
        queued = await self.queue.first(limit=MAX_CONTACTS)
        if not queued or not await self.phone_book.lock(ttl_s=LOCK_TTL_S):
            return
        try:
            await self._refresh(queued)
        finally:
            await self.phone_book.unlock()

    async def _refresh(self, queued: Mapping[str, str]) -> None:
        batch = await self.phone_book.begin()
        read_ids: list[str] = []
        try:
            for contact_id, ticket in queued.items():
                try:
                    entries = await self._read(contact_id)
                except BuildrRejected as err:
                    _log_failure(err)
                    await self.queue.remove(contact_id, ticket)
                    continue
                await self.phone_book.put(entries, batch=batch)
                read_ids.append(contact_id)
        except BuildrError as err:
            _log_failure(err)
        except SyncRunning:
            return
        if not read_ids:
            return
        removed = await self.phone_book.sweep(batch, origin=Origin.SYNC, contact_ids=read_ids)
        for contact_id in read_ids:
            await self.queue.remove(contact_id, queued[contact_id])
        log.info(LogEvent.PHONE_BOOK_REFRESHED, contacts=len(read_ids), removed=removed)

    async def _read(self, contact_id: str) -> tuple[PhoneBookEntry, ...]:
        """The entries of a contact as Buildr has it; none of one that is gone."""
        try:
            contact = await self.reader.read(partial(self.reader.client.contact, contact_id))
        except BuildrRejected as err:
            if err.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                raise
            return ()
        entries = entries_of(contact, self.fields).entries
        return tuple(entry for entry in entries if entry.contact_id == contact_id)


def _log_failure(err: BuildrError) -> None:
    log.warning(LogEvent.PHONE_BOOK_NOT_REFRESHED, reason=err.cause, status_code=err.status_code)
