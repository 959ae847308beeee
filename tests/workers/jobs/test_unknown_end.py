"""
Calls whose end never comes, over a real Redis: what the operator chose for them is written after
the time for it, and a late end corrects it.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness, form

HOUR_S = 3600
IN_TWO_HOURS = {"after_minutes": 120, "stage": "in_progress", "source": "twilio"}
IDS = dict(NAMES)


@pytest.fixture
def open_world(
    store: Store, make_settings: Callable[..., Settings]
) -> Callable[[dict[str, object]], WorkerHarness]:
    """Makes a worker with this map of outcomes."""

    def make(config: dict[str, object]) -> WorkerHarness:
        settings = make_settings(BUILDR_BUDGETS="1000/1s").model_copy(
            update={"outcome_config": OutcomeConfig.model_validate(config)}
        )
        return WorkerHarness(store, settings)

    return make


@pytest.fixture(autouse=True)
async def outcomes(store: Store) -> None:
    """The outcomes of the account are known."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))


async def state(world: WorkerHarness) -> tuple[DeliveryState, str | None]:
    """The state of the call's delivery, and the outcome that was decided."""
    record = (await world.stored()).record
    return record.state, record.outcome


async def answered_call(world: WorkerHarness) -> None:
    """A call that was answered, and of which nothing comes after that."""
    for callback in CALL[:3]:
        await world.receive(callback)


async def test_unknown_end_is_written_after_its_time_and_corrected_by_a_late_end(
    open_world: Callable[[dict[str, object]], WorkerHarness],
) -> None:
    """
    Not before its time, and not as anything but what the operator chose; the end that comes after
    all has its own outcome.
    """
    world = open_world(
        {"outcomes": {"unknown_end": "No Answer"}, "unknown_end": [IN_TWO_HOURS]},
    )
    await answered_call(world)
    await world.run()
    world.advance(2 * HOUR_S - 60)
    await world.run()
    assert [] == world.buildr.requests
    await world.drain()
    assert (DeliveryState.DELIVERED, "No Answer") == await state(world)
    assert "unknown_end" == (await world.stored()).record.result
    await world.receive(CALL[3])
    await world.drain()
    assert (DeliveryState.DELIVERED, "Connected") == await state(world)
    assert [IDS["No Answer"], IDS["Connected"]] == [
        fields["call_outcome_id"] for _, fields in world.buildr.requests
    ]


async def test_unknown_end_that_is_mapped_to_nothing_stays_listed_as_stalled(
    open_world: Callable[[dict[str, object]], WorkerHarness],
) -> None:
    """Without an outcome for it nothing is written, and the call is among the stalled ones."""
    world = open_world({"unknown_end": [IN_TWO_HOURS]})
    await answered_call(world)
    await world.drain()
    assert (DeliveryState.STALLED, None) == await state(world)
    assert [] == world.buildr.requests


async def test_rule_for_stalled_calls_decides_by_stage(
    open_world: Callable[[dict[str, object]], WorkerHarness],
) -> None:
    """A time that is only for calls in progress leaves one that rings alone."""
    rule = {"when": {"result": "unknown_end", "source": "twilio"}, "outcome": "Connected"}
    world = open_world({"rules": [rule], "unknown_end": [IN_TWO_HOURS]})
    await world.receive(form("ringing", 1))
    await world.drain()
    assert (DeliveryState.STALLED, None) == await state(world)
    await world.receive(CALL[2])
    await world.drain()
    assert (DeliveryState.DELIVERED, "Connected") == await state(world)


async def test_later_message_starts_the_time_anew(
    open_world: Callable[[dict[str, object]], WorkerHarness],
) -> None:
    """A call of which something is still reported goes on."""
    world = open_world({"outcomes": {"unknown_end": "No Answer"}, "unknown_end": [IN_TWO_HOURS]})
    await world.receive(CALL[1])
    await world.receive(CALL[2])
    await world.run()
    received_at = (await world.stored()).record.last_received_at
    world.advance(HOUR_S)
    await world.receive(CALL[0])
    await world.run()
    record = (await world.stored()).record
    assert received_at is not None
    assert record.last_received_at is not None
    assert record.last_received_at > received_at
    assert DeliveryState.OPEN is record.state
