"""
The budget: never more requests in any window than allowed, whatever happens in between.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from redis import Redis

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.permits import Grant, Verdict

HOLD_S = 5.0


@pytest.fixture
async def tight(redis_url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Store]:
    """A store whose budget is 5 requests in 300 ms and 12 in a second."""
    settings = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="5/0.3s, 12/1s")
    async with open_store(settings, role="worker") as opened:
        yield opened


def _most_in_window(arrivals: list[float], window_s: float) -> int:
    arrivals = sorted(arrivals)
    return max(sum(1 for later in arrivals[i:] if later - start < window_s) for i, start in enumerate(arrivals))


async def test_no_window_holds_more_than_any_budget(tight: Store, redis_url: str) -> None:
    """Many callers with requests that take their time never get more than 5 in 300 ms or 12 in a second through, and nearly as many."""
    arrivals: list[float] = []
    rng = random.Random(7)
    loop = asyncio.get_running_loop()
    done: set[str] = set()

    async def request(grant: Grant) -> None:
        await asyncio.sleep(rng.random() * 0.02)
        arrivals.append(loop.time())
        await asyncio.sleep(rng.random() * 0.02)
        await tight.permits.release(grant, sent=1)
        done.add(grant.ref)

    async def call(ref: str) -> None:
        grant = await tight.permits.ask(ref, cost=1, hold_s=HOLD_S)
        while grant.verdict is not Verdict.GRANTED:
            await tight.permits.pump(call_cost=1)
            await asyncio.sleep(0.005)
            grant = await tight.permits.ask(ref, cost=1, hold_s=HOLD_S)
        await request(grant)

    await asyncio.gather(*(call(f"twilio:{number}") for number in range(30)))
    assert 30 == len(arrivals)
    assert _most_in_window(arrivals, 0.3) <= 5
    assert _most_in_window(arrivals, 1.0) <= 12
    with Redis.from_url(redis_url) as client:
        assert 0 == client.zcard("bc:default:lane")


async def test_permit_that_was_not_used_costs_nothing(tight: Store) -> None:
    """Five permits given back unused leave the whole budget."""
    for number in range(12):
        grant = await tight.permits.ask(f"twilio:{number}", cost=1, hold_s=HOLD_S)
        assert Verdict.GRANTED is grant.verdict
        await tight.permits.release(grant, sent=0)


async def test_one_call_has_one_write_in_flight(tight: Store) -> None:
    """A second run of the same call is told that permits are out for it."""
    first = await tight.permits.ask("twilio:1", cost=1, hold_s=HOLD_S)
    second = await tight.permits.ask("twilio:1", cost=1, hold_s=HOLD_S)
    assert (Verdict.GRANTED, Verdict.BUSY) == (first.verdict, second.verdict)


async def test_block_stops_everybody(tight: Store) -> None:
    """After a 429 nobody gets a permit, and the wait is what Buildr said."""
    await tight.permits.block(30)
    grant = await tight.permits.ask("twilio:1", cost=1, hold_s=HOLD_S)
    assert Verdict.WAITS is grant.verdict
    assert 29 < grant.wait_s <= 30.1


async def test_unexplained_429_backs_off_longer_each_time(tight: Store) -> None:
    """A 429 without a header blocks for 5, 10, 20 ... seconds."""
    waits = [round(await tight.permits.block(None)) for _ in range(3)]
    assert [5, 10, 20] == waits


async def test_those_who_wait_go_first_in_first_out(tight: Store) -> None:
    """Calls leave the lane in the order in which they joined it, and a newcomer does not overtake them."""
    held = [await tight.permits.ask(f"twilio:held{number}", cost=1, hold_s=HOLD_S) for number in range(5)]
    for name in ("a", "b", "c"):
        assert Verdict.WAITS is (await tight.permits.ask(f"twilio:{name}", cost=1, hold_s=HOLD_S)).verdict
    for grant in held[:2]:
        await tight.permits.release(grant, sent=0)
    assert 2 == (await tight.permits.pump(call_cost=1)).gone
    assert Verdict.GRANTED is (await tight.permits.ask("twilio:a", cost=1, hold_s=HOLD_S)).verdict
    assert Verdict.WAITS is (await tight.permits.ask("twilio:new", cost=1, hold_s=HOLD_S)).verdict
    assert Verdict.GRANTED is (await tight.permits.ask("twilio:b", cost=1, hold_s=HOLD_S)).verdict
    assert Verdict.WAITS is (await tight.permits.ask("twilio:c", cost=1, hold_s=HOLD_S)).verdict


async def test_permits_of_a_dead_worker_count_as_used(tight: Store) -> None:
    """Permits that nobody gave back are counted as long as their requests may still arrive."""
    for number in range(5):
        await tight.permits.ask(f"twilio:{number}", cost=1, hold_s=60)
    assert Verdict.WAITS is (await tight.permits.ask("twilio:next", cost=1, hold_s=60)).verdict
