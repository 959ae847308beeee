"""
A call whose link cannot be read: nothing else says which Buildr call it is, until a link is set
again.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.settings import Settings
from service.store.call_update import CallUpdate
from service.store.calls import Calls
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import (
    NAMES,
    REF,
    SECOND,
    WorkerHarness,
    expectation,
    receive,
    state,
)
from workers.matching.reasons import DAMAGED_LINK

DAMAGED = [
    b"damaged",
    b"",
    b"\xff\xfe\x00",
    b'{"buildr_call_id":"12',
    b'{"buildr_call_id":"1\xff"}',
    b'{"buildr_call_id":"../110"}',
    b'{"buildr_call_id":null}',
    '{"buildr_call_id":"\u0000\u00e9\U0001f600'.encode(),
]


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", OWN_NUMBERS="+15005550006"))


async def damage(world: WorkerHarness, stored: bytes = b"damaged", ref: str = REF) -> None:
    """Make the link of a call unreadable."""
    await world.store.redis.set(world.store.keys.link(ref), stored)


@pytest.mark.parametrize("stored", DAMAGED)
async def test_it_is_not_matched_by_its_number(world: WorkerHarness, stored: bytes) -> None:
    """It waits as unmatched, with what to do, and is written as soon as a link is set."""
    await world.store.expected.put(expectation())
    await damage(world, stored)
    await receive(world)
    await world.drain()
    assert (DeliveryState.UNMATCHED, None) == await state(world)
    record = (await world.stored()).record
    assert record.reason.startswith(DAMAGED_LINK)
    assert record.reason.endswith("buildr-calls links set twilio CA1 ID")
    assert {} == world.buildr.held
    assert (False, True) == await world.store.links.put("twilio", "CA1", Link(buildr_call_id="7"))
    await world.drain()
    assert (DeliveryState.DELIVERED, "7") == await state(world)
    assert ["7"] == list(world.buildr.held)


async def test_the_id_in_its_messages_does_not_count_either(world: WorkerHarness) -> None:
    """The link may have been set because that id is wrong."""
    await damage(world)
    await world.receive(
        {"CallSid": "CA1", "CallStatus": "busy", "Direction": "outbound-api", "To": "+15005550001"}
    )
    await world.drain()
    assert (DeliveryState.UNMATCHED, None) == await state(world)
    assert {} == world.buildr.held


async def test_without_the_link_it_is_matched_at_once(world: WorkerHarness) -> None:
    """Who takes a damaged link away says that there is none."""
    await world.store.expected.put(expectation())
    await damage(world)
    await receive(world)
    await world.drain()
    assert await world.store.links.remove("twilio", "CA1")
    await world.drain()
    assert (DeliveryState.DELIVERED, "110") == await state(world)


async def test_what_it_was_linked_to_becomes_nobody_elses(world: WorkerHarness) -> None:
    """A call that was written by its link keeps that Buildr call from being another's."""
    await world.store.expected.put(expectation())
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await receive(world)
    await world.drain()
    await damage(world)
    await receive(world, sequence=5, status="completed", CallDuration="9")
    await world.drain()
    assert DeliveryState.UNMATCHED is (await state(world))[0]
    await receive(world, "CA2")
    await world.drain(SECOND)
    assert (DeliveryState.UNMATCHED, None) == await state(world, SECOND)
    assert 1 == len(world.buildr.requests)


@pytest.mark.parametrize("stored", DAMAGED)
async def test_a_link_that_is_set_while_the_job_runs_is_not_missed(
    world: WorkerHarness, stored: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit compares what is stored then, byte by byte."""
    real = Calls.commit

    async def commit(
        self: Calls, update: CallUpdate, *, worker_id: str | None = None, ends_job: bool = False
    ) -> bool:
        monkeypatch.setattr(Calls, "commit", real)
        await world.store.redis.set(world.store.keys.link(REF), '{"buildr_call_id":"7"}')
        return await real(self, update, worker_id=worker_id, ends_job=ends_job)

    await damage(world, stored)
    await receive(world)
    monkeypatch.setattr(Calls, "commit", commit)
    await world.run()
    assert DeliveryState.UNMATCHED is (await state(world))[0]
    await world.drain()
    assert (DeliveryState.DELIVERED, "7") == await state(world)
