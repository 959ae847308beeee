"""
Contacts that Buildr's webhooks have named are read again.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from msgspec.structs import replace

from service.settings import Settings
from service.store.connection import Store
from service.store.contact_queue import QueuedContact
from service.store.phone_book import Origin, PhoneBookEntry
from tests.doubles.clock import Skew
from workers.buildr import BuildrClient, ReadyToken
from workers.contacts.fields import ContactFields
from workers.contacts.reading import ContactReader
from workers.contacts.refresh import (
    FAILURES_IN_A_ROW,
    MAX_FAILURES,
    ContactRefresher,
    pause_after,
)

OLD = "+15005550001"
NEW = "+15005550002"


class Contacts:
    """Buildr's contacts by id; faults come first."""

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, object]] = {}
        self.faults: list[int] = []
        self.broken: set[str] = set()
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.paths.append(request.url.path)
        if self.faults:
            return httpx.Response(self.faults.pop(0))
        contact_id = request.url.path.rpartition("/")[2]
        if contact_id in self.broken:
            return httpx.Response(500)
        contact = self.by_id.get(contact_id)
        if contact is None:
            return httpx.Response(404)
        return httpx.Response(200, json={"contact": contact})


@pytest.fixture
def contacts() -> Contacts:
    """A contact whose number has changed."""
    contacts = Contacts()
    contacts.by_id["418"] = {"id": "418", "mobile_phone": NEW, "company": {"id": "101"}}
    return contacts


@pytest.fixture
async def refresher(
    store: Store, make_settings: Callable[..., Settings], contacts: Contacts, skew: Skew
) -> AsyncIterator[ContactRefresher]:
    """A refresher whose book has the number of before, which takes no time to wait."""
    settings = make_settings(BUILDR_BUDGETS="1000/1s")
    transport = httpx.MockTransport(contacts)

    async def sleep(seconds: float) -> None:
        skew.ms += int(seconds * 1000)

    await store.phone_book.put([entry("418", OLD), entry("419", OLD)])
    async with BuildrClient(settings, tokens=ReadyToken("t0k3n"), transport=transport) as client:
        reader = ContactReader(
            store=store,
            client=client,
            hold_s=client.timeout_s + 2,
            clock=lambda: datetime.now(UTC) + timedelta(milliseconds=skew.ms),
            sleep=sleep,
        )
        yield ContactRefresher(reader=reader, fields=ContactFields.of(settings))


def entry(
    contact_id: str, number: str, *, company_id: str | None = None, origin: Origin = Origin.SYNC
) -> PhoneBookEntry:
    """An entry, by default one that came from Buildr's list."""
    return PhoneBookEntry(
        number=number, contact_id=contact_id, company_id=company_id, origin=origin
    )


async def queued(store: Store) -> set[str]:
    """The contacts that are to be read."""
    in_a_year = datetime.now(UTC) + timedelta(days=365)
    contacts = await store.contact_queue.due(in_a_year, limit=100)
    return {contact.contact_id for contact in contacts}


async def test_changed_number_takes_the_place_of_the_old_one(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """The contact is found by its new number only; others who have the old one keep it."""
    await store.phone_book.put([entry("418", OLD, origin=Origin.IMPORT)])
    await store.contact_queue.add("418")
    await refresher.refresh_due()
    assert ["/api/2023-01/contacts/418"] == contacts.paths
    assert (entry("418", NEW, company_id="101"),) == await store.phone_book.find(NEW)
    imported = entry("418", OLD, origin=Origin.IMPORT)
    assert (imported, entry("419", OLD)) == await store.phone_book.find(OLD)
    assert set() == await queued(store)


async def test_nothing_is_read_without_a_message(
    refresher: ContactRefresher, contacts: Contacts
) -> None:
    """An empty queue costs no request."""
    await refresher.refresh_due()
    assert [] == contacts.paths


async def test_deleted_contact_is_removed(refresher: ContactRefresher, store: Store) -> None:
    """A contact that Buildr does not have any more has no entry."""
    await store.contact_queue.add("419")
    await refresher.refresh_due()
    assert (entry("418", OLD),) == await store.phone_book.find(OLD)


async def test_other_records_id_changes_nothing(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """An answer about another contact than the one that was asked for is not taken."""
    contacts.by_id["420"] = {"id": "421", "mobile_phone": NEW}
    await store.contact_queue.add("420")
    await refresher.refresh_due()
    assert () == await store.phone_book.find(NEW)


async def test_outage_leaves_contacts_queued(
    refresher: ContactRefresher, contacts: Contacts, store: Store, skew: Skew
) -> None:
    """They are read in a later turn; until then the book stays as it is."""
    contacts.faults = [503] * FAILURES_IN_A_ROW
    ids = {"418", "419", "420", "421"}
    for contact_id in ids:
        await store.contact_queue.add(contact_id)
    await refresher.refresh_due()
    assert (FAILURES_IN_A_ROW, ids) == (len(contacts.paths), await queued(store))
    assert 2 == len(await store.phone_book.find(OLD))
    skew.ms += 61_000
    await refresher.refresh_due()
    assert set() == await queued(store)
    assert 1 == len(await store.phone_book.find(NEW))


async def test_refused_token_ends_the_turn(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """It says nothing about a contact, which is read as soon as a token is accepted."""
    contacts.faults = [403]
    for contact_id in ("418", "419"):
        await store.contact_queue.add(contact_id)
    await refresher.refresh_due()
    assert (1, {"418", "419"}) == (len(contacts.paths), await queued(store))
    await refresher.refresh_due()
    assert set() == await queued(store)


async def test_rate_limit_is_waited_out(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """A 429 is not the contact's."""
    contacts.faults = [429]
    await store.contact_queue.add("418")
    await refresher.refresh_due()
    assert (2, set()) == (len(contacts.paths), await queued(store))


async def test_contact_that_buildr_fails_to_show_is_not_in_the_way_of_others(
    refresher: ContactRefresher, contacts: Contacts, store: Store, skew: Skew
) -> None:
    """It is read again later; it opens no breaker, and what the book has of it stays."""
    contacts.broken = {"419"}
    for _ in range(FAILURES_IN_A_ROW):
        await store.contact_queue.add("419")
        await store.contact_queue.add("418")
        await refresher.refresh_due()
        assert {"419"} == await queued(store)
    assert (entry("418", NEW, company_id="101"),) == await store.phone_book.find(NEW)
    assert (entry("419", OLD),) == await store.phone_book.find(OLD)
    assert not await store.redis.hgetall(store.keys.named("breaker"))
    contacts.broken.clear()
    contacts.paths.clear()
    await refresher.refresh_due()
    assert [] == contacts.paths
    skew.ms += 61_000
    await refresher.refresh_due()
    assert set() == await queued(store)


def test_pause_of_a_contact_grows() -> None:
    """To an hour at most, so that a week has not many requests."""
    pauses_s = [pause_after(failures).total_seconds() for failures in (0, 1, 5, 6, 170)]
    assert [60, 120, 1920, 3600, 3600] == pauses_s


async def test_contact_that_buildr_never_shows_is_given_up(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """After about a week; the next webhook about it queues it anew."""
    contacts.broken = {"419"}
    due_at = datetime.now(UTC) - timedelta(minutes=1)
    contact = QueuedContact(contact_id="419", ticket="t", failures=MAX_FAILURES, due_at=due_at)
    await store.redis.hset(store.keys.named("phonebook_queue"), "419", contact.stored)
    await refresher.refresh_due()
    assert set() == await queued(store)


async def test_refused_contact_is_not_in_the_way_of_others(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """What Buildr refuses is not asked for again; what the book has of that contact stays."""
    contacts.faults = [422]
    await store.contact_queue.add("419")
    await store.contact_queue.add("418")
    await refresher.refresh_due()
    assert set() == await queued(store)
    assert (entry("419", OLD),) == await store.phone_book.find(OLD)
    assert (entry("418", NEW, company_id="101"),) == await store.phone_book.find(NEW)


async def test_one_process_reads_at_a_time(
    refresher: ContactRefresher, contacts: Contacts, store: Store
) -> None:
    """While a synchronisation or another worker reads contacts, they stay queued."""
    other = replace(store.phone_book, owner="other")
    assert await other.lock(ttl_s=60)
    await store.contact_queue.add("418")
    await refresher.refresh_due()
    assert ([], {"418"}) == (contacts.paths, await queued(store))
    await other.unlock()
    await refresher.refresh_due()
    assert await other.lock(ttl_s=60)
