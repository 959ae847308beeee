"""
All known calls: chosen by their records, read in pages.
"""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.events import CallEvent, EventType, to_json
from service.store.call_search import PAGE, CallFilter, CallSearch
from service.store.call_update import CallUpdate
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.links import Link

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


@pytest.fixture
def search(store: Store) -> CallSearch:
    """A scan over the test's Redis."""
    return store.search


async def keep(store: Store, number: int, **values: object) -> str:
    """Keep a call whose last message came so many minutes after AT; returns its name."""
    ref = f"twilio:CA{number}"
    event = CallEvent(
        source="twilio",
        message_id="m1",
        source_call_id=f"CA{number}",
        leg_id="x",
        event_type=EventType.RINGING,
    )
    record = DeliveryRecord(ref=ref, last_received_at=AT + timedelta(minutes=number))
    changed = replace(record, **values)
    assert await store.calls.commit(
        CallUpdate(record=changed, version=0, events={"m1": to_json((event,))})
    )
    return changed.ref


async def test_calls_are_chosen_by_every_condition(store: Store, search: CallSearch) -> None:
    """Source, result, state and age each choose, and nothing chosen means all, the oldest first."""
    await keep(store, 2, result="busy")
    await keep(store, 1, state=DeliveryState.DELIVERED)
    await keep(store, 3, ref="standard:c3")
    for call_filter, numbers in (
        (CallFilter(), ["twilio:CA1", "twilio:CA2", "standard:c3"]),
        (CallFilter(source="standard"), ["standard:c3"]),
        (CallFilter(result="busy"), ["twilio:CA2"]),
        (CallFilter(state=DeliveryState.DELIVERED), ["twilio:CA1"]),
        (CallFilter(since=AT + timedelta(minutes=2)), ["twilio:CA2", "standard:c3"]),
        (CallFilter(until=AT + timedelta(minutes=2)), ["twilio:CA1"]),
    ):
        assert numbers == await search.select(call_filter)
    assert ["twilio:CA1", "twilio:CA2"] == await search.select(CallFilter(), limit=2)


async def test_calls_are_read_with_their_links_in_order_and_over_pages(
    store: Store, search: CallSearch
) -> None:
    """
    More calls than a page holds come back whole and in the order asked for; those that have gone
    are left out.
    """
    refs = [await keep(store, number) for number in range(PAGE + 3)]
    await store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    assert refs == await search.select(CallFilter())
    calls = [stored async for stored in search.read([refs[1], "twilio:gone", *refs[::-1]])]
    assert [refs[1], *refs[::-1]] == [stored.record.ref for stored, _ in calls]
    assert (await store.calls.get(refs[1]), Link(buildr_call_id="110")) == calls[0]
    assert [link for _, link in calls if link is not None] == [Link(buildr_call_id="110")] * 2


async def test_a_damaged_record_is_left_out(store: Store, search: CallSearch) -> None:
    """One that cannot be read must not keep the others from being found and read."""
    refs = [await keep(store, number) for number in range(3)]
    await store.redis.hset(store.keys.call(refs[1]), "rec", "damaged")
    others = [refs[0], refs[2]]
    assert others == await search.select(CallFilter())
    assert others == [stored.record.ref async for stored, _ in search.read(refs)]


async def test_installations_that_share_redis_are_apart(store: Store, search: CallSearch) -> None:
    """Another account's calls are never found, nor what else lies in this one."""
    await keep(store, 1)
    await store.redis.hincrby("bc:other:call:twilio:CA9", "v")
    await store.links.put("twilio", "CA2", Link(buildr_call_id="110"))
    assert ["twilio:CA1"] == await search.select(CallFilter())
