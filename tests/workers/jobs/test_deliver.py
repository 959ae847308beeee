"""
The job, over a real Redis and a simulated Buildr: whatever happens in between, the last state
gets there.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from service.settings import Settings
from service.store.call_update import CallUpdate
from service.store.calls import Calls
from service.store.compression import is_framed
from service.store.connection import Store, open_store
from service.store.delivery_state import DeliveryState
from service.store.failed import FailedFilter
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.lanes import Lane
from tests.doubles.clock import Skew
from tests.trials import trials
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness, form
from workers.jobs.deliver import deliver
from workers.jobs.request_places import RequestPlaces


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))


STEPS = st.lists(
    st.sampled_from(
        ["0", "1", "2", "3", "run", "crash", "500", "429", "timeout", "lost answer", "401", "hour"]
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(
    max_examples=trials(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_last_state_reaches_buildr_whatever_happens(
    steps: list[str], redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """
    Messages in any order, runs, crashes, errors of Buildr: in the end Buildr holds the outcome, and
    all is at rest.
    """
    asyncio.run(_deliver_through(steps, redis_url, make_settings))


async def _deliver_through(
    steps: list[str], redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    options = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="1000/1s", SETTLE_S="0")
    async with open_store(options, role="cli", skew_ms=Skew()) as store:
        await store.pool.flushall()
        await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
        world = WorkerHarness(store, options)
        for step in [*steps, "0", "1", "2", "3"]:
            if step.isdigit() and int(step) < len(CALL):
                await world.receive(CALL[int(step)])
            elif step == "run":
                await world.run()
            elif step == "crash":
                await _crash(world)
            elif step == "hour":
                world.advance(3600)
            else:
                world.buildr.faults.append(step)
        world.buildr.faults = world.buildr.faults[:5]
        await world.drain()
        stored = await world.stored()
        assert DeliveryState.DELIVERED is stored.record.state
        assert {
            "110": {"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"}
        } == _without_time(world.buildr.held)
        assert 0 == len((await store.calls.load("twilio:CA1")).pending)
        assert 0 == await store.failed.count()
        assert [] == await store.pool.keys("bc:default:permit:*")
        await world.inbox.close()


def _without_time(calls: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    # The first write may have gone out before the call's start was known; a time alone is not
    # written again.
    return {
        call_id: {**fields, "recorded_at": "2026-11-02T10:00:00Z"}
        for call_id, fields in calls.items()
    }


async def _crash(world: WorkerHarness) -> None:
    """
    Run the job on a worker that dies after the PATCH and before writing anything down about it.
    """
    ref = "twilio:CA1"
    real = Calls.commit
    commits = count()

    async def dying(self: Calls, change: CallUpdate, **job: Any) -> bool:
        if next(commits) == 1:
            raise RedisConnectionError("the worker died here")
        return await real(self, change, **job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Calls, "commit", dying)
        await world.run(ref)
    # What the dead worker held runs out by itself.
    await world.store.pool.delete(f"bc:default:permit:{ref}")


async def test_recording_after_the_patch_costs_nothing(world: WorkerHarness) -> None:
    """An event that changes nothing material is read and sends no second PATCH."""
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    await world.receive(
        {
            "CallSid": "CA1",
            "RecordingSid": "RE1",
            "RecordingStatus": "completed",
            "RecordingUrl": "https://r.example.test",
        }
    )
    await world.drain()
    assert 1 == len(world.buildr.requests)


async def test_better_result_is_written_again(world: WorkerHarness) -> None:
    """
    A machine that is detected after the first PATCH changes the outcome by a second one with only
    that field.
    """
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    await world.receive({"CallSid": "CA1", "AnsweredBy": "machine_end_beep"})
    await world.drain()
    assert [("110", {"call_outcome_id": "787"})] == world.buildr.requests[1:]


async def test_a_call_without_a_place_gives_its_permit_back(world: WorkerHarness) -> None:
    """While as many requests as may be are under way, nothing is sent, and nothing is lost."""
    await world.receive(CALL[-1])
    runner = world.parts.runner
    calls: list[None] = []
    full = replace(runner, places=RequestPlaces(0, wait_s=0), on_budget=lambda: calls.append(None))
    await deliver({"runner": full}, "default", "twilio:CA1")
    assert 1 == len(calls)
    assert 0 == await world.store.pool.zcard(world.store.keys.named("limit"))
    assert await world.store.pool.zscore("bc:default:due", "twilio:CA1") is not None
    assert ([], 0) == (world.buildr.requests, (await world.stored()).version)
    await world.drain()
    assert 1 == len(world.buildr.requests)
    assert 10 == runner.places.free


async def test_what_a_job_has_read_is_made_small(world: WorkerHarness) -> None:
    """Each message of the call, by the commit of the job."""
    for callback in CALL:
        await world.receive(callback)
    keys = [key async for key in world.store.pool.scan_iter(match=world.store.keys.message("*"))]

    async def framed_count() -> int:
        stored = await world.store.pool.mget(keys)
        return sum(is_framed(value.partition(b"\n")[2]) for value in stored)

    assert len(CALL) == await framed_count()
    await world.drain()
    assert 0 == await framed_count()


async def test_refused_call_is_filed_with_the_answer(world: WorkerHarness) -> None:
    """A 422 stops at once and keeps cause, status and answer; its later events wait with it."""
    world.buildr.faults = ["422"]
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    entry = await world.store.failed.get("twilio:CA1")
    assert entry is not None
    assert ("call", "buildr_rejected", 422, 1) == (
        entry.kind,
        entry.cause,
        entry.answers[-1].status_code,
        entry.attempts,
    )
    assert "fault of the test" in (entry.answers[-1].text or "")
    await world.receive({"CallSid": "CA1", "AnsweredBy": "human"})
    await world.drain()
    assert 1 == len(world.buildr.requests)


async def test_link_to_another_call_takes_a_failed_call_up_again(world: WorkerHarness) -> None:
    """
    A call that failed under one Buildr id goes on by itself when its link names another, and leaves
    the failed list.
    """
    world.buildr.faults = ["404"] * 4
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="99"))
    for callback in CALL:
        await world.receive(callback, query="")
    await world.drain()
    assert 1 == await world.store.failed.count()
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await world.drain()
    assert ["99"] * 4 + ["110"] == [call_id for call_id, _ in world.buildr.requests]
    assert 0 == await world.store.failed.count()


async def test_attempts_run_out(store: Store, make_settings: Callable[..., Settings]) -> None:
    """
    After MAX_ATTEMPTS errors of a call while others get through, it is filed as failed, with its
    answers.
    """
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    world = WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", MAX_ATTEMPTS="3"))
    world.buildr.broken = {"110"}
    await world.receive(CALL[3])
    for number in range(3):
        await world.run()
        await world.receive({**CALL[3], "CallSid": f"CA{number + 2}"}, query="buildr_call_id=220")
        await world.drain(f"twilio:CA{number + 2}")
        world.advance(3600)
    entry = await store.failed.get("twilio:CA1")
    assert entry is not None
    assert ("buildr_unavailable", 3) == (entry.cause, entry.attempts)


@pytest.mark.slow
async def test_outage_costs_a_call_no_attempts(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """
    While Buildr fails for everybody nothing is given up, however long and however often it is
    tried.
    """
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    world = WorkerHarness(
        store, make_settings(BUILDR_BUDGETS="1000/1s", MAX_ATTEMPTS="5", MAX_AGE_H="1")
    )
    world.buildr.faults = ["500"] * 150
    await world.receive(CALL[3])
    await world.drain()
    assert DeliveryState.DELIVERED is (await world.stored()).record.state
    assert 151 == len(world.buildr.requests)
    assert 0 == await store.failed.count()


async def test_unknown_word_is_kept_and_the_call_goes_on(world: WorkerHarness) -> None:
    """
    A status that no vocabulary knows is filed for an operator; the result comes from the statuses
    that are known.
    """
    for callback in (*CALL, form("teleported", 4)):
        await world.receive(callback)
    await world.drain()
    assert DeliveryState.DELIVERED is (await world.stored()).record.state
    (entry,) = [entry async for entry in world.store.failed.select(FailedFilter())]
    assert ("message", "unsupported_event") == (entry.kind, entry.cause)


async def test_call_that_never_ends_is_stalled(world: WorkerHarness) -> None:
    """A call that only rang is reported as stalled after its time, and sends nothing."""
    await world.receive(form("ringing", 1))
    await world.drain()
    assert DeliveryState.STALLED is (await world.stored()).record.state
    assert [] == world.buildr.requests
    assert [b"twilio:CA1"] == await world.store.redis.zrange("bc:default:stalled", 0, -1)


async def test_result_that_is_left_alone_is_counted_once(world: WorkerHarness) -> None:
    """A cancelled call sends nothing and is counted."""
    await world.receive(form("canceled", 1))
    await world.drain()
    await world.run()
    assert {"left_alone.cancelled:twilio": 1} == await world.store.counters.all()
    assert [] == world.buildr.requests


async def test_lost_alarm_is_given_back_by_the_sweep(world: WorkerHarness) -> None:
    """A call whose arq job has vanished gets a new one."""
    await world.receive(CALL[3])
    await world.store.pool.delete("arq:job:default|twilio:CA1", "bc:default:queue")
    await world.store.pool.zadd("bc:default:due", {"twilio:CA1": 1})
    assert 1 == (await world.store.schedule.sweep(in_progress_s=30)).healed
    assert 0 == (await world.store.schedule.sweep(in_progress_s=30)).healed
    assert [b"default|twilio:CA1"] == await world.store.redis.zrange("bc:default:queue", 0, -1)


async def test_permit_that_a_call_no_longer_needs_is_given_back(world: WorkerHarness) -> None:
    """
    A call that was let go and then turns out to need no write leaves its permit to others at once.
    """
    store = replace(
        world.store, permits=dataclasses.replace(world.store.permits, budgets=((1, 300),))
    )
    sender = replace(world.parts.runner.sender, permits=store.permits)
    world.parts = replace(
        world.parts, runner=replace(world.parts.runner, store=store, sender=sender)
    )
    other = await store.permits.ask(
        "twilio:other", lane=Lane.FINAL, since=datetime.now(UTC), cost=1, hold_s=30
    )
    await store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await world.receive(CALL[3], query="")
    await world.run()
    assert DeliveryState.WAITING is (await world.stored()).record.state
    await store.permits.release(other, sent=0)
    assert 1 == (await store.permits.pump()).released
    await store.links.remove("twilio", "CA1")
    await world.run()
    assert DeliveryState.UNMATCHED is (await world.stored()).record.state
    assert await store.pool.zscore("bc:default:due", "twilio:CA1") is None
    assert 0 == await store.redis.zcard("bc:default:limit")


async def test_unmatched_call_whose_time_is_over_is_forgotten_by_name(world: WorkerHarness) -> None:
    """
    Old unmatched calls are dropped, and their names are returned for the log; how often they were
    looked at meanwhile makes them no newer.
    """
    await world.receive(CALL[3], query="")
    await world.run()
    since_ms = await world.store.pool.zscore("bc:default:unmatched", "twilio:CA1")
    world.advance(3600)
    await world.run()
    assert since_ms == await world.store.pool.zscore("bc:default:unmatched", "twilio:CA1")
    assert [] == await world.store.schedule.forget_old(before_ms=1)
    later_ms = int((datetime.now(UTC) + timedelta(days=99)).timestamp() * 1000)
    assert ["twilio:CA1"] == await world.store.schedule.forget_old(before_ms=later_ms)
    assert await world.store.calls.get("twilio:CA1") is None
