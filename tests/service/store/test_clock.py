"""
The clock that all share: that of Redis, which never goes back here.
"""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.clock import agrees_in_s
from service.store.connection import Store
from service.store.rate_limit.lanes import Lane
from tests.doubles.clock import Skew

pytestmark = pytest.mark.anyio
BACK_MS = 600_000
MS = timedelta(milliseconds=1)


async def test_a_step_back_does_not_stop_the_clock(store: Store, skew: Skew) -> None:
    """
    After a step back time goes on from where it was at nine tenths of its pace, and the heartbeat
    reports by how much it is ahead.
    """
    before = await store.time()
    skew.ms -= BACK_MS
    at_step = await store.time()
    skew.ms += 5000
    after = await store.time()
    assert before <= at_step < before + timedelta(seconds=2)
    assert timedelta(seconds=4.5) <= after - at_step < timedelta(seconds=7)
    beat = await store.workers.beat("worker-1", map_digest="")
    assert abs(beat.set_back - timedelta(milliseconds=BACK_MS)) < timedelta(seconds=2)
    assert 600 == pytest.approx((await store.backlog()).clock_set_back_s, abs=2)


# What the clock of Redis does, in ms: time that passes, or a step back. One of less than two
# seconds may be waited out, or go unnoticed.
MOVES = st.one_of(st.integers(0, 1_000_000), st.integers(-1_000_000, -2000))


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(moves=st.lists(MOVES, min_size=1, max_size=8))
async def test_the_clock_is_slower_while_it_is_ahead(
    store: Store, skew: Skew, moves: list[int]
) -> None:
    """
    Whatever the clock of Redis does, ours never goes back, never runs faster than time, never
    slower than nine tenths of it, and in the end agrees with Redis.
    """
    await store.redis.delete(store.keys.named("clock"))
    skew.ms = 0
    last = await store.time()
    for move in moves:
        started_s = time.monotonic()
        skew.ms += move
        now = await store.time()
        # A step back is continued from the end of the second in which the last time was written.
        fastest_ms = max(move, 1001) + (time.monotonic() - started_s) * 1000 + 1001
        assert max(0, move * 0.9 - 1) <= (now - last) / MS <= fastest_ms
        last = now
    ahead_s = (await store.backlog()).clock_set_back_s
    skew.ms += int(agrees_in_s(ahead_s) * 1000) + 100
    assert timedelta() == (await store.workers.beat("worker-1", map_digest="")).set_back
    assert 0 == (await store.backlog()).clock_set_back_s


async def test_a_note_that_redis_refuses_does_not_stop_the_clock(store: Store, skew: Skew) -> None:
    """Where the clock cannot be written, as on a replica, each script still reads a time."""
    key = store.keys.named("clock")
    last_ms = 10**13
    await store.redis.hset(key, "last", last_ms)
    await store.pool.config_set("min-replicas-to-write", 1)
    try:
        assert last_ms + 1000 == (await store.time()).timestamp() * 1000
    finally:
        await store.pool.config_set("min-replicas-to-write", 0)
    assert {b"last": b"10000000000000"} == await store.redis.hgetall(key)


async def test_killed_workers_are_forgotten_after_a_day(store: Store, skew: Skew) -> None:
    """What they have left is dropped, and those that live stay."""
    await store.workers.beat("dead", map_digest="old")
    skew.ms += 25 * 3600 * 1000
    await store.workers.beat("alive", map_digest="new")
    assert 1 == await store.workers.forget_dead()
    assert 0 == await store.workers.forget_dead()
    assert {"alive": "new"} == await store.workers.map_digests()


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
