"""
Rubbish in Redis: what cannot be read is set aside once, and the rest goes on.
"""

from collections.abc import Callable

import pytest
import structlog

from service.errors import FailureCause
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.failed import FailedFilter
from tests.doubles.redis import RedisServer
from tests.e2e.harness import twilio_forms
from tests.workers.jobs.harness import WorkerHarness
from workers.jobs.planner import Planner

pytestmark = pytest.mark.anyio
FORM = twilio_forms(1)[-1]
REF = f"twilio:{FORM['CallSid']}"


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A worker over an empty Redis."""
    return WorkerHarness(store, make_settings())


async def causes(store: Store) -> list[tuple[str, str, int]]:
    """Kind, cause and number of messages of each failed entry."""
    entries = [entry async for entry in store.failed.select(FailedFilter())]
    return [(entry.kind, entry.cause, len(entry.message_ids)) for entry in entries]


async def unread_ids(store: Store) -> list[str]:
    """The ids of the call's messages that no job has read yet."""
    return list((await store.calls.load(REF)).pending)


@pytest.mark.parametrize(
    "field_or_type", [{"rec": b"\x01damaged"}, {"v": b"many"}, "not a hash at all"]
)
async def test_a_damaged_call_is_set_aside_once(
    world: WorkerHarness, field_or_type: dict[str, bytes] | str
) -> None:
    """A call whose record cannot be read is filed with its messages, and has no alarm any more."""
    await world.receive(FORM)
    key = world.store.keys.call(REF)
    if isinstance(field_or_type, str):
        await world.store.redis.set(key, field_or_type)
    else:
        for field, value in field_or_type.items():
            await world.store.redis.hset(key, field, value)
    await world.run(REF)
    assert [("call", FailureCause.DAMAGED_RECORD.value, 1)] == await causes(world.store)
    assert 0 == await world.store.schedule.due_count()
    assert (0, None) == await world.store.messages.waiting()


async def test_a_damaged_message_does_not_keep_the_others_from_being_read(
    world: WorkerHarness,
) -> None:
    """The message is filed, and the call is made of the rest."""
    for form in twilio_forms(1):
        await world.receive(form)
    first_id, *others = await unread_ids(world.store)
    await world.store.pool.set(world.store.keys.message(first_id), f"{REF}\n\x01damaged")
    await world.run(REF)
    assert set(others) == set((await world.stored(REF)).events)
    assert [("message", FailureCause.DAMAGED_RECORD.value, 1)] == await causes(world.store)


async def test_a_key_that_all_calls_share_sets_none_aside(world: WorkerHarness) -> None:
    """The calls wait until somebody has mended it, and go on then."""
    await world.receive(FORM)
    key = world.store.keys.named("ids:")
    await world.store.redis.set(key, "no sorted set")
    with structlog.testing.capture_logs() as lines:
        await world.run(REF)
    assert [] == await causes(world.store)
    (broken,) = [line for line in lines if line["event"] == "job.broken"]
    assert ("refused", "error", 60) == (
        broken["reason"],
        broken["log_level"],
        round(broken["retry_in_s"], -1),
    )
    assert "WRONGTYPE" in broken["error"]
    await world.store.redis.delete(key)
    world.advance(61)
    await world.run(REF)
    assert (await world.stored(REF)).events


async def test_a_damaged_revision_runs_no_call_for_ever(world: WorkerHarness) -> None:
    """An unmatched call compares it with what it has read."""
    await world.receive(FORM, query="")
    for number in ("+15005550001", FORM["To"], FORM["From"]):
        await world.store.redis.set(world.store.keys.named(f"expected_rev:{number}"), b"\xff")
    await world.run(REF)
    await world.drain(REF)
    assert 0 == await world.store.schedule.due_count()


async def test_a_damaged_replay_request_is_filed_at_once(world: WorkerHarness) -> None:
    """And not as a bug, a day later: the call is made again from its messages."""
    await world.receive(FORM)
    await world.store.redis.hset(world.store.keys.call(REF), "replay", "damaged")
    await world.run(REF)
    assert [("call", FailureCause.DAMAGED_RECORD.value, 1)] == await causes(world.store)


async def test_foreign_jobs_are_removed_from_the_queue(world: WorkerHarness) -> None:
    """Jobs of others, and of names that are no call's, are removed; ours are taken."""
    queue = world.store.keys.queue
    await world.receive(FORM)
    foreign = [b"somebody's job", b"default|", b"default|no-call", b"other|twilio:CA1", b"\xff"]
    await world.store.pool.zadd(queue, dict.fromkeys(foreign, 1.0))
    await world.store.pool.set(f"arq:job:default|{REF}", b"damaged")
    taken = await world.store.schedule.take(limit=10, read_limit=500, in_progress_s=1)
    assert [REF] == taken.refs
    assert len(foreign) == len(taken.foreign_ids)
    assert 1 == await world.store.pool.zcard(queue)


async def test_a_receivers_clock_decides_nothing(world: WorkerHarness) -> None:
    """A message counts as received when Redis took it, however wrong the receiver's clock is."""
    await world.receive(FORM)
    loaded = await world.store.calls.begin(REF, worker_id="w")
    (message,) = loaded.unread.messages
    assert message.taken_at is not None
    assert message.received_at <= message.taken_at


async def test_a_bug_costs_a_growing_pause_and_is_filed_after_a_day(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A call that meets a bug is run again after a minute, then ever later up to an hour, and after a
    day it is filed with its messages; one that a mended version can run goes on.
    """

    async def fail(*_: object, **__: object) -> None:
        raise KeyError("+15005550006")

    await world.receive(FORM)
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as lines:
        patched.setattr(Planner, "plan", fail)
        await world.drain(REF)
    bugs = [line for line in lines if line["event"] == "job.broken"]
    pauses_s = [line["retry_in_s"] for line in bugs[:-1]]
    assert [60, 60, 120] == [round(pause_s, -1) for pause_s in pauses_s[:3]]
    assert pauses_s == sorted(pauses_s)
    assert 3600 == pauses_s[-1]
    assert 24 * 3600 <= sum(pauses_s) < 26 * 3600
    assert bugs[-1]["retry_in_s"] is None
    assert [("call", FailureCause.INTERNAL_ERROR.value, 1)] == await causes(world.store)
    entry = await world.store.failed.get(REF)
    assert entry is not None
    assert "each run for a day has met a bug (KeyError); see the log" == entry.detail


async def test_a_confirmation_that_is_refused_files_nothing(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    """With `REDIS_WAIT=aof` and no append-only file calls wait, and count as damaged no more."""
    settings = make_settings(REDIS_URL=own_redis.url, REDIS_WAIT="aof")
    async with open_store(settings, role="worker") as store:
        world = WorkerHarness(store, settings)
        await world.receive(FORM)
        await store.pool.config_set("appendonly", "no")
        await world.run(REF)
        assert [] == await causes(store)
        assert 1 == await store.schedule.due_count()
