"""
A captured message that is sent again after its call was forgotten does not overwrite anything.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import NAMES, WorkerHarness, form

READ: dict[str, str] = {}


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A worker that remembers calls for 30 days."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    options = make_settings(BUILDR_BUDGETS="1000/1s", KEEP_CALLS_D="30", PROTECT_HAND_EDITS="true")
    return WorkerHarness(store, options)


async def receive(world: WorkerHarness, *, days_ago: float) -> None:
    """Receive the end of a call that was over so many days ago, and let it be delivered."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    await world.receive(form("busy", 3, Timestamp=at.strftime("%a, %d %b %Y %H:%M:%S +0000")))
    await world.drain()


async def test_old_message_overwrites_nothing(world: WorkerHarness) -> None:
    """Buildr is read first, and what it holds stays."""
    world.buildr.held["110"] = {"call_outcome_id": "786"}
    await receive(world, days_ago=31)
    record = (await world.stored()).record
    assert ("hand_edited", [("110", READ)], "786") == (
        record.state.value,
        world.buildr.requests,
        world.buildr.held["110"]["call_outcome_id"],
    )


async def test_old_call_without_an_outcome_is_written(world: WorkerHarness) -> None:
    """A message that is really late finds a call that has no outcome yet."""
    await receive(world, days_ago=31)
    assert [READ, "790"] == [
        world.buildr.requests[0][1],
        world.buildr.requests[1][1]["call_outcome_id"],
    ]
    assert "delivered" == (await world.stored()).record.state.value


async def test_call_of_yesterday_costs_one_request(world: WorkerHarness) -> None:
    """Nothing is read first where the call would still be remembered."""
    await receive(world, days_ago=1)
    assert 1 == len(world.buildr.requests)


async def test_message_without_a_time_overwrites_nothing(world: WorkerHarness) -> None:
    """With PROTECT_HAND_EDITS a call of unknown age is read first too."""
    world.buildr.held["110"] = {"call_outcome_id": "786"}
    callback = form("busy", 3)
    del callback["Timestamp"]
    await world.receive(callback)
    await world.drain()
    assert [("110", READ)] == world.buildr.requests
