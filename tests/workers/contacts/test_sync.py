"""
Buildr's contacts are read into the phone book: within the budget, behind calls, and resumable.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from msgspec.structs import replace

from service.errors import BuildrRejected, BuildrUnavailable
from service.settings import Settings
from service.store.connection import Store
from service.store.phone_book import Origin, PhoneBookCounts, PhoneBookEntry
from service.store.rate_limit.lanes import Lane
from tests.doubles.clock import Skew
from workers.buildr import BuildrClient, ReadyToken
from workers.contacts.fields import ContactFields
from workers.contacts.reading import MAX_FAILURES, ContactReader, SyncRunning
from workers.contacts.sync import ContactSync

URL = "https://api.buildr.com/api/2023-01/contacts?per_page=100"
MakeSettings = Callable[..., Settings]


class Contacts:
    """Buildr's list of contacts, two on a page, and faults to come."""

    def __init__(self, total: int) -> None:
        self.items = [
            {
                "id": str(400 + index),
                "mobile_phone": f"500-555-{index:04d}",
                "company": {"id": str(100 + index // 2)},
            }
            for index in range(total)
        ]
        self.faults: list[httpx.Response] = []
        self.pages: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        page = int(request.url.params.get("page", "1"))
        self.pages.append(page)
        if self.faults:
            return self.faults.pop(0)
        headers = {}
        if page * 2 < len(self.items):
            following = request.url.copy_set_param("page", page + 1)
            headers["link"] = f'<{following}>; rel="next"'
        items = self.items[page * 2 - 2 : page * 2]
        return httpx.Response(200, headers=headers, json={"contacts": items})


@pytest.fixture
def contacts() -> Contacts:
    """Five contacts, on three pages."""
    return Contacts(5)


@pytest.fixture
async def sync(
    store: Store, make_settings: MakeSettings, contacts: Contacts, skew: Skew
) -> AsyncIterator[ContactSync]:
    """A synchronisation with a budget that never ends, which takes no time to wait."""

    async def sleep(seconds: float) -> None:
        skew.ms += int(seconds * 1000)

    settings = make_settings(BUILDR_BUDGETS="1000/1s")
    transport = httpx.MockTransport(contacts)
    async with BuildrClient(settings, tokens=ReadyToken("t0k3n"), transport=transport) as client:
        reader = ContactReader(
            store=store,
            client=client,
            hold_s=client.timeout_s + 2,
            clock=lambda: datetime.now(UTC),
            sleep=sleep,
        )
        yield ContactSync(reader=reader, fields=ContactFields.of(settings))


async def run(sync: ContactSync, *, pages: int | None = None) -> int:
    """Synchronise, or only some pages as if killed then; returns how many entries were removed."""
    cursor = await sync.begin()
    read_pages = 0
    async for page_cursor in sync.read_pages(cursor):
        cursor = page_cursor
        read_pages += 1
        if read_pages == pages:
            return 0
    return await sync.finish(cursor)


async def test_all_pages_are_read(sync: ContactSync, contacts: Contacts, store: Store) -> None:
    """Each contact's number is in the book afterwards, and the run is noted."""
    assert 0 == await run(sync)
    assert [1, 2, 3] == contacts.pages
    assert PhoneBookCounts(numbers=5, synchronised=5) == await store.phone_book.count()
    entry = PhoneBookEntry(
        number="+15005550003", contact_id="403", company_id="101", origin=Origin.SYNC
    )
    assert (entry,) == await store.phone_book.find("+15005550003")
    state = await store.phone_book.state()
    assert (None, True) == (state.cursor, state.synchronised_at is not None)


async def test_killed_run_goes_on_where_it_was(
    sync: ContactSync, contacts: Contacts, store: Store
) -> None:
    """The next run reads the pages that are left, and counts what both have read."""
    await run(sync, pages=2)
    cursor = (await store.phone_book.state()).cursor
    assert cursor is not None
    assert (4, f"{URL}&page=3") == (cursor.contacts, cursor.url)
    await run(sync)
    assert [1, 2, 3] == contacts.pages
    assert PhoneBookCounts(numbers=5, synchronised=5) == await store.phone_book.count()


async def test_run_that_was_killed_before_its_sweep_only_sweeps(
    sync: ContactSync, contacts: Contacts, store: Store
) -> None:
    """Nothing is read again when all pages were read."""
    gone = PhoneBookEntry(number="+15005559999", contact_id="9", origin=Origin.SYNC)
    await store.phone_book.put([gone])
    await run(sync, pages=3)
    assert 1 == await run(sync)
    assert [1, 2, 3] == contacts.pages


async def test_old_cursor_is_not_followed(sync: ContactSync, contacts: Contacts) -> None:
    """After a day, or where it is asked for, a run begins with the first page."""
    await run(sync, pages=1)
    restarted = await sync.begin(restarts=True)
    assert (0, None) == (restarted.contacts, restarted.url)
    later = datetime.now(UTC) + timedelta(hours=25)
    aged = replace(sync, reader=replace(sync.reader, clock=lambda: later))
    assert later == (await aged.begin()).started_at
    assert [1] == contacts.pages


async def test_what_is_not_listed_any_more_is_removed(
    sync: ContactSync, contacts: Contacts, store: Store
) -> None:
    """A changed number and a deleted contact leave; what was imported stays."""
    imported = PhoneBookEntry(number="+15005550000", contact_id="400", project_id="129")
    await run(sync)
    await store.phone_book.put([imported])
    contacts.items[0]["mobile_phone"] = "500-555-1000"
    del contacts.items[4]
    assert 2 == await run(sync)
    assert (imported,) == await store.phone_book.find("+15005550000")
    assert 1 == len(await store.phone_book.find("+15005551000"))
    assert () == await store.phone_book.find("+15005550004")


async def test_list_without_numbers_removes_nothing(
    sync: ContactSync, contacts: Contacts, store: Store
) -> None:
    """Fields of other names must not empty the book."""
    await run(sync)
    for item in contacts.items:
        del item["mobile_phone"]
    assert 0 == await run(sync)
    assert 5 == (await store.phone_book.count()).numbers


async def test_faults_that_pass_are_waited_for(sync: ContactSync, contacts: Contacts) -> None:
    """A 429 and a 500 cost a request each, and no page is left out."""
    contacts.faults = [
        httpx.Response(429, headers={"X-Rate-Limited-For": "0"}),
        httpx.Response(500),
    ]
    await run(sync)
    assert [1, 1, 1, 2, 3] == contacts.pages


async def test_outage_ends_the_run(sync: ContactSync, contacts: Contacts, store: Store) -> None:
    """After some failures in a row the run ends; the cursor stays."""
    contacts.faults = [httpx.Response(503) for _ in range(MAX_FAILURES)]
    with pytest.raises(BuildrUnavailable):
        await run(sync)
    assert [1] * MAX_FAILURES == contacts.pages
    assert (await store.phone_book.state()).cursor is not None


async def test_account_without_a_list_is_reported_at_once(
    sync: ContactSync, contacts: Contacts
) -> None:
    """A 404 is no outage."""
    contacts.faults = [httpx.Response(404)]
    with pytest.raises(BuildrRejected):
        await run(sync)
    assert [1] == contacts.pages


@pytest.mark.parametrize("answer", [{"people": []}, [], {"contacts": [1]}])
async def test_other_answers_are_reported(
    sync: ContactSync, contacts: Contacts, answer: object
) -> None:
    """An answer that is no list of contacts says which settings to check."""
    contacts.faults = [httpx.Response(200, json=answer) for _ in range(MAX_FAILURES)]
    with pytest.raises(BuildrUnavailable, match="BUILDR_CONTACTS_KEY"):
        await run(sync)


async def test_one_run_at_a_time(sync: ContactSync) -> None:
    """A second process waits for the first one's right, and then gives up."""
    other = replace(sync.phone_book, owner="other")
    assert await other.lock(ttl_s=60)
    with pytest.raises(SyncRunning):
        await sync.begin()


async def test_run_ends_when_another_has_begun(sync: ContactSync, contacts: Contacts) -> None:
    """A process that was paused for too long does not write beside the one that took over."""
    cursor = await sync.begin()
    other = replace(sync.phone_book, owner="other")
    await sync.phone_book.unlock()
    assert await other.lock(ttl_s=60)
    with pytest.raises(SyncRunning):
        await anext(sync.read_pages(cursor))
    assert [] == contacts.pages


async def test_calls_go_first(
    store: Store, make_settings: MakeSettings, sync: ContactSync, contacts: Contacts
) -> None:
    """While a call waits for budget, no page takes its place."""
    settings = make_settings(BUILDR_BUDGETS="2/1h")
    limited = type(store.permits)(
        store.redis,
        store.keys,
        store.scripts,
        tuple((budget.requests, int(budget.window_s * 1000)) for budget in settings.buildr_budgets),
    )
    now = datetime.now(UTC)
    used = await limited.ask("twilio:CA1", lane=Lane.FINAL, since=now, cost=2, hold_s=10)
    await limited.release(used, sent=2)
    waiting = await limited.ask("twilio:CA2", lane=Lane.FINAL, since=now, cost=1, hold_s=10)
    assert "waits" == waiting.verdict
    page = await limited.ask("#contacts:1", lane=Lane.BACKFILL, since=now, cost=1, hold_s=10)
    assert "waits" == page.verdict
    backlog = await store.backlog()
    lanes = {load.lane: load.calls for load in backlog.lanes}
    assert (1, 1) == (lanes[Lane.FINAL], lanes[Lane.BACKFILL])
    assert [] == contacts.pages
    assert sync.reader.permit_name.startswith("#contacts:")
