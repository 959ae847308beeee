"""
The phone book in Redis: entries by number, several people per number, batches and their sweep.
"""

from datetime import UTC, datetime
from itertools import product

import pytest

from service.store.connection import Store
from service.store.phone_book import (
    BUCKETS,
    ENTRIES_PER_SCRIPT,
    MAX_ENTRIES_PER_NUMBER,
    Origin,
    PhoneBookCounts,
    PhoneBookEntry,
    PhoneBookState,
    SyncCursor,
)
from service.store.script_calls import phone_book_count
from tests.doubles.redis import RedisServer

NUMBER = "+15005550006"
OTHER = "+15005550007"
ANA = PhoneBookEntry(number=NUMBER, contact_id="418", company_id="101", project_id="129")
BEN = PhoneBookEntry(number=NUMBER, contact_id="419", company_id="101")
MAIN_LINE = PhoneBookEntry(number=NUMBER, company_id="101")
AT = datetime(2026, 11, 2, 10, tzinfo=UTC)


def synchronised(entry: PhoneBookEntry, *, project_id: str | None = None) -> PhoneBookEntry:
    """The same entry, as Buildr's list has it."""
    return PhoneBookEntry(
        number=entry.number,
        contact_id=entry.contact_id,
        company_id=entry.company_id,
        project_id=project_id,
        origin=Origin.SYNC,
    )


async def test_number_that_is_not_listed_has_no_entry(store: Store) -> None:
    """An empty book, and one with other numbers, answer alike."""
    assert () == await store.phone_book.find(NUMBER)
    await store.phone_book.put([ANA])
    assert () == await store.phone_book.find(OTHER)


async def test_number_may_have_several_people(store: Store) -> None:
    """A shared line lists everybody, whether with a contact or with a company alone."""
    assert 3 == await store.phone_book.put([ANA, BEN, MAIN_LINE])
    assert {ANA, BEN, MAIN_LINE} == set(await store.phone_book.find(NUMBER))


async def test_contact_is_written_anew(store: Store) -> None:
    """An entry of the same contact takes the place of the earlier one, ids and all."""
    moved = PhoneBookEntry(number=NUMBER, contact_id="418", company_id="102")
    await store.phone_book.put([ANA, BEN])
    assert 0 == await store.phone_book.put([moved])
    assert (moved, BEN) == await store.phone_book.find(NUMBER)


async def test_ids_are_texts(store: Store) -> None:
    """Leading zeros are kept, and the longest ids fit."""
    entry = PhoneBookEntry(
        number="+999999999999999", contact_id="0" * 20, company_id="9" * 20, project_id="007"
    )
    await store.phone_book.put([entry])
    assert (entry,) == await store.phone_book.find(entry.number)


async def test_what_was_written_from_here_counts(store: Store) -> None:
    """Of an imported and a synchronised entry of one contact, the imported one is used."""
    await store.phone_book.put([ANA, synchronised(ANA, project_id="130"), synchronised(BEN)])
    assert (ANA, synchronised(BEN)) == await store.phone_book.find(NUMBER)


async def test_number_or_contact_is_removed(store: Store) -> None:
    """Removing counts what was there; one contact goes and the others stay."""
    await store.phone_book.put([ANA, synchronised(ANA), BEN])
    assert 2 == await store.phone_book.remove(NUMBER, contact_id="418")
    assert (BEN,) == await store.phone_book.find(NUMBER)
    assert 1 == await store.phone_book.remove(NUMBER)
    assert 0 == await store.phone_book.remove(NUMBER)
    assert () == await store.phone_book.find(NUMBER)


async def test_sweep_leaves_what_its_batch_has_written(store: Store) -> None:
    """After a sweep the book is what the batch wrote, and what was put beside it."""
    book = store.phone_book
    await book.put([ANA, BEN, PhoneBookEntry(number=OTHER, contact_id="7")])
    batch = await book.begin()
    await book.put([ANA], batch=batch)
    beside = PhoneBookEntry(number="+15005550008", contact_id="8")
    await book.put([beside])
    assert 2 == await book.sweep(batch)
    assert ((ANA,), (), (beside,)) == (
        await book.find(NUMBER),
        await book.find(OTHER),
        await book.find(beside.number),
    )
    assert PhoneBookCounts(numbers=2, imported=2) == await book.count()


async def test_sweep_of_an_origin_leaves_the_others(store: Store) -> None:
    """A synchronisation removes what Buildr does not list any more, never what was imported."""
    book = store.phone_book
    await book.put([ANA, synchronised(BEN), synchronised(MAIN_LINE)])
    batch = await book.begin()
    await book.put([synchronised(BEN)], batch=batch)
    assert 1 == await book.sweep(batch, origin=Origin.SYNC)
    assert (ANA, synchronised(BEN)) == await book.find(NUMBER)


async def test_number_of_too_many_people_stays_ambiguous(store: Store) -> None:
    """Beyond the limit an entry without ids stands for the rest, also when others are removed."""
    book = store.phone_book
    people = [
        PhoneBookEntry(number=NUMBER, contact_id=str(1000 + index))
        for index in range(MAX_ENTRIES_PER_NUMBER + 30)
    ]
    await book.put(people)
    entries = await book.find(NUMBER)
    assert MAX_ENTRIES_PER_NUMBER + 1 == len(entries)
    assert PhoneBookEntry(number=NUMBER) in entries
    for person in people[1:MAX_ENTRIES_PER_NUMBER]:
        await book.remove(NUMBER, contact_id=person.contact_id)
    assert {people[0], PhoneBookEntry(number=NUMBER)} == set(await book.find(NUMBER))


async def test_many_entries_are_written_in_parts(store: Store) -> None:
    """More entries than one script takes are all written, and counted."""
    total = 2 * ENTRIES_PER_SCRIPT + 1
    entries = (
        PhoneBookEntry(number=f"+1500555{index:04d}", contact_id=str(index + 1))
        for index in range(total)
    )
    assert total == await store.phone_book.put(entries)
    assert PhoneBookCounts(numbers=total, imported=total) == await store.phone_book.count()


async def test_shared_numbers_are_counted(store: Store) -> None:
    """Two entries of one contact are one person, two contacts are not."""
    await store.phone_book.put([ANA, synchronised(ANA), BEN])
    await store.phone_book.put([PhoneBookEntry(number=OTHER, contact_id="7")])
    expected = PhoneBookCounts(numbers=2, shared=1, imported=3, synchronised=1)
    assert expected == await store.phone_book.count()


async def test_buckets_are_all_counted(store: Store) -> None:
    """A count over all buckets is the same in one step, the last bucket included."""
    entries = [PhoneBookEntry(number=f"+4930{index:06d}", contact_id="1") for index in range(3000)]
    await store.phone_book.put(entries)
    call = phone_book_count(first_bucket=0, end_bucket=BUCKETS, limit=10_000)
    assert [BUCKETS, 3000, 0, 3000, 0] == await store.scripts.run(call)
    assert PhoneBookCounts(numbers=3000, imported=3000) == await store.phone_book.count()
    assert 3000 == await store.phone_book.sweep(await store.phone_book.begin())


async def test_state_holds_times_and_cursor(store: Store) -> None:
    """A cursor is kept until its synchronisation ends; the times of both ways are kept apart."""
    book = store.phone_book
    assert PhoneBookState() == await book.state()
    batch = await book.begin()
    cursor = SyncCursor(batch=batch, started_at=AT, url="https://api.example.test/contacts?page=2")
    await book.save_cursor(cursor)
    assert PhoneBookState(cursor=cursor) == await book.state()
    await book.finish(Origin.IMPORT, AT)
    assert PhoneBookState(imported_at=AT, cursor=cursor) == await book.state()
    await book.finish(Origin.SYNC, AT)
    assert PhoneBookState(imported_at=AT, synchronised_at=AT) == await book.state()
    assert batch + 1 == await book.begin()


async def test_one_synchronisation_at_a_time(store: Store, redis_server: RedisServer) -> None:
    """The right to synchronise is one process's, which may keep it for longer."""
    book = store.phone_book
    other = type(book)(store.redis, store.keys, store.scripts)
    assert await book.lock(ttl_s=60)
    assert not await other.lock(ttl_s=60)
    assert await book.lock(ttl_s=60)
    await other.unlock()
    assert not await other.lock(ttl_s=60)
    await book.unlock()
    assert await other.lock(ttl_s=60)


def test_person_tells_entries_apart() -> None:
    """Entries are about the same person if and only if contact, or all ids without one, agree."""
    entries = [
        PhoneBookEntry(number=NUMBER, contact_id=contact, company_id=company, project_id=project)
        for contact, company, project in product((None, "1", "2"), repeat=3)
    ]
    for entry, other in product(entries, repeat=2):
        is_same = entry.contact_id == other.contact_id
        if entry.contact_id is None:
            is_same = is_same and entry.ids_text == other.ids_text
        assert is_same == (entry.person == other.person)


@pytest.mark.parametrize(("origin", "label"), [(Origin.IMPORT, "import"), (Origin.SYNC, "sync")])
def test_origin_has_a_word(origin: Origin, label: str) -> None:
    """JSON shows where an entry came from."""
    expected = {"contact_id": "1", "company_id": None, "project_id": None, "origin": label}
    assert expected == PhoneBookEntry(number=NUMBER, contact_id="1", origin=origin).as_dict()
