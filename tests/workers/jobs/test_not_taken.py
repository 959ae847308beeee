"""
A 200 that shows another value than was sent has not written it.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness

MACHINE = {"CallSid": "CA1", "AnsweredBy": "machine_end_beep"}
MakeWorld = Callable[..., WorkerHarness]


@pytest.fixture
async def make_world(store: Store, make_settings: Callable[..., Settings]) -> MakeWorld:
    """Make a worker with room for any number of requests."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return lambda **values: WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", **values))


async def deliver(world: WorkerHarness) -> None:
    """Receive the call and let time pass until it is at rest."""
    for callback in CALL:
        await world.receive(callback)
    await world.drain()


async def test_outcome_that_was_not_taken_is_sent_again(make_world: MakeWorld) -> None:
    """Buildr answers 200 and shows no outcome; the next write is taken."""
    world = make_world()
    world.buildr.faults = ["not taken"]
    await deliver(world)
    assert (DeliveryState.DELIVERED, "786", 2) == (
        (await world.stored()).record.state,
        world.buildr.held["110"]["call_outcome_id"],
        len(world.buildr.requests),
    )


async def test_outcome_that_is_never_taken_is_filed(make_world: MakeWorld) -> None:
    """After six writes the call has failed, with a cause of its own; a replay writes it."""
    world = make_world()
    world.buildr.faults = ["not taken"] * 6
    await deliver(world)
    entry = await world.store.failed.get("twilio:CA1")
    assert entry is not None
    assert (DeliveryState.FAILED, "not_taken", 6) == (
        (await world.stored()).record.state,
        entry.cause,
        entry.attempts,
    )
    assert "call_outcome_id null instead of 786" in entry.detail
    request = ReplayRequest(lane=Lane.REPLAY, at=world.clock())
    assert await world.store.calls.request_replay("twilio:CA1", request)
    await world.drain()
    assert (DeliveryState.DELIVERED, 0) == (
        (await world.stored()).record.state,
        await world.store.failed.count(),
    )


@pytest.mark.parametrize(("protects", "state"), [("true", "hand_edited"), ("false", "failed")])
async def test_other_outcome_may_be_a_hand_edit(
    make_world: MakeWorld, protects: str, state: str
) -> None:
    """With PROTECT_HAND_EDITS an outcome that Buildr shows instead is left to whoever chose it."""
    world = make_world(PROTECT_HAND_EDITS=protects)
    world.buildr.held["110"] = {"call_outcome_id": "790"}
    world.buildr.faults = ["not taken"] + [""] * (protects == "true") + ["not taken"] * 5
    await deliver(world)
    assert (state, "790") == (
        (await world.stored()).record.state.value,
        world.buildr.held["110"]["call_outcome_id"],
    )


async def test_answer_that_does_not_show_the_outcome_is_no_failure(make_world: MakeWorld) -> None:
    """Buildr's reference is incomplete; the history says what was not shown."""
    world = make_world()
    world.buildr.shows_outcome = False
    await deliver(world)
    record = (await world.stored()).record
    assert (DeliveryState.DELIVERED, 1) == (record.state, len(world.buildr.requests))
    assert "not shown in the answer: call_outcome_id" in record.history[-1].detail


async def test_replay_leaves_what_it_cannot_see(make_world: MakeWorld) -> None:
    """Where the outcome is not shown, a replay may not write over it; a forced one does."""
    world = make_world()
    world.buildr.faults = ["422"]
    await deliver(world)
    world.buildr.shows_outcome = False
    for is_forced, state in ((False, DeliveryState.HAND_EDITED), (True, DeliveryState.DELIVERED)):
        request = ReplayRequest(lane=Lane.REPLAY, at=world.clock(), is_forced=is_forced)
        await world.store.calls.request_replay("twilio:CA1", request)
        await world.drain()
        assert state is (await world.stored()).record.state


async def test_link_ids_that_were_not_taken_are_sent_again(make_world: MakeWorld) -> None:
    """Only what Buildr does not hold is sent again, and the outcome stays written."""
    world = make_world()
    world.buildr.shows_filing = True
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110", company_id="0753"))
    world.buildr.loses = {"company_id"}
    for callback in CALL:
        await world.receive(callback, query="")
    await world.run()
    world.buildr.loses = set()
    await world.drain()
    assert [{"company_id": "0753"}] == [fields for _, fields in world.buildr.requests[1:]]
    assert DeliveryState.DELIVERED is (await world.stored()).record.state
