"""
A write whose answer was lost may be carried out after a later one: it is found, and mended.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness

MACHINE = {"CallSid": "CA1", "AnsweredBy": "machine_end_beep"}
READ: dict[str, str] = {}
RECHECKS_S = (60, 300, 1800)


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A worker with room for any number of requests."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))


async def write_late_then_another(world: WorkerHarness) -> None:
    """`Connected` is sent and has no answer; `Left Voicemail` is written after it."""
    world.buildr.faults = ["late"]
    for callback in CALL:
        await world.receive(callback)
    await world.run()
    await world.receive(MACHINE)
    await _run_when_due(world)
    assert "787" == world.buildr.held["110"]["call_outcome_id"]


async def _run_when_due(world: WorkerHarness) -> None:
    record = (await world.stored()).record
    assert record.due_at is not None
    world.advance((record.due_at - world.clock()).total_seconds() + 0.01)
    await world.run()


@pytest.mark.parametrize("late_before", [0, 1, 2])
async def test_late_write_is_found_and_mended(world: WorkerHarness, late_before: int) -> None:
    """Whether it comes before the first, the second or the third recheck."""
    await write_late_then_another(world)
    for _ in range(late_before):
        await _run_when_due(world)
    world.buildr.carry_out_late()
    assert "786" == world.buildr.held["110"]["call_outcome_id"]
    await world.drain()
    record = (await world.stored()).record
    assert (DeliveryState.DELIVERED, "787") == (
        record.state,
        world.buildr.held["110"]["call_outcome_id"],
    )
    assert "late write" in [entry.summary for entry in record.history]


async def test_call_is_read_again_after_1_5_and_30_minutes(world: WorkerHarness) -> None:
    """Without a late write nothing more is sent than three updates without fields."""
    await write_late_then_another(world)
    written_at = (await world.stored()).record.written_at
    assert written_at is not None
    times = []
    for _ in RECHECKS_S:
        await _run_when_due(world)
        times.append(round((world.clock() - written_at).total_seconds()))
    assert list(RECHECKS_S) == times
    assert [("110", READ)] * 3 == world.buildr.requests[2:]
    record = (await world.stored()).record
    assert (None, ()) == (record.due_at, record.unanswered.writes)


async def test_hand_edit_is_left_alone(world: WorkerHarness) -> None:
    """What is in Buildr and was never sent from here was chosen there."""
    await write_late_then_another(world)
    world.buildr.held["110"]["call_outcome_id"] = "790"
    await world.drain()
    assert (DeliveryState.HAND_EDITED, "790") == (
        (await world.stored()).record.state,
        world.buildr.held["110"]["call_outcome_id"],
    )


async def test_same_write_again_needs_no_recheck(world: WorkerHarness) -> None:
    """A late write that would change nothing costs no request."""
    world.buildr.faults = ["lost answer"]
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    assert 2 == len(world.buildr.requests)
    await world.receive(MACHINE)
    await world.drain()
    assert ["787", None, None, None] == [
        fields.get("call_outcome_id") for _, fields in world.buildr.requests[2:]
    ]


async def test_refused_write_needs_no_recheck(world: WorkerHarness) -> None:
    """A 429 or a refused token was not carried out, and never will be."""
    world.buildr.faults = ["401", "429"]
    for callback in CALL:
        await world.receive(callback)
    await world.run()
    await world.run()
    await world.receive(MACHINE)
    await world.drain()
    assert ["786", "786", "787"] == [
        fields.get("call_outcome_id") for _, fields in world.buildr.requests
    ]


async def test_recheck_outlasts_an_outage(world: WorkerHarness) -> None:
    """A recheck that gets no answer is made later."""
    await write_late_then_another(world)
    world.buildr.carry_out_late()
    world.buildr.faults = ["500", "429", "timeout"]
    await world.drain()
    assert "787" == world.buildr.held["110"]["call_outcome_id"]


async def test_answer_that_does_not_show_the_outcome_ends_the_rechecks(
    world: WorkerHarness,
) -> None:
    """What cannot be seen is not asked for again; `explain` says so."""
    await write_late_then_another(world)
    world.buildr.shows_outcome = False
    await world.drain()
    record = (await world.stored()).record
    assert (3, "not checked") == (len(world.buildr.requests), record.history[-1].summary)
