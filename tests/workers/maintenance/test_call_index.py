"""
The index of calls: old calls come into it by themselves, expired ones go.
"""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType, to_json
from service.store.call_listing import CallQuery
from service.store.call_parties import CallParties
from service.store.call_update import CallUpdate
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from workers.clock import SharedClock
from workers.maintenance.call_index import VERSIONS_EVERY, CallIndexer, ExpiredCalls

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
EVENT = CallEvent(
    source="twilio",
    message_id="m1",
    source_call_id="CA1",
    leg_id="CA1",
    event_type=EventType.RINGING,
    direction=Direction.OUTBOUND,
    from_number="+15005550001",
    to_number="(500) 555-0006",
    agent="Ana",
)
OLD = DeliveryRecord(ref="twilio:CA1", first_received_at=AT, last_received_at=AT)


async def _keep_old(store: Store) -> None:
    """A call as a version without an index has stored it."""
    events = {"m1": to_json((EVENT,))}
    assert await store.calls.commit(CallUpdate(record=OLD, version=0, events=events))
    await store.redis.delete(store.keys.named("calls"))


async def test_old_calls_are_indexed_once(store: Store) -> None:
    """By their events, with nothing else changed; then nothing is looked for again."""
    await _keep_old(store)
    before = await store.calls.get("twilio:CA1")
    assert before is not None
    assert not await store.listing.is_complete()
    indexer = CallIndexer(store=store, worker_id="w1", default_region="US")
    await indexer.index_old()
    page = await store.listing.page(CallQuery(number="+15005550006"))
    assert [("twilio:CA1", "Ana", AT)] == [
        (call.ref, call.agent, call.last_at) for call in page.calls
    ]
    after = await store.calls.get("twilio:CA1")
    assert after is not None
    assert replace(before, record=replace(OLD, parties=after.record.parties)) == after
    await indexer.index_old()
    assert indexer.is_done
    await indexer.index_old()
    assert await store.listing.is_complete()


async def test_one_worker_indexes(store: Store) -> None:
    """While one is at it, the others leave it alone."""
    await _keep_old(store)
    assert await store.indexing.lock("w1")
    other = CallIndexer(store=store, worker_id="w2", default_region="US")
    await other.index_old()
    assert () == (await store.listing.page(CallQuery())).calls


async def test_a_call_that_was_written_meanwhile_is_left_alone(store: Store) -> None:
    """Its job has indexed it; a call without events has no parties."""
    await _keep_old(store)
    (call,), cursor = await store.indexing.next_calls()
    await store.indexing.advance(cursor)
    assert await store.calls.commit(CallUpdate(record=OLD, version=1))
    assert not await store.indexing.index(call, call.record)
    assert await store.calls.commit(CallUpdate(record=DeliveryRecord(ref="twilio:CA2"), version=0))
    indexer = CallIndexer(store=store, worker_id="w1", default_region="US")
    await store.redis.delete(store.keys.named("calls_indexed"))
    await indexer.index_old()
    calls = (await store.listing.page(CallQuery())).calls
    assert {"twilio:CA1", "twilio:CA2"} == {each.ref for each in calls}


async def test_expired_calls_leave_the_index(store: Store) -> None:
    """Those that are kept for longer stay."""
    await _keep_old(store)
    await store.redis.zadd(store.keys.named("calls"), {"twilio:CA1": 1, "twilio:CA9": 2})
    expired = ExpiredCalls(store=store, clock=SharedClock(), keep=timedelta(days=30))
    await expired.drop()
    assert [b"twilio:CA1"] == await store.redis.zrange(store.keys.named("calls"), 0, -1)


async def test_what_an_older_version_wrote_beside_this_one_is_indexed(store: Store) -> None:
    """
    While a worker without the index is alive, nothing counts as done; once it has gone, all calls
    are looked at again.
    """
    indexer = CallIndexer(store=store, worker_id="w1", default_region="US")
    await store.workers.beat("w1", map_digest="0")
    await indexer.index_old()
    assert await store.listing.is_complete()
    await store.workers.beat("w0", map_digest="0")
    # As 0.1.0 does.
    await store.redis.set(store.keys.named("worker:w0"), "2026-11-02T10:00:00+00:00")
    await _keep_old(store)
    # Such as are run each second.
    for _ in range(VERSIONS_EVERY):
        await indexer.index_old()
    assert not await store.listing.is_complete()
    await store.workers.remove("w0")
    for _ in range(VERSIONS_EVERY):
        await indexer.index_old()
    assert 1 == len((await store.listing.page(CallQuery(number="+15005550006"))).calls)
    assert await store.listing.is_complete()


async def test_what_an_older_version_wrote_alone_is_indexed(store: Store) -> None:
    """
    The first worker after a rollback looks at all calls again; one that starts beside another one,
    or goes on after Redis was away, does not.
    """
    indexer = CallIndexer(store=store, worker_id="w1", default_region="US")
    await store.workers.beat("w1", map_digest="0", is_first=True)
    await indexer.index_old()
    await store.workers.beat("w2", map_digest="0", is_first=True)
    assert await store.listing.is_complete()
    await store.workers.remove("w1")
    await store.redis.set(store.keys.named("calls_indexed_at"), "1")
    await store.workers.beat("w2", map_digest="0")
    assert await store.listing.is_complete()
    await _keep_old(store)
    await store.redis.set(store.keys.named("calls_indexed_at"), "1")
    await store.workers.beat("w3", map_digest="0", is_first=True)
    assert not await store.listing.is_complete()
    # The lock of the step before is still that of the first worker.
    await CallIndexer(store=store, worker_id="w1", default_region="US").index_old()
    assert 1 == len((await store.listing.page(CallQuery(number="+15005550006"))).calls)


async def test_a_step_that_was_not_ended_is_done_again_once(store: Store) -> None:
    """Its worker died: another one does it. A call that breaks it is left out the third time."""
    await _keep_old(store)
    for _ in range(2):
        calls, _ = await store.indexing.next_calls()
        assert ["twilio:CA1"] == [call.record.ref for call in calls]
    assert await store.indexing.is_done()


async def test_old_calls_are_found_by_a_part_of_their_ids(store: Store) -> None:
    """Those of a version without an index of names, and those whose parties are known already."""
    await _keep_old(store)
    record = replace(OLD, ref="twilio:CA2", parties=CallParties(customer="+15005550006"))
    assert await store.calls.commit(CallUpdate(record=record, version=0))
    for order in ("ids:", "ids_reversed:"):
        await store.redis.delete(store.keys.named(order))
    # As before the index of names.
    await store.redis.set(store.keys.named("calls_indexed"), "1")
    await store.redis.delete(store.keys.named("calls"))
    assert not await store.listing.is_complete()
    assert ["twilio:CA2"] == await store.listing.find("CA2", sources=("twilio",))
    await CallIndexer(store=store, worker_id="w1", default_region="US").index_old()
    assert await store.listing.is_complete()
    assert ["twilio:CA2"] == await store.listing.find("CA2", sources=("twilio",))
    assert ["twilio:CA1", "twilio:CA2"] == await store.listing.find("CA", sources=("twilio",))


async def test_names_of_expired_calls_go(store: Store) -> None:
    """With their calls; and also where a version before has left them behind, page by page."""
    refs = [f"twilio:CA{number}" for number in range(3000)]
    pipe = store.pool.pipeline(transaction=False)
    for ref in refs:
        pipe.hset(store.keys.call(ref), "v", "1")
    await pipe.execute()
    await store.listing.ids.add(refs)
    await store.redis.delete(*(store.keys.call(ref) for ref in refs[1:]))
    await store.redis.zadd(store.keys.named("calls"), {"twilio:CA1": 1})
    clock = SharedClock()
    await ExpiredCalls(store=store, clock=clock, keep=timedelta(days=30)).drop()
    assert b"twilio:CA1" not in await store.redis.zrange(store.keys.named("ids:"), 0, -1)
    expired = ExpiredCalls(store=store, clock=clock, keep=timedelta(days=30))
    await expired.drop()
    while expired.first_id is not None:
        await expired.drop()
    left = [key async for key in store.pool.scan_iter(match=f"{store.keys.named('ids')}*:*")]
    names = [await store.redis.zrange(key.decode(), 0, -1) for key in left]
    assert [[b"0AC:oiliwt"], [b"twilio:CA0"]] == sorted(names)
