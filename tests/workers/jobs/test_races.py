"""
What comes while a job runs: links, replays, pauses. Nothing of it is lost, and no write is made
beside another.
"""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.settings import Settings
from service.store.calls import Calls, LoadedCall
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.failed import FailedFilter
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.grants import Grant, GrantStatus
from service.store.rate_limit.lanes import Lane
from service.store.rate_limit.permits import Permits
from tests.workers.jobs.harness import (
    CALL,
    NAMES,
    WorkerHarness,
    form,
)
from workers.buildr import BuildrClient, UpdatedCall
from workers.delivery.difference import OUTCOME_FIELD as OUTCOME
from workers.replay.failed_entries import select_failed

REF = "twilio:CA1"
AT = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))


async def test_the_first_of_two_runs_counts(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was stopped for a while writes nothing over what another has written since."""
    real = Calls.begin

    async def begin(self: Calls, ref: str, *, worker_id: str) -> LoadedCall:
        loaded = await real(self, ref, worker_id=worker_id)
        monkeypatch.setattr(Calls, "begin", real)
        await world.receive(CALL[3])
        await world.run()
        return loaded

    monkeypatch.setattr(Calls, "begin", begin)
    await world.receive(CALL[0])
    await world.run()
    record = (await world.stored()).record
    assert (DeliveryState.DELIVERED, "786") == (record.state, world.buildr.held["110"].get(OUTCOME))
    await world.drain()
    assert 1 == len(world.buildr.requests)


async def test_a_429_costs_no_attempt(world: WorkerHarness) -> None:
    """The call waits in its lane, however often."""
    world.buildr.faults = ["429", "429", "429"]
    await world.receive(CALL[3])
    await world.run()
    record = (await world.stored()).record
    assert (DeliveryState.WAITING, 0, None) == (record.state, record.attempts, record.retry_at)
    await world.drain()
    assert 4 == len(world.buildr.requests)
    summaries = [entry.summary for entry in (await world.stored()).record.history]
    assert "will retry" not in summaries


async def test_link_that_is_set_while_the_job_decides(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A link set just after the job has found none is noticed when it writes down that the call is
    unmatched.
    """
    real = Calls.begin

    async def begin(self: Calls, ref: str, *, worker_id: str) -> LoadedCall:
        loaded = await real(self, ref, worker_id=worker_id)
        monkeypatch.setattr(Calls, "begin", real)
        await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
        return loaded

    monkeypatch.setattr(Calls, "begin", begin)
    await world.receive(CALL[3], query="")
    await world.run()
    await world.drain()
    assert ["110"] == list(world.buildr.held)


async def test_link_that_changes_while_the_patch_is_under_way(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A corrected link that comes while the wrong call is written leads to the right one."""
    real = BuildrClient.update_call

    async def update(
        self: BuildrClient,
        call_id: str,
        body: dict[str, dict[str, str]],
        *,
        is_in_time: Callable[[], bool],
    ) -> UpdatedCall:
        answer = await real(self, call_id, body, is_in_time=is_in_time)
        monkeypatch.setattr(BuildrClient, "update_call", real)
        await world.store.links.put("twilio", "CA1", Link(buildr_call_id="220"))
        return answer

    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await world.receive(CALL[3], query="")
    monkeypatch.setattr(BuildrClient, "update_call", update)
    await world.drain()
    assert ["110", "220"] == [call_id for call_id, _ in world.buildr.requests]


async def test_replay_that_comes_while_the_job_runs(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A call that is replayed from its events while its job looks at it is run again after
    that job.
    """
    world.buildr.faults = ["422"]
    await world.receive(CALL[3])
    await world.drain()
    real = Calls.begin

    async def begin(self: Calls, ref: str, *, worker_id: str) -> LoadedCall:
        loaded = await real(self, ref, worker_id=worker_id)
        monkeypatch.setattr(Calls, "begin", real)
        (entry,) = await select_failed(world.store, FailedFilter())
        replay_request = ReplayRequest(lane=Lane.REPLAY, at=AT, is_forced=True)
        assert (
            await world.store.failed.replay(
                entry, ref=REF, message_ids=[], replay_request=replay_request
            )
            == 0
        )
        return loaded

    await world.receive(form("completed", 4, CallDuration="9"))
    monkeypatch.setattr(Calls, "begin", begin)
    await world.run()
    await world.drain()
    assert DeliveryState.DELIVERED is (await world.stored()).record.state


async def test_worker_that_was_paused_does_not_send_on_an_old_permit(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A permit that has run out before the request goes out is not used: the call asks for another.
    """
    real = Permits.ask

    async def ask(
        self: Permits, ref: str, *, lane: Lane, since: datetime, cost: int, hold_s: float
    ) -> Grant:
        grant = await real(self, ref, lane=lane, since=since, cost=cost, hold_s=hold_s)
        monkeypatch.setattr(Permits, "ask", real)
        return replace(grant, valid_until=grant.valid_until - hold_s)

    monkeypatch.setattr(Permits, "ask", ask)
    await world.receive(CALL[3])
    await world.run()
    assert [] == world.buildr.requests
    assert 0 == await world.store.redis.zcard("bc:default:limit")
    await world.drain()
    assert 1 == len(world.buildr.requests)


async def test_late_release_leaves_the_next_run_its_permit(world: WorkerHarness) -> None:
    """Permits given back twice, or after they ran out, do not free the call for a second write."""
    permits = world.store.permits
    first = await permits.ask(REF, lane=Lane.FINAL, since=AT, cost=1, hold_s=10)
    await permits.release(first, sent=1)
    second = await permits.ask(REF, lane=Lane.FINAL, since=AT, cost=1, hold_s=10)
    await permits.release(first, sent=1)
    third = await permits.ask(REF, lane=Lane.FINAL, since=AT, cost=1, hold_s=10)
    assert (GrantStatus.GRANTED, GrantStatus.BUSY) == (second.verdict, third.verdict)


async def test_call_whose_permit_ran_out_gets_its_place_back(world: WorkerHarness) -> None:
    """A call that was let go and came too late is before those who joined the lane after it."""
    permits = dataclasses.replace(world.store.permits, budgets=((1, 10_000),))
    other = await permits.ask("twilio:other", lane=Lane.FINAL, since=AT, cost=1, hold_s=30)
    for age, name in enumerate(("a", "b")):
        await permits.ask(
            f"twilio:{name}", lane=Lane.FINAL, since=AT + timedelta(seconds=age), cost=1, hold_s=10
        )
    await permits.release(other, sent=0)
    assert 1 == (await permits.pump()).released
    assert [b"default|twilio:a"] == await world.store.redis.zrange("bc:default:queue", 0, 0)
    await world.store.pool.delete("bc:default:permit:twilio:a")
    assert (
        GrantStatus.WAITS
        is (await permits.ask("twilio:a", lane=Lane.FINAL, since=AT, cost=1, hold_s=10)).verdict
    )
    assert [b"twilio:a", b"twilio:b"] == await world.store.redis.zrange(
        "bc:default:lane:final", 0, -1
    )


async def test_new_link_counts_its_own_attempts(world: WorkerHarness) -> None:
    """What went wrong with one Buildr call is forgotten when a link names another."""
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    world.buildr.faults = ["500", "500", "500"]
    await world.receive(CALL[3], query="")
    await world.run()
    assert 1 == (await world.stored()).record.attempts
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="220"))
    await world.run()
    assert (1, "220") == (
        (stored := await world.stored()).record.attempts,
        stored.record.buildr_call_id,
    )


async def test_discarded_call_is_not_kept_for_ever(world: WorkerHarness) -> None:
    """A failed call is kept for KEEP_OPEN_D, and for KEEP_CALLS_D once it is discarded."""
    world.buildr.faults = ["422"]
    await world.receive(CALL[3])
    await world.drain()
    key = world.store.keys.call(REF)
    day_ms = 86_400_000
    assert await world.store.pool.pttl(key) > 364 * day_ms
    (entry,) = await select_failed(world.store, FailedFilter())
    failed = replace(world.store.failed, keep_calls_ms=30 * day_ms)
    assert await failed.discard(entry)
    assert 29 * day_ms < await world.store.pool.pttl(key) <= 30 * day_ms


async def test_raw_messages_are_kept_longer_only_while_a_call_is_not_done(
    world: WorkerHarness,
) -> None:
    """
    While a call waits or has failed its raw messages stay for KEEP_FAILED_D, and for
    KEEP_MESSAGES_D once Buildr holds it.
    """
    day_ms = 86_400_000
    world.buildr.faults = ["500"]
    await world.receive(CALL[3])
    await world.run()
    (message_id,) = (await world.stored()).events
    key = world.store.keys.message(message_id)
    assert await world.store.pool.pttl(key) > 29 * day_ms
    await world.drain()
    assert DeliveryState.DELIVERED is (await world.stored()).record.state
    assert 6 * day_ms < await world.store.pool.pttl(key) <= 7 * day_ms


async def test_entry_of_a_message_goes_when_it_can_be_read(world: WorkerHarness) -> None:
    """
    A message filed for an unknown word leaves the list when a later look at it finds nothing
    strange.
    """
    await world.receive(CALL[3])
    await world.run()
    (message_id,) = (await world.stored()).events
    await world.store.pool.zadd("bc:default:failed", {message_id: 1})
    await world.store.pool.set(f"bc:default:f:{message_id}", "{}")
    pipe = world.store.redis.pipeline(transaction=False)
    pipe.rpush(f"bc:default:pending:{REF}", message_id)
    await pipe.execute()
    await world.run()
    assert 0 == await world.store.failed.count()
