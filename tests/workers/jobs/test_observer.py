"""
What is counted of a call that takes more than one job.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from service.settings import Settings
from service.store.connection import Store
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness, form


async def test_outcome_of_a_settled_call_is_counted_once(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """Not when it is decided, but when Buildr has it; and not again with a later message."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    world = WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", SETTLE_S="2"))
    for message in CALL:
        await world.receive(message)
    await world.run()
    assert {} == world.parts.tally.outcomes
    await world.drain()
    await world.receive(form("completed", 4, CallDuration="10"))
    await world.drain()
    assert [1] == list(world.parts.tally.outcomes.values())
