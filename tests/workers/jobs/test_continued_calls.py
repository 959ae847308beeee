"""
Legs that move to another id of their source, over a real Redis: one call under the first id,
whatever arrives first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random

import pytest

from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.messages import Message, message_id
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import NAMES, WorkerHarness
from workers.jobs.deliver import deliver

FIRST = "vonage:CON-1"
SECOND = "vonage:CON-2"
THIRD = "vonage:CON-3"
CALLER = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
AGENT = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
STRANGER = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"


def leg_event(
    leg_id: str, status: str, at_s: int, *, call_id: str = "CON-1", **more: str
) -> dict[str, str]:
    """One event of a leg, some seconds after the start."""
    direction = "outbound" if leg_id == AGENT else "inbound"
    return {
        "uuid": leg_id,
        "conversation_uuid": call_id,
        "status": status,
        "direction": direction,
        "from": "15005550006" if leg_id == AGENT else "15005550001",
        "to": "15005550008" if leg_id == AGENT else "15005550006",
        "timestamp": f"2026-11-02T10:{at_s // 60:02d}:{at_s % 60:02d}.000Z",
        **more,
    }


def moved(leg_id: str, at_s: int, *, old: str = "CON-1", new: str = "CON-2") -> dict[str, str]:
    """The event of a leg that moves."""
    return {
        "type": "transfer",
        "uuid": leg_id,
        "conversation_uuid_from": old,
        "conversation_uuid_to": new,
        "timestamp": f"2026-11-02T10:{at_s // 60:02d}:{at_s % 60:02d}.000Z",
    }


MOVED_CALL: Sequence[Mapping[str, str]] = (
    leg_event(CALLER, "ringing", 0),
    leg_event(CALLER, "answered", 1),
    moved(CALLER, 10),
    leg_event(AGENT, "ringing", 12, call_id="CON-2"),
    leg_event(AGENT, "answered", 20, call_id="CON-2"),
    leg_event(
        AGENT,
        "completed",
        110,
        call_id="CON-2",
        duration="90",
        start_time="2026-11-02T10:00:20.000Z",
        end_time="2026-11-02T10:01:50.000Z",
    ),
    leg_event(CALLER, "completed", 111, call_id="CON-2", duration="110"),
)


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A worker with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))


async def receive(world: WorkerHarness, body: Mapping[str, str]) -> str:
    """Accept one webhook, whose address names Buildr call 110; returns its call."""
    request = WebhookRequest(
        method="POST",
        url="https://hooks.example.test/webhooks/vonage",
        headers={"content-type": ("application/json",)},
        body=json.dumps(body).encode(),
        buildr_call_id="110",
    )
    keys = SOURCES["vonage"].keys(request)
    await world.inbox.accept(
        Message(
            message_id=message_id("vonage", keys.message_key),
            source="vonage",
            source_call_id=keys.source_call_id,
            received_at=datetime.now(UTC),
            request=request,
        )
    )
    return f"vonage:{keys.source_call_id}"


async def run(world: WorkerHarness, ref: str) -> None:
    """Run a call's job as arq would."""
    await deliver({"runner": world.parts.runner, "job_id": f"default|{ref}"}, "default", ref)


async def come_to_rest(world: WorkerHarness) -> None:
    """Run whatever is due, in the order in which it is due."""
    for _ in range(200):
        await world.store.permits.pump()
        due = await world.store.pool.zrange("bc:default:due", 0, 0, withscores=True)
        if not due:
            return
        ((ref, at_ms),) = due
        world.advance(max(0.0, at_ms / 1000 - world.clock().timestamp()) + 0.001)
        await run(world, ref.decode())
    raise AssertionError("the calls never came to rest")


async def outcome(world: WorkerHarness, ref: str) -> tuple[DeliveryState, str | None]:
    """State and result of a call."""
    record = (await world.stored(ref)).record
    return record.state, record.result


@pytest.mark.parametrize("seed", range(25))
async def test_leg_that_moves_is_one_call_under_the_first_id(
    world: WorkerHarness, seed: int
) -> None:
    """
    In whatever order the messages of both ids come, and with runs in between, the first call has
    the result of both, and the second is a part of it.
    """
    rng = Random(seed)
    for body in rng.sample(MOVED_CALL, len(MOVED_CALL)):
        ref = await receive(world, body)
        if rng.random() < 0.7:
            await run(world, ref)
    await come_to_rest(world)
    assert (DeliveryState.DELIVERED, "connected") == await outcome(world, FIRST)
    assert DeliveryState.LEFT_ALONE is (await outcome(world, SECOND))[0]
    assert {("110", "786")} == {
        (call_id, fields["call_outcome_id"]) for call_id, fields in world.buildr.requests
    }


async def test_part_says_which_call_takes_it_in(world: WorkerHarness) -> None:
    """An operator who opens the second id is led to the first."""
    for body in MOVED_CALL:
        await receive(world, body)
    await come_to_rest(world)
    assert FIRST in (await world.stored(SECOND)).record.reason


async def test_another_caller_in_the_same_conversation_stays_a_stranger(
    world: WorkerHarness,
) -> None:
    """What becomes of another caller's leg there decides nothing about this one."""
    for body in (
        *MOVED_CALL[:3],
        leg_event(STRANGER, "completed", 30, call_id="CON-2", duration="20"),
    ):
        await receive(world, body)
    for ref in (SECOND, FIRST):
        await run(world, ref)
    assert (DeliveryState.OPEN, None) == await outcome(world, FIRST)


async def test_agent_who_was_gone_before_the_caller_came_talked_to_another(
    world: WorkerHarness,
) -> None:
    """A named conversation may be used again: what was over before is of another call."""
    earlier = leg_event(
        AGENT,
        "completed",
        9,
        call_id="CON-2",
        duration="5",
        end_time="2026-11-02T10:00:09.000Z",
    )
    for body in (earlier, *MOVED_CALL[:3], MOVED_CALL[-1]):
        await receive(world, body)
    for ref in (SECOND, FIRST):
        await run(world, ref)
    assert (DeliveryState.OPEN, None) == await outcome(world, FIRST)


async def test_leg_that_moves_on_and_on_is_followed(world: WorkerHarness) -> None:
    """A move out of the second conversation into a third belongs to the first call too."""
    later = [{**body, "conversation_uuid": "CON-3"} for body in MOVED_CALL[3:]]
    messages = [*MOVED_CALL[:3], moved(CALLER, 11, old="CON-2", new="CON-3"), *later]
    for message in messages:
        await run(world, await receive(world, message))
    await come_to_rest(world)
    assert (DeliveryState.DELIVERED, "connected") == await outcome(world, FIRST)
    for ref in (SECOND, THIRD):
        assert DeliveryState.LEFT_ALONE is (await outcome(world, ref))[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_calls_that_moved_into_each_other_come_to_rest(
    world: WorkerHarness, order: tuple[int, ...]
) -> None:
    """A leg that goes and comes back leaves one call, and no two that wake each other for ever."""
    back = moved(CALLER, 15, old="CON-2", new="CON-1")
    messages = [MOVED_CALL[2], back]
    for index in order:
        await run(world, await receive(world, messages[index]))
    for message in (*MOVED_CALL[:2], *MOVED_CALL[3:]):
        await receive(world, {**message, "conversation_uuid": "CON-1"})
    await come_to_rest(world)
    assert (DeliveryState.DELIVERED, "connected") == await outcome(world, FIRST)
    assert DeliveryState.LEFT_ALONE is (await outcome(world, SECOND))[0]


async def test_commit_of_a_part_makes_the_first_call_due(world: WorkerHarness) -> None:
    """In one step: a worker that dies right after its commit loses nothing of the first call."""
    for body in MOVED_CALL[:3]:
        await run(world, await receive(world, body))
    ref = await receive(world, MOVED_CALL[-1])
    await world.store.pool.zrem("bc:default:due", FIRST)
    await run(world, ref)
    assert await world.store.pool.zscore("bc:default:due", FIRST) is not None


async def test_call_goes_on_as_long_as_its_legs_report_elsewhere(world: WorkerHarness) -> None:
    """Until it stalls, settles or has an unknown end, time counts from the last message of all."""
    for body in MOVED_CALL[:3]:
        await run(world, await receive(world, body))
    before = (await world.stored(FIRST)).record.last_received_at
    await run(world, await receive(world, MOVED_CALL[3]))
    await run(world, FIRST)
    after = (await world.stored(FIRST)).record.last_received_at
    assert before != after
    assert (await world.stored(SECOND)).record.last_received_at == after
