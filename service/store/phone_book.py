"""
The phone book: telephone numbers, and the contact, company and project in Buildr of each.

Entries do not expire. How they are stored, and what that costs, is in
docs/decisions/0020-phone-book.md.
"""

import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import UtcDatetime
from service.store import script_calls
from service.store.keys import Keys, name_in
from service.store.locks import acquire_or_keep, release
from service.store.redis_client import Client
from service.store.script_runner import Scripts
from service.store.stored_values import read_iso

BUCKETS: Final = 65_536
# A number that more people have says nothing about who called, and is not listed in full.
MAX_ENTRIES_PER_NUMBER: Final = 50
# How much one script does, so that no webhook waits for it longer than some milliseconds: how many
# entries it writes, and how many buckets and numbers it reads.
ENTRIES_PER_SCRIPT: Final = 100
BUCKETS_PER_SCRIPT: Final = 4096
NUMBERS_PER_SCRIPT: Final = 1000


class Origin(StrEnum):
    """Where an entry came from: written from here (a file, `PUT /phonebook`), or Buildr's list."""

    IMPORT = "i"
    SYNC = "s"

    @property
    def label(self) -> str:
        """The origin in a word, for people and JSON."""
        return self.name.lower()


class PhoneBookEntry(Struct, frozen=True, kw_only=True):
    """
    What one telephone number (E.164) says about who called; ids are Buildr's, digits.

    One without any id stands for people that are not listed, since too many have the number.
    """

    number: str
    contact_id: str | None = None
    company_id: str | None = None
    project_id: str | None = None
    origin: Origin = Origin.IMPORT

    @property
    def person(self) -> str:
        """Whom it is about: equal in entries about the same contact, or the same other ids."""
        return self.contact_id or self.ids_text

    @property
    def ids_text(self) -> str:
        """The ids as they are stored."""
        return ",".join((self.contact_id or "", self.company_id or "", self.project_id or ""))

    def as_dict(self) -> dict[str, str | None]:
        """For JSON: contact_id, company_id, project_id, origin; without the number."""
        return {
            "contact_id": self.contact_id,
            "company_id": self.company_id,
            "project_id": self.project_id,
            "origin": self.origin.label,
        }


class PhoneBookCounts(Struct, frozen=True, kw_only=True):
    """How much is in the book; `shared` numbers belong to more than one contact."""

    numbers: int = 0
    shared: int = 0
    imported: int = 0
    synchronised: int = 0


class SyncCursor(Struct, frozen=True, kw_only=True):
    """
    How far a synchronisation has come: `url` is the next page, None for the first one. With
    `is_read` there is none, and what is older is still to be removed.

    `contacts` and `entries` are what it has read so far, `unreadable` the numbers that are none.
    """

    batch: int
    started_at: UtcDatetime
    url: str | None = None
    is_read: bool = False
    contacts: int = 0
    entries: int = 0
    unreadable: int = 0


class PhoneBookState(Struct, frozen=True, kw_only=True):
    """When the book was last changed as a whole (UTC), and the synchronisation under way."""

    imported_at: UtcDatetime | None = None
    synchronised_at: UtcDatetime | None = None
    cursor: SyncCursor | None = None


# The ids of contact, company and project, where the entry came from, and its batch.
_ENTRY: Final = re.compile(r"([0-9]*),([0-9]*),([0-9]*),([is])[0-9]+", re.ASCII)
_CURSOR: Final = msgspec.json.Decoder(SyncCursor)
_MOMENT_FIELDS: Final = {Origin.IMPORT: "imported_at", Origin.SYNC: "synced_at"}


class PhoneBook(Struct, frozen=True):
    """
    Keeps the phone book of an account; every method raises redis-py's errors.

    `lock` lets one synchronisation run at a time.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    async def find(self, number: str) -> tuple[PhoneBookEntry, ...]:
        """
        The entries of a number (E.164), one for each person.

        Of two about the same contact, the one that was written from here counts.
        """
        digits = _digits(number)
        text = await self.redis.hget(self._bucket_key(digits), digits)
        if text is None:
            return ()
        by_person: dict[str, PhoneBookEntry] = {}
        for entry in _read(number, name_in(text)):
            if entry.origin is Origin.IMPORT or entry.person not in by_person:
                by_person[entry.person] = entry
        return tuple(sorted(by_person.values(), key=lambda entry: entry.person))

    async def put(self, entries: Iterable[PhoneBookEntry], *, batch: int | None = None) -> int:
        """
        Write entries, each in place of the one about the same number, person and origin.

        `batch` is what `begin` has returned, None outside of one. Returns how many are new.
        """
        count = 0
        iterator = iter(entries)
        while part := list(islice(iterator, ENTRIES_PER_SCRIPT)):
            call = script_calls.phone_book_put(
                batch=batch,
                most=MAX_ENTRIES_PER_NUMBER,
                entries=[_arguments(entry) for entry in part],
            )
            count += await self.scripts.run(call)
        return count

    async def remove(self, number: str, *, contact_id: str | None = None) -> int:
        """Remove the entries of a number, or those of one contact; returns how many."""
        digits = _digits(number)
        call = script_calls.phone_book_remove(
            bucket=_bucket_of(digits), number=digits, contact_id=contact_id or ""
        )
        return await self.scripts.run(call)

    async def begin(self) -> int:
        """Begin a batch: what `sweep` removes is older than the entries that it writes."""
        return await self.redis.hincrby(self._state_key, "batch")

    async def sweep(
        self, batch: int, *, origin: Origin | None = None, contact_ids: Sequence[str] = ()
    ) -> int:
        """
        Remove entries that are older than a batch, of one origin or all, and of some contacts or
        everybody; returns how many.
        """
        total = 0
        bucket = 0
        while bucket < BUCKETS:
            call = script_calls.phone_book_sweep(
                first_bucket=bucket,
                end_bucket=min(BUCKETS, bucket + BUCKETS_PER_SCRIPT),
                limit=NUMBERS_PER_SCRIPT,
                origin=origin or "",
                batch=batch,
                contact_ids=contact_ids,
            )
            removed, bucket = await self.scripts.run(call)
            total += removed
        return total

    async def finish(self, origin: Origin, at: datetime) -> None:
        """Note that an import or a synchronisation has ended, and forget its cursor."""
        await self.redis.hset(self._state_key, _MOMENT_FIELDS[origin], at.isoformat())
        if origin is Origin.SYNC:
            await self.redis.hdel(self._state_key, "cursor")

    async def save_cursor(self, cursor: SyncCursor) -> None:
        """Keep how far a synchronisation has come."""
        await self.redis.hset(self._state_key, "cursor", msgspec.json.encode(cursor))

    async def state(self) -> PhoneBookState:
        """When the book was last changed as a whole, and the synchronisation under way."""
        fields = await self.redis.hgetall(self._state_key)
        cursor = None
        if b"cursor" in fields:
            # Without it the synchronisation begins anew.
            with suppress(ValueError):
                cursor = _CURSOR.decode(fields[b"cursor"])
        return PhoneBookState(
            imported_at=read_iso(fields.get(b"imported_at")),
            synchronised_at=read_iso(fields.get(b"synced_at")),
            cursor=cursor,
        )

    async def count(self) -> PhoneBookCounts:
        """How much is in the book, counted anew: some seconds for a million numbers."""
        totals = [0, 0, 0, 0]
        bucket = 0
        while bucket < BUCKETS:
            call = script_calls.phone_book_count(
                first_bucket=bucket,
                end_bucket=min(BUCKETS, bucket + BUCKETS_PER_SCRIPT),
                limit=NUMBERS_PER_SCRIPT,
            )
            bucket, *counts = await self.scripts.run(call)
            totals = [total + count for total, count in zip(totals, counts, strict=True)]
        numbers, shared, imported, synchronised = totals
        return PhoneBookCounts(
            numbers=numbers, shared=shared, imported=imported, synchronised=synchronised
        )

    async def lock(self, *, ttl_s: float) -> bool:
        """
        Take the right to synchronise for `ttl_s` seconds, or keep it for so long from now on; False
        if somebody else has it.
        """
        return await acquire_or_keep(self.scripts, "phonebook_lock", self.owner, ttl_s=ttl_s)

    async def unlock(self) -> None:
        """Give the right back, if it is still ours."""
        await release(self.redis, self.keys.named("phonebook_lock"), self.owner)

    @property
    def _state_key(self) -> str:
        return self.keys.named("phonebook")

    def _bucket_key(self, digits: str) -> str:
        return self.keys.named(f"phonebook:{_bucket_of(digits)}")


def _digits(number: str) -> str:
    """A number without its plus: Redis packs digits alone as an integer."""
    return number.removeprefix("+")


def _bucket_of(digits: str) -> int:
    return zlib.crc32(digits.encode()) % BUCKETS


def _arguments(entry: PhoneBookEntry) -> tuple[int, str, str, str]:
    digits = _digits(entry.number)
    return _bucket_of(digits), digits, entry.ids_text, entry.origin.value


def _read(number: str, text: str) -> Iterator[PhoneBookEntry]:
    for part in text.split(";"):
        match = _ENTRY.fullmatch(part)
        # What is damaged is nobody: an id of it could be anybody's.
        if match is None:
            continue
        contact_id, company_id, project_id, origin = match.groups()
        yield PhoneBookEntry(
            number=number,
            contact_id=contact_id or None,
            company_id=company_id or None,
            project_id=project_id or None,
            origin=Origin(origin),
        )
