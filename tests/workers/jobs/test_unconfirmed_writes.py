"""
What was sent and never confirmed: Buildr may hold it or not, and in the end it holds what is right.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import (
    CALL,
    NAMES,
    WorkerHarness,
    form,
)

MACHINE = {"CallSid": "CA1", "AnsweredBy": "machine_end_beep"}
HUMAN = {"CallSid": "CA1", "AnsweredBy": "human"}


@pytest.fixture
async def store_with_names(store: Store) -> Store:
    """A store that knows the account's outcomes."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return store


async def outcome(world: WorkerHarness) -> tuple[DeliveryState, str]:
    """The state of the call, and the outcome that Buildr holds."""
    return (await world.stored()).record.state, world.buildr.held["110"]["call_outcome_id"]


async def test_result_that_comes_back_is_written_again(
    store_with_names: Store, make_settings: Callable[..., Settings]
) -> None:
    """After a write whose answer was lost the old result is not taken for what Buildr holds."""
    world = WorkerHarness(store_with_names, make_settings(BUILDR_BUDGETS="1000/1s"))
    await world.receive(form("no-answer", 1))
    await world.drain()
    assert (DeliveryState.DELIVERED, "789") == await outcome(world)
    world.buildr.faults = ["lost answer"]
    await world.receive(form("busy", 3))
    await world.run()
    assert (DeliveryState.RETRYING, "790") == await outcome(world)
    await world.receive(form("no-answer", 4))
    await world.drain()
    assert (DeliveryState.DELIVERED, "789") == await outcome(world)


async def test_own_write_is_not_taken_for_a_persons(
    store_with_names: Store, make_settings: Callable[..., Settings]
) -> None:
    """
    With PROTECT_HAND_EDITS an outcome that was sent from here and never confirmed may be changed.
    """
    world = WorkerHarness(
        store_with_names, make_settings(BUILDR_BUDGETS="1000/1s", PROTECT_HAND_EDITS="true")
    )
    await world.receive(form("no-answer", 1))
    await world.drain()
    world.buildr.faults = ["", "lost answer"]
    await world.receive(form("busy", 3))
    await world.run()
    await world.receive(form("completed", 4, CallDuration="9"))
    await world.drain()
    assert (DeliveryState.DELIVERED, "786") == await outcome(world)


async def test_replay_of_a_call_whose_first_write_was_lost(
    store_with_names: Store, make_settings: Callable[..., Settings]
) -> None:
    """
    A call whose first write arrived unconfirmed, and that failed then, is not taken for one
    that was edited by hand.
    """
    world = WorkerHarness(store_with_names, make_settings(BUILDR_BUDGETS="1000/1s"))
    world.buildr.faults = ["lost answer", "422"]
    for callback in CALL:
        await world.receive(callback)
    await world.run()
    await world.receive(MACHINE)
    await world.drain()
    assert DeliveryState.FAILED is (await world.stored()).record.state
    assert await world.store.calls.request_replay(
        "twilio:CA1", ReplayRequest(lane=Lane.REPLAY, at=world.clock())
    )
    await world.drain()
    assert (DeliveryState.DELIVERED, "787") == await outcome(world)
    assert {} == (await world.stored()).record.in_doubt
