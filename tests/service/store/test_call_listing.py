"""
Calls found by what people know of them, page by page, the newest first.
"""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.store import call_candidates, call_listing
from service.store.accept_scripts import accept
from service.store.call_index import INDEXED, buckets_of, customer_bucket
from service.store.call_listing import UNREAD, UNREADABLE, CallQuery
from service.store.call_parties import CallParties
from service.store.call_update import CallUpdate
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
CUSTOMER = "+15005550006"
LINE = "+15005550001"
DAY_MS = 86_400_000


def record(number: int, *, customer: str | None = CUSTOMER, **values: object) -> DeliveryRecord:
    """The record of a call whose last message came so many minutes after AT."""
    parties = CallParties(direction="outbound", customer=customer, line=LINE, agent="Ana Lima")
    changed = DeliveryRecord(
        ref=f"twilio:CA{number}", last_received_at=AT + timedelta(minutes=number), parties=parties
    )
    return replace(changed, **values)


async def keep(store: Store, *records: DeliveryRecord) -> None:
    """Commit new calls."""
    for call_record in records:
        assert await store.calls.commit(CallUpdate(record=call_record, version=0))


async def find(store: Store, query: CallQuery, *, limit: int = 50) -> list[str]:
    """The names of the calls of the first page."""
    page = await store.listing.page(query, limit=limit)
    return [call.ref.removeprefix("twilio:CA") for call in page.calls]


async def test_every_filter_chooses(store: Store) -> None:
    """Each filter chooses alone, through an index or not; nothing chosen is all, newest first."""
    await keep(
        store,
        record(1, result="busy", outcome="Busy", state=DeliveryState.DELIVERED),
        record(2, customer="+15005550007", buildr_call_id="110"),
        record(3, ref="standard:c3", parties=None, state=DeliveryState.UNMATCHED),
        record(4, parties=CallParties(line=CUSTOMER, agent='Bo "Ünal"')),
    )
    for query, expected in (
        (CallQuery(), ["4", "standard:c3", "2", "1"]),
        (CallQuery(number=CUSTOMER), ["4", "1"]),
        (CallQuery(number=LINE), ["2", "1"]),
        (CallQuery(number="+15005559999"), []),
        (CallQuery(agent="ana lima"), ["2", "1"]),
        (CallQuery(agent="LIM"), ["2", "1"]),
        (CallQuery(buildr_call_id="110"), ["2"]),
        (CallQuery(source="standard"), ["standard:c3"]),
        (CallQuery(result="busy"), ["1"]),
        (CallQuery(outcome="busy"), ["1"]),
        (CallQuery(state="delivered"), ["1"]),
        (CallQuery(state="unmatched"), ["standard:c3"]),
        (CallQuery(since=AT + timedelta(minutes=3)), ["4", "standard:c3"]),
        (CallQuery(until=AT + timedelta(minutes=2)), ["1"]),
        (CallQuery(number=CUSTOMER, until=AT + timedelta(minutes=2)), ["1"]),
        (CallQuery(number=CUSTOMER, agent="bo"), ["4"]),
        # Characters that JSON writes in another way, and letters of another case.
        (CallQuery(agent='O "üN'), ["4"]),
        (CallQuery(agent="ÜNAL"), ["4"]),
    ):
        assert expected == await find(store, query), query


async def test_pages_follow_one_another(store: Store) -> None:
    """The cursor goes on behind the last call of a page, among calls of one moment too."""
    moments = [AT, AT, AT, AT + timedelta(minutes=1), AT + timedelta(minutes=1)]
    await keep(
        store,
        *(record(number, last_received_at=at) for number, at in enumerate(moments)),
    )
    for query in (CallQuery(), CallQuery(number=CUSTOMER), CallQuery(until=AT + timedelta(days=1))):
        names: list[str] = []
        after = None
        for _ in range(3):
            page = await store.listing.page(query, limit=2, after=after)
            names += [call.ref for call in page.calls]
            after = page.after
        assert [f"twilio:CA{number}" for number in (4, 3, 2, 1, 0)] == names
        assert after is None
    with pytest.raises(ValueError, match="not the cursor"):
        await store.listing.page(CallQuery(), after="nonsense")


async def test_calls_of_a_state_come_in_the_order_in_which_they_came_into_it(store: Store) -> None:
    """Whenever their last message came; the cursor goes on there, and ids of messages are none."""
    for number in (3, 1, 2):
        await keep(store, record(number, state=DeliveryState.UNMATCHED))
        name = store.keys.named("unmatched")
        await store.redis.zadd(name, {f"twilio:CA{number}": 1000 - number}, xx=True)
    await store.redis.zadd(name, {"m0123": 2000, "twilio:CAgone": 1500})
    first = await store.listing.page(CallQuery(state="unmatched"), limit=2)
    assert ["twilio:CA1", "twilio:CA2"] == [call.ref for call in first.calls]
    assert first.calls[0].last_at == AT + timedelta(minutes=1)
    rest = await store.listing.page(CallQuery(state="unmatched"), limit=2, after=first.after)
    assert ["twilio:CA3"] == [call.ref for call in rest.calls]
    assert rest.after is None
    # With a time they are in the order of their last messages again.
    assert ["3", "2"] == await find(
        store, CallQuery(state="unmatched", since=AT + timedelta(minutes=2))
    )


async def test_more_calls_of_one_millisecond_than_a_chunk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are all listed."""
    monkeypatch.setattr(call_candidates, "CHUNK", 2)
    await keep(store, *(record(number, last_received_at=AT) for number in range(7)))
    first = await store.listing.page(CallQuery(), limit=1)
    rest = await store.listing.page(CallQuery(), limit=10, after=first.after)
    assert ["6", "5", "4", "3", "2", "1", "0"] == [
        call.ref.removeprefix("twilio:CA") for call in (*first.calls, *rest.calls)
    ]


async def test_a_question_that_few_calls_answer_is_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends after so many calls were read, and the next one goes on from there."""
    monkeypatch.setattr(call_listing, "MOST_READ", 3)
    await keep(store, *(record(number) for number in range(5)), record(9, result="busy"))
    page = await store.listing.page(CallQuery(result="no_answer"))
    assert ((), 3) == (page.calls, page.looked_at)
    assert page.after is not None
    last = await store.listing.page(CallQuery(result="no_answer"), after=page.after)
    assert ((), 3) == (last.calls, last.looked_at)


async def test_older_calls_than_a_bucket_holds_are_found_among_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number with more calls than its bucket holds is searched for to the end, each call once."""
    monkeypatch.setattr(call_candidates, "MOST", 2)
    await keep(store, *(record(number) for number in range(4)))
    bucket = store.keys.named(customer_bucket(CUSTOMER))
    await store.redis.zrem(bucket, "twilio:CA0", "twilio:CA1")
    assert ["3", "2", "1", "0"] == await find(store, CallQuery(number=CUSTOMER))


async def test_a_call_that_no_worker_has_read_is_listed(store: Store) -> None:
    """It is known by its name, with how many messages wait."""
    for message_id in ("m1", "m2"):
        await store.scripts.run(
            accept(
                message_id=message_id,
                ref="twilio:CA1",
                dedupe_ms=0,
                max_pending=9,
                packed_message=b"x",
            )
        )
    page = await store.listing.page(CallQuery(state=UNREAD))
    assert [("twilio:CA1", "2 messages wait for a worker")] == [
        (call.ref, call.reason) for call in page.calls
    ]
    assert 2 == await store.listing.waiting("twilio:CA1")


async def test_a_damaged_record_is_listed(store: Store) -> None:
    """Its state says that it cannot be read."""
    await keep(store, record(1))
    await store.redis.hset(store.keys.call("twilio:CA1"), "rec", b"\x01damaged")
    (call,) = (await store.listing.page(CallQuery())).calls
    assert UNREADABLE == call.state


async def test_a_call_of_another_type_is_listed_beside_the_others(store: Store) -> None:
    """It must not keep them from being read."""
    await keep(store, record(1), record(2))
    await store.redis.set(store.keys.call("twilio:CA1"), b"damaged")
    calls = (await store.listing.page(CallQuery())).calls
    assert {"twilio:CA1": UNREADABLE, "twilio:CA2": "open"} == {
        call.ref: call.state for call in calls
    }


async def test_a_call_leaves_the_buckets_of_what_it_was(store: Store) -> None:
    """Another Buildr call, or an erased call: its name is in no bucket of before."""
    before = record(1, buildr_call_id="110")
    after = replace(before, buildr_call_id="111")
    await keep(store, before)
    assert await store.calls.commit(CallUpdate(record=after, version=1, before=before))
    assert [] == await find(store, CallQuery(buildr_call_id="110"))
    assert ["1"] == await find(store, CallQuery(buildr_call_id="111"))
    assert await store.erasure.erase("twilio:CA1") is not None
    left = [key async for key in store.redis.scan_iter(match="*calls*", count=100)]
    assert [] == left
    assert buckets_of(before) != buckets_of(after)


async def test_the_index_forgets_calls_that_have_expired(store: Store) -> None:
    """Out of the sorted set of all by the upkeep, out of a bucket by the next calls in it."""
    old = record(1, last_received_at=datetime(2020, 1, 1, tzinfo=UTC))
    await keep(store, old, record(2))
    await store.redis.delete(store.keys.call("twilio:CA1"))
    assert (1, None) == await store.indexing.drop_expired(
        before_ms=int(AT.timestamp() * 1000), after_ms=0
    )
    assert ["2"] == await find(store, CallQuery())
    bucket = store.keys.named(customer_bucket(CUSTOMER))
    # Longer ago than the tests keep calls.
    await store.redis.zadd(bucket, {"twilio:CA1": -1e13})
    await keep(store, record(3))
    assert [b"twilio:CA2", b"twilio:CA3"] == await store.redis.zrange(bucket, 0, -1)


async def test_a_bucket_lives_as_long_as_its_calls(store: Store) -> None:
    """An open call is kept for longer, and so is its bucket."""
    await keep(store, record(1, state=DeliveryState.DELIVERED))
    bucket = store.keys.named(customer_bucket(CUSTOMER))
    assert await store.pool.pttl(bucket) > store.calls.retention.calls_ms
    await keep(store, record(2, state=DeliveryState.UNMATCHED))
    assert await store.pool.pttl(bucket) > store.calls.retention.open_ms


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_a_part_of_an_id_finds_calls(store: Store, *, is_indexed: bool) -> None:
    """Also what no worker has read, with the index or without; not what has expired."""
    for ref in ("twilio:CA0aa1", "twilio:CA0aa2", "twilio:CA0bb1"):
        assert await store.calls.commit(CallUpdate(record=DeliveryRecord(ref=ref), version=0))
    if is_indexed:
        await store.redis.set(store.keys.named("calls_indexed"), INDEXED)
        await store.redis.zadd(store.keys.named("calls"), {"twilio:CA0aa9": 1})
    assert ["twilio:CA0aa1", "twilio:CA0aa2"] == await store.listing.find("0aa", sources=())
    assert 1 == len(await store.listing.find("CA0", sources=("twilio",), limit=1))
    assert [] == await store.listing.find("0a*", sources=())
