"""
The clock that all share: that of Redis, which never goes back here.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.connection import Store
from service.store.rate_limit.lanes import Lane
from tests.doubles.clock import Skew

pytestmark = pytest.mark.anyio
BACK_MS = 600_000


async def test_a_step_back_does_not_stop_the_clock(store: Store, skew: Skew) -> None:
    """After a step back time goes on from where it was, and the heartbeat reports by how much."""
    before = await store.time()
    skew.ms -= BACK_MS
    at_step = await store.time()
    skew.ms += 5000
    after = await store.time()
    assert before <= at_step < before + timedelta(seconds=2)
    assert timedelta(seconds=5) <= after - at_step < timedelta(seconds=7)
    beat = await store.workers.beat("worker-1", map_digest="")
    assert abs(beat.set_back - timedelta(milliseconds=BACK_MS)) < timedelta(seconds=2)
    assert 600 == pytest.approx((await store.backlog()).clock_set_back_s, abs=2)


@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(steps=st.lists(st.integers(-1_000_000, 1_000_000), max_size=8))
async def test_the_clock_never_goes_back(store: Store, skew: Skew, steps: list[int]) -> None:
    """Whatever steps the clock of Redis makes, each time is later than a second before the last."""
    last = await store.time()
    for step in steps:
        skew.ms += step
        now = await store.time()
        assert now >= last - timedelta(seconds=1)
        last = now


async def test_what_was_due_before_a_step_back_is_due_after_it(store: Store, skew: Skew) -> None:
    """Jobs that are due are taken, although the clock of Redis shows a time before theirs."""
    await store.schedule.wake("twilio:CA1")
    skew.ms -= BACK_MS
    taken = await store.schedule.take(limit=5, read_limit=5, in_progress_s=1)
    assert ["twilio:CA1"] == taken.refs


async def test_a_step_ahead_frees_no_budget(store: Store, skew: Skew) -> None:
    """Requests that count against the budget still count after the clock was set ahead."""
    await store.permits.pump(worker_id="worker-1")
    await _ask(store, 10)
    skew.ms += BACK_MS
    verdicts = await _ask(store, 3)
    assert ["waits"] * 3 == verdicts


async def _ask(store: Store, count: int) -> list[str]:
    grants = [
        await store.permits.ask(
            f"twilio:{number}", lane=Lane.FINAL, since=datetime.now(UTC), cost=1, hold_s=1
        )
        for number in range(100, 100 + count)
    ]
    for grant in grants:
        if grant.permits:
            await store.permits.release(grant, sent=1)
    return [grant.verdict.value for grant in grants]
