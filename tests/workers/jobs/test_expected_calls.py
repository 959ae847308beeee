"""
Expected calls and the job: registered before or after the call, by several calls at once, changed
while the job runs.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.settings import Settings
from service.store.call_update import CallUpdate
from service.store.calls import Calls
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.expectations import CandidateSnapshot, ExpectedCall
from service.store.expected_calls import ExpectedCalls
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import (
    CUSTOMER,
    NAMES,
    REF,
    SECOND,
    WorkerHarness,
    expectation,
    receive,
    state,
)
from workers.buildr import BuildrClient, UpdatedCall


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", OWN_NUMBERS="+15005550006"))


async def test_call_that_is_expected_is_written(world: WorkerHarness) -> None:
    """
    A call without an id is written to the Buildr call that was registered, filed under what was
    stated, and keeps it.
    """
    await world.store.expected.put(expectation(project_id="372"))
    await receive(world)
    await world.drain()
    assert {"110": "372"} == {
        name: fields["project_id"] for name, fields in world.buildr.held.items()
    }
    await world.store.expected.put(expectation("111"))
    await receive(world, sequence=5, status="completed", CallDuration="9")
    await world.drain()
    assert ["110"] == list(world.buildr.held)


async def test_rep_registers_after_hanging_up(world: WorkerHarness) -> None:
    """A call that waits unmatched is written as soon as its number is expected."""
    await receive(world)
    await world.run()
    await world.drain()
    assert (DeliveryState.UNMATCHED, None) == await state(world)
    assert 1 == (await world.store.expected.put(expectation())).woken
    await world.drain()
    assert (DeliveryState.DELIVERED, "110") == await state(world)
    assert 0 == (await world.store.expected.put(expectation())).woken


async def test_registration_between_read_and_commit(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What is registered just after the job has found nothing is noticed when it writes that down.
    """
    real = ExpectedCalls.read_candidates

    async def read_candidates(
        self: ExpectedCalls, ref: str, numbers: list[str], *, at: datetime | None = None
    ) -> CandidateSnapshot:
        snapshot = await real(self, ref, numbers, at=at)
        monkeypatch.setattr(ExpectedCalls, "read_candidates", real)
        await self.put(expectation())
        return snapshot

    monkeypatch.setattr(ExpectedCalls, "read_candidates", read_candidates)
    await receive(world)
    await world.run()
    assert DeliveryState.UNMATCHED is (await state(world))[0]
    await world.drain()
    assert (DeliveryState.DELIVERED, "110") == await state(world)


async def test_two_calls_and_one_expectation(world: WorkerHarness) -> None:
    """
    Of two calls with the number at the same time one is written, and the other waits for an
    operator.
    """
    await world.store.expected.put(expectation())
    await receive(world)
    await receive(world, "CA2")
    await asyncio.gather(world.run(), world.run(SECOND))
    await world.drain()
    await world.drain(SECOND)
    states = sorted([await state(world), await state(world, SECOND)], key=str)
    assert [(DeliveryState.DELIVERED, "110"), (DeliveryState.UNMATCHED, None)] == states
    assert 1 == len(world.buildr.requests)


async def test_lost_claim_is_planned_again(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call whose expected call is taken between choice and claim gets the other one that fits."""
    real = ExpectedCalls.claim

    async def claim(self: ExpectedCalls, ref: str, expected: ExpectedCall, *, number: str) -> bool:
        monkeypatch.setattr(ExpectedCalls, "claim", real)
        await self.take(SECOND, "110")
        await self.put(expectation("111"))
        return await real(self, ref, expected, number=number)

    await world.store.expected.put(expectation())
    monkeypatch.setattr(ExpectedCalls, "claim", claim)
    await receive(world)
    await world.run()
    await world.drain()
    assert (DeliveryState.DELIVERED, "111") == await state(world)


async def test_crash_between_claim_and_commit(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A worker that dies after claiming leaves the claim to the next run of the same call, and to no
    other.
    """
    real = Calls.commit

    async def commit(self: Calls, change: CallUpdate, **_job: object) -> bool:
        monkeypatch.setattr(Calls, "commit", real)
        raise ConnectionResetError("the worker dies")

    await world.store.expected.put(expectation())
    monkeypatch.setattr(Calls, "commit", commit)
    await receive(world)
    await world.run()
    # The permit of a run that is dead ends by itself.
    await world.store.pool.delete(world.store.keys.named(f"permit:{REF}"))
    await receive(world, "CA2")
    await world.run(SECOND)
    await world.drain(SECOND)
    assert (DeliveryState.UNMATCHED, None) == await state(world, SECOND)
    await world.run()
    await world.drain()
    assert (DeliveryState.DELIVERED, "110") == await state(world)


async def test_link_gives_the_expected_call_back(world: WorkerHarness) -> None:
    """A call that a link names gives its expected call to the one that waits for it."""
    await world.store.expected.put(expectation())
    await receive(world)
    await world.run()
    await world.drain()
    await receive(world, "CA2")
    await world.run(SECOND)
    await world.drain(SECOND)
    assert DeliveryState.UNMATCHED is (await state(world, SECOND))[0]
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="119"))
    await world.drain()
    await world.drain(SECOND)
    assert ((DeliveryState.DELIVERED, "119"), (DeliveryState.DELIVERED, "110")) == (
        await state(world),
        await state(world, SECOND),
    )


async def test_id_of_its_own_takes_the_expected_call(world: WorkerHarness) -> None:
    """
    A call that names its Buildr call by itself takes its entry, so that the next call with the
    number is not ambiguous.
    """
    await world.store.expected.put(expectation("110"))
    await receive(world, query="buildr_call_id=110")
    await world.run()
    await world.drain()
    await world.store.expected.put(expectation("111"))
    await receive(world, "CA2")
    await world.run(SECOND)
    await world.drain(SECOND)
    assert (DeliveryState.DELIVERED, "111") == await state(world, SECOND)


async def test_ambiguity_ends_when_one_is_removed(world: WorkerHarness) -> None:
    """
    Two that fit leave the call unmatched, with both named; it goes on when one of them is taken
    away.
    """
    await world.store.expected.put(expectation("110"))
    await world.store.expected.put(expectation("111"))
    await receive(world)
    await world.run()
    await world.drain()
    assert "Buildr calls 110 and 111" in (await world.stored()).record.reason
    await world.store.expected.remove("110")
    await world.drain()
    assert (DeliveryState.DELIVERED, "111") == await state(world)


async def test_removed_entry_leaves_its_call_unmatched(world: WorkerHarness) -> None:
    """
    A call whose expected call is taken away is unmatched again, and the right one still finds it.
    """
    await world.store.expected.put(expectation("110"))
    await receive(world)
    await world.run()
    await world.drain()
    await world.store.expected.remove("110")
    await world.drain()
    assert (DeliveryState.UNMATCHED, None) == await state(world)
    await world.store.expected.put(expectation("111"))
    await world.drain()
    assert (DeliveryState.DELIVERED, "111") == await state(world)


async def test_internal_call_is_left_alone(world: WorkerHarness) -> None:
    """A call between two own telephones is not looked for in Buildr."""
    await world.store.expected.put(expectation())
    await receive(world, To="client:ben", From="client:ana")
    await world.run()
    await world.drain()
    assert DeliveryState.LEFT_ALONE is (await state(world))[0]
    assert "internal call" in (await world.stored()).record.reason


async def test_nothing_of_a_matched_call_stays_in_the_index(world: WorkerHarness) -> None:
    """Only calls that are unmatched are found by number, and a forgotten one is not."""
    name = world.store.keys.named(f"unmatched:{CUSTOMER}")
    await receive(world)
    await world.run()
    await world.drain()
    assert [REF.encode()] == await world.store.redis.zrange(name, 0, -1)
    assert 0 < await world.store.pool.pttl(name)
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="119"))
    await world.drain()
    assert [] == await world.store.redis.zrange(name, 0, -1)
    await receive(world, "CA2")
    await world.run(SECOND)
    await world.drain(SECOND)
    later = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    assert [SECOND] == await world.store.schedule.forget_old(before_ms=later)
    assert [] == await world.store.redis.zrange(name, 0, -1)


async def test_look_while_the_patch_is_under_way(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A second call that is looked at while the first one's PATCH is under way does not get the same
    Buildr call.
    """
    real = BuildrClient.update_call

    async def update(
        self: BuildrClient,
        call_id: str,
        body: dict[str, dict[str, str]],
        *,
        is_in_time: Callable[[], bool],
    ) -> UpdatedCall:
        monkeypatch.setattr(BuildrClient, "update_call", real)
        await receive(world, "CA2")
        await world.run(SECOND)
        await world.drain(SECOND)
        return await real(self, call_id, body, is_in_time=is_in_time)

    await world.store.expected.put(expectation())
    await receive(world)
    monkeypatch.setattr(BuildrClient, "update_call", update)
    await world.run()
    await world.drain()
    assert 1 == len(world.buildr.requests)
    assert DeliveryState.UNMATCHED is (await state(world, SECOND))[0]
