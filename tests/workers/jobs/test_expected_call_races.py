"""
Expected calls at the wrong moment: registered late, taken away while a PATCH is under way, a worker
that dies in between.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.settings import Settings
from service.store.call_update import CallUpdate
from service.store.calls import Calls
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import NAMES, SECOND, WorkerHarness, expectation, receive, state
from workers.buildr import BuildrClient, UpdatedCall


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", OWN_NUMBERS="+15005550006"))


@pytest.mark.parametrize("is_removed_first", [False, True])
async def test_entry_of_a_call_that_is_known_for_certain_goes_to_nobody_else(
    world: WorkerHarness, is_removed_first: bool
) -> None:
    """
    A Buildr call that a webhook has named is not given to another call, though it is registered
    late, or anew.
    """
    if is_removed_first:
        await world.store.expected.put(expectation())
    await receive(world, query="buildr_call_id=110")
    await world.drain()
    if is_removed_first:
        await world.store.expected.remove("110")
        await world.drain()
    await world.store.expected.put(expectation())
    await receive(world, "CA2")
    await world.drain(SECOND)
    assert [(DeliveryState.DELIVERED, "110"), (DeliveryState.UNMATCHED, None)] == [
        await state(world),
        await state(world, SECOND),
    ]


async def test_claim_of_a_worker_that_died_is_freed(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A call that has claimed an entry when its worker dies, and turns out to be in conflict, leaves
    the entry to another call.
    """
    await world.store.expected.put(expectation())
    await receive(world)

    async def dying(_self: Calls, _change: CallUpdate, **_job: object) -> bool:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(Calls, "commit", dying)
        with pytest.raises(asyncio.CancelledError):
            await world.run()
    await receive(world, sequence=5, query="buildr_call_id=200")
    await receive(world, sequence=6, query="buildr_call_id=201")
    await world.drain()
    await receive(world, "CA2")
    await world.drain(SECOND)
    assert (DeliveryState.DELIVERED, "110") == await state(world, SECOND)


async def test_entry_that_is_removed_while_the_patch_is_under_way(
    world: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that had it notices, so that the Buildr call is never two calls' at once."""
    real = BuildrClient.update_call

    async def update(
        self: BuildrClient,
        call_id: str,
        body: dict[str, dict[str, str]],
        *,
        is_in_time: Callable[[], bool],
    ) -> UpdatedCall:
        monkeypatch.setattr(BuildrClient, "update_call", real)
        answer = await real(self, call_id, body, is_in_time=is_in_time)
        await world.store.expected.remove("110")
        return answer

    await world.store.expected.put(expectation())
    await receive(world)
    monkeypatch.setattr(BuildrClient, "update_call", update)
    await world.drain()
    assert DeliveryState.UNMATCHED is (await state(world))[0]


async def test_link_that_is_taken_away_leaves_no_guess_behind(world: WorkerHarness) -> None:
    """
    An entry that a wrong link has led to, and whose window speaks against it, is not kept once the
    link is gone.
    """
    later = datetime.now(UTC) + timedelta(hours=1)
    window = replace(expectation(), not_before=later, not_after=later + timedelta(hours=1))
    await world.store.expected.put(window)
    await receive(world)
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await world.drain()
    assert (DeliveryState.DELIVERED, "110") == await state(world)
    await world.store.links.remove("twilio", "CA1")
    await world.run()
    await world.drain()
    assert DeliveryState.UNMATCHED is (await state(world))[0]


async def test_what_it_is_filed_under_may_come_later(world: WorkerHarness) -> None:
    """
    Registering the same Buildr call again with its company sends that along, though the call was
    written before.
    """
    await world.store.expected.put(expectation())
    await receive(world)
    await world.drain()
    await world.store.expected.put(expectation(company_id="5"))
    await world.drain()
    assert "5" == world.buildr.held["110"]["company_id"]
