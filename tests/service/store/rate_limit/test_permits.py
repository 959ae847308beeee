"""
The budget: never more requests in any window than allowed, whatever happens in between.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.rate_limit.grants import Grant, GrantStatus, HealthSignal, RateLimitState
from service.store.rate_limit.lanes import Lane
from tests.doubles.clock import Skew

HOLD_S = 5.0
EPOCH = datetime(2026, 11, 2, tzinfo=UTC)


async def ask(
    store: Store,
    ref: str,
    *,
    hold_s: float = HOLD_S,
    cost: int = 1,
    lane: Lane = Lane.FINAL,
    age: int = 0,
) -> Grant:
    """Ask for permits; `age` gives the call's place, the least being the oldest."""
    return await store.permits.ask(
        ref, lane=lane, since=EPOCH + timedelta(seconds=age), cost=cost, hold_s=hold_s
    )


async def fill(store: Store, lane: Lane, names: list[str]) -> None:
    """Let calls wait in a lane, the first one being the oldest."""
    for age, name in enumerate(names):
        assert GrantStatus.WAITS is (await ask(store, f"twilio:{name}", lane=lane, age=age)).verdict


async def let_go(store: Store, number: int) -> list[str]:
    """Who is let go next, one after the other, each without using its permit."""
    gone = []
    for _ in range(number):
        before = await waiting(store)
        assert 1 == (await store.permits.pump()).released
        (ref,) = before - await waiting(store)
        gone.append(ref.removeprefix("twilio:"))
        await store.permits.release(await ask(store, ref), sent=0)
    return gone


async def waiting(store: Store) -> set[str]:
    """The names in all lanes."""
    lanes = [await store.redis.zrange(store.keys.named(f"lane:{lane}"), 0, -1) for lane in Lane]
    return {ref.decode() for lane in lanes for ref in lane}


@pytest.fixture
async def tight(redis_url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Store]:
    """A store whose budget is 5 requests in 300 ms and 12 in a second."""
    settings = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="5/0.3s, 12/1s")
    async with open_store(settings, role="worker") as opened:
        yield opened


def _most_in_window(arrivals: list[float], window_s: float) -> int:
    arrivals = sorted(arrivals)
    return max(
        sum(1 for later in arrivals[i:] if later - start < window_s)
        for i, start in enumerate(arrivals)
    )


async def test_no_window_holds_more_than_any_budget(tight: Store) -> None:
    """
    Many callers with requests that take their time never get more than 5 in 300 ms or 12 in a
    second through, and nearly as many.
    """
    arrivals: list[float] = []
    rng = random.Random(7)
    loop = asyncio.get_running_loop()
    done: set[str] = set()

    async def request(grant: Grant) -> None:
        await asyncio.sleep(max(0.0, grant.starts_at - time.monotonic()) + rng.random() * 0.02)
        arrivals.append(loop.time())
        await asyncio.sleep(rng.random() * 0.02)
        await tight.permits.release(grant, sent=1)
        done.add(grant.ref)

    async def call(ref: str) -> None:
        grant = await ask(tight, ref)
        while grant.verdict is not GrantStatus.GRANTED:
            await tight.permits.pump()
            await asyncio.sleep(0.005)
            grant = await ask(tight, ref)
        await request(grant)

    await asyncio.gather(*(call(f"twilio:{number}") for number in range(30)))
    assert 30 == len(arrivals)
    assert _most_in_window(arrivals, 0.3) <= 5
    assert _most_in_window(arrivals, 1.0) <= 12
    assert set() == await waiting(tight)


async def test_permit_that_was_not_used_costs_nothing(tight: Store) -> None:
    """Five permits given back unused leave the whole budget."""
    for number in range(12):
        grant = await ask(tight, f"twilio:{number}")
        assert GrantStatus.GRANTED is grant.verdict
        await tight.permits.release(grant, sent=0)


async def test_one_call_has_one_write_in_flight(tight: Store) -> None:
    """A second run of the same call is refused while the first holds permits."""
    first = await ask(tight, "twilio:1")
    second = await ask(tight, "twilio:1")
    assert (GrantStatus.GRANTED, GrantStatus.BUSY) == (first.verdict, second.verdict)


async def limited(
    store: Store, wait_s: float | None, ref: str = "twilio:limited"
) -> RateLimitState:
    """Have a request answered with 429."""
    grant = Grant(ref, GrantStatus.GRANTED, ("0",))
    return await store.permits.release(grant, sent=1, signal=HealthSignal.LIMITED, wait_s=wait_s)


async def test_429_stops_everybody(tight: Store) -> None:
    """After a 429 nobody gets a permit, and the wait is what Buildr asked for."""
    assert 1 < (await limited(tight, 1.9)).blocked_s <= 2
    grant = await ask(tight, "twilio:1")
    assert GrantStatus.WAITS is grant.verdict
    assert 1 < grant.wait_s <= 2
    assert 0 == (await tight.permits.pump()).released


async def test_429_revokes_permits_that_are_not_used_yet(tight: Store) -> None:
    """A call that was let go just before a 429 waits with the others."""
    grants = [await ask(tight, f"twilio:held{number}") for number in range(5)]
    await fill(tight, Lane.FINAL, ["a"])
    await tight.permits.release(grants[0], sent=0)
    assert 1 == (await tight.permits.pump()).released
    await limited(tight, 30)
    assert GrantStatus.WAITS is (await ask(tight, "twilio:a")).verdict


async def test_a_shorter_429_ends_no_longer_one(clocked: "Clocked") -> None:
    """Of several that were under way at once, the longest time counts."""
    await limited(clocked.store, 9)
    assert 8 < (await limited(clocked.store, 1)).blocked_s <= 10


async def test_unexplained_429_backs_off_longer_each_time(clocked: "Clocked") -> None:
    """A 429 without a header blocks for 5, 10, 20 ... seconds; several at once count as one."""
    waits = []
    for _ in range(3):
        waits.append(round((await limited(clocked.store, None)).blocked_s))
        assert waits[-1] == round((await limited(clocked.store, None)).blocked_s)
        clocked.pass_s(61)
    assert [5, 10, 20] == waits


async def test_the_oldest_goes_first_and_no_newcomer_overtakes(tight: Store) -> None:
    """
    Calls leave their lane in the order of their age, and a newcomer waits even if there is budget.
    """
    grants = [await ask(tight, f"twilio:held{number}") for number in range(5)]
    await fill(tight, Lane.FINAL, ["a", "b", "c"])
    for grant in grants[:2]:
        await tight.permits.release(grant, sent=0)
    assert 2 == (await tight.permits.pump()).released
    assert GrantStatus.GRANTED is (await ask(tight, "twilio:a")).verdict
    assert GrantStatus.WAITS is (await ask(tight, "twilio:new", age=9)).verdict
    assert GrantStatus.GRANTED is (await ask(tight, "twilio:b")).verdict
    assert GrantStatus.WAITS is (await ask(tight, "twilio:c", age=2)).verdict


async def test_permits_of_a_dead_worker_count_as_used(tight: Store) -> None:
    """Permits that nobody gave back are counted as long as their requests may still arrive."""
    for number in range(5):
        await ask(tight, f"twilio:{number}", hold_s=60)
    assert GrantStatus.WAITS is (await ask(tight, "twilio:next", hold_s=60)).verdict


class Clocked:
    """A store with a clock of its own, whose budget is 10 requests in 10 seconds."""

    def __init__(self, store: Store, skew: Skew) -> None:
        self.store = store
        self._skew = skew

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self._skew.ms += int(seconds * 1000)

    def stop(self) -> None:
        """Stop the clock of Redis; `pass_s` moves it on."""
        self._skew.stop()

    async def drained(self) -> list[Grant]:
        """Take every permit that there is now."""
        grants: list[Grant] = []
        while (
            grant := await ask(self.store, f"twilio:drain{len(grants)}")
        ).verdict is GrantStatus.GRANTED:
            grants.append(grant)
        await self.store.permits.leave(grant.ref)
        return grants

    async def sent_in_window(self) -> int:
        """How many requests go through in the next window, all of them answered well."""
        grants = await self.drained()
        for grant in grants:
            await self.store.permits.release(grant, sent=1, signal=HealthSignal.FINE)
        return len(grants)


@pytest.fixture
async def clocked(redis_url: str, make_settings: Callable[..., Settings]) -> AsyncIterator[Clocked]:
    """The usual budget, and time in the test's hands."""
    skew = Skew()
    settings = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="10/10s", NEWEST_FIRST_ABOVE="3")
    async with open_store(settings, role="worker", skew_ms=skew) as opened:
        yield Clocked(opened, skew)


@pytest.fixture
async def jammed(clocked: Clocked) -> AsyncIterator[Store]:
    """A store with room for one request, and nobody may ask for it past the lanes."""
    for number in range(9):
        await ask(clocked.store, f"twilio:held{number}", hold_s=600)
    last = await ask(clocked.store, "twilio:held", hold_s=600)
    yield clocked.store
    await clocked.store.permits.release(last, sent=0)


async def with_room(store: Store) -> None:
    """Make room for one request."""
    await store.permits.release(Grant("twilio:held", GrantStatus.GRANTED, ("10",)), sent=0)


async def test_urgent_lanes_go_first_and_none_starves(jammed: Store) -> None:
    """
    Final results go before refinements, replays and back-fill; every fifth turn is one of those,
    each lane in its turn.
    """
    await fill(jammed, Lane.BACKFILL, ["b1", "b2"])
    await fill(jammed, Lane.REPLAY, ["p1", "p2"])
    await fill(jammed, Lane.REFINEMENT, ["r1", "r2"])
    for number in range(14):
        assert (
            GrantStatus.WAITS
            is (await ask(jammed, f"twilio:f{number:02}", lane=Lane.FINAL, age=number)).verdict
        )
    await with_room(jammed)
    gone = await let_go(jammed, 15)
    assert ["r1", "p1", "b1"] == [gone[4], gone[9], gone[14]]
    assert all(name.startswith("f") for place, name in enumerate(gone) if place not in (4, 9, 14))


async def test_the_services_own_requests_go_before_all(jammed: Store) -> None:
    """Reading the account's outcomes waits for no call, since calls wait for it."""
    await fill(jammed, Lane.FINAL, ["a"])
    assert GrantStatus.WAITS is (await ask(jammed, "#outcomes", lane=Lane.OWN, age=99)).verdict
    await with_room(jammed)
    assert ["#outcomes", "a"] == await let_go(jammed, 2)


async def test_newest_first_above_the_threshold(jammed: Store) -> None:
    """
    With more than NEWEST_FIRST_ABOVE calls in a lane the newest goes first, and the oldest every
    fourth time; below that the oldest.
    """
    await fill(jammed, Lane.FINAL, ["a", "b", "c", "d", "e", "f", "g", "h"])
    await with_room(jammed)
    assert ["h", "g", "f", "a", "e", "b", "c", "d"] == await let_go(jammed, 8)


async def test_call_keeps_its_place_and_changes_its_lane(jammed: Store) -> None:
    """Asking again changes nothing about a call's place; asking for another lane moves it there."""
    await fill(jammed, Lane.REPLAY, ["a"])
    await fill(jammed, Lane.FINAL, ["b", "c"])
    assert GrantStatus.WAITS is (await ask(jammed, "twilio:b", lane=Lane.FINAL, age=0)).verdict
    assert GrantStatus.WAITS is (await ask(jammed, "twilio:a", lane=Lane.FINAL, age=-1)).verdict
    await with_room(jammed)
    assert ["a", "b", "c"] == await let_go(jammed, 3)


async def test_call_of_two_requests_gets_both_or_waits(clocked: Clocked) -> None:
    """
    With room for one request a call of two waits at the head; nothing smaller behind it overtakes.
    """
    store = clocked.store
    grants = [await ask(store, f"twilio:held{number}") for number in range(9)]
    assert GrantStatus.WAITS is (await ask(store, "twilio:two", cost=2, age=1)).verdict
    assert GrantStatus.WAITS is (await ask(store, "twilio:one", age=2)).verdict
    assert 0 == (await store.permits.pump()).released
    await store.permits.release(grants[0], sent=0)
    assert 1 == (await store.permits.pump()).released
    grant = await ask(store, "twilio:two", cost=2)
    assert (GrantStatus.GRANTED, 2) == (grant.verdict, len(grant.permits))


async def test_permits_between_two_requests_get_their_whole_time_again(clocked: Clocked) -> None:
    """
    The second of two requests may take as long as the first; permits that are no longer ours are
    refused.
    """
    store = clocked.store
    grant = await ask(store, "twilio:two", cost=2, hold_s=2)
    assert await store.permits.renew(grant, answered=1, hold_s=50) > grant.valid_until + 40
    assert await store.pool.pttl("bc:default:permit:twilio:two") > 40_000
    await store.permits.release(grant, sent=2)
    assert 0 == await store.permits.renew(grant, answered=1, hold_s=50)


async def test_permit_may_be_given_a_moment_ahead(clocked: Clocked) -> None:
    """
    A call whose turn comes within a tenth of a second is let go at once, with the time from
    which its permit is good.
    """
    clocked.stop()
    assert 10 == await clocked.sent_in_window()
    clocked.pass_s(9.95)
    before = time.monotonic()
    grant = await ask(clocked.store, "twilio:next")
    after = time.monotonic()
    assert GrantStatus.GRANTED is grant.verdict
    assert before + 0.01 < grant.starts_at < after + 0.12


async def down(store: Store, ref: str, *, hold: Grant | None = None) -> RateLimitState:
    """Have a request fail as when Buildr is away."""
    grant = hold or await ask(store, ref)
    assert GrantStatus.GRANTED is grant.verdict
    return await store.permits.release(
        grant, sent=1, signal=HealthSignal.DOWN, cause="buildr_unavailable"
    )


async def test_breaker_opens_and_lets_one_probe_at_a_time(clocked: Clocked) -> None:
    """
    After three failures in a row everybody waits; one probes after 2 s, then every 3 s, and its
    success lets all go.
    """
    store = clocked.store
    opened = [(await down(store, f"twilio:{number}")).has_opened for number in range(3)]
    assert [False, False, True] == opened
    await fill(store, Lane.FINAL, ["a", "b"])
    assert 0 == (await store.permits.pump()).released
    clocked.pass_s(2)
    assert 1 == (await store.permits.pump()).released
    assert 0 == (await store.permits.pump()).released
    state = await down(store, "twilio:a")
    assert (True, False) == (state.is_open, state.has_opened)
    assert GrantStatus.WAITS is (await ask(store, "twilio:a", age=0)).verdict
    clocked.pass_s(2)
    assert 0 == (await store.permits.pump()).released
    clocked.pass_s(1)
    assert 1 == (await store.permits.pump()).released
    (probe,) = {"twilio:a", "twilio:b"} - await waiting(store)
    state = await store.permits.release(await ask(store, probe), sent=1, signal=HealthSignal.FINE)
    assert not state.is_open
    assert 4.9 < (state.outage_s or 0) < 6
    assert 1 == (await store.permits.pump()).released


async def test_breaker_never_waits_longer_than_three_seconds(clocked: Clocked) -> None:
    """However long the outage, the next probe is so soon that its end is noticed at once."""
    for number in range(3):
        await down(clocked.store, f"twilio:{number}")
    await fill(clocked.store, Lane.FINAL, ["a"])
    for _ in range(20):
        clocked.pass_s(3)
        assert 1 == (await clocked.store.permits.pump()).released
        await down(clocked.store, "twilio:a")
        await ask(clocked.store, "twilio:a")


async def test_call_that_makes_buildr_fail_does_not_keep_the_breaker_open(clocked: Clocked) -> None:
    """The look is not always the same call's: soon another one shows that Buildr is well."""
    store = clocked.store
    for _ in range(3):
        await down(store, "twilio:poison")
    await fill(store, Lane.FINAL, ["poison", *(f"good{number}" for number in range(30))])
    for _ in range(6):
        clocked.pass_s(30)
        before = await waiting(store)
        await store.permits.pump()
        (probe,) = before - await waiting(store)
        if probe != "twilio:poison":
            return
        await down(store, probe)
        await ask(store, probe, age=0)
    raise AssertionError("only one call was ever asked")


async def test_failures_between_successes_open_nothing(clocked: Clocked) -> None:
    """A call that fails while others succeed is its own matter."""
    for number in range(6):
        assert not (await down(clocked.store, "twilio:poison")).is_open
        await clocked.store.permits.release(
            await ask(clocked.store, f"twilio:{number}"), sent=1, signal=HealthSignal.FINE
        )
        clocked.pass_s(10)


async def test_budget_is_shared_with_somebody_unknown(clocked: Clocked) -> None:
    """
    With another client taking half: at most one 429 a minute after 30 s, about half is used, and
    all of it once the other is gone.
    """
    store = clocked.store
    now = 0.0
    cuts: list[float] = []
    used: list[int] = []
    for _ in range(120):
        grants = await clocked.drained()
        fine = grants[:5]
        refused = grants[5:]
        for grant in fine:
            await store.permits.release(grant, sent=1, signal=HealthSignal.FINE)
        for grant in refused:
            await store.permits.release(grant, sent=1, signal=HealthSignal.LIMITED, wait_s=1)
            cuts.append(now)
        used.append(len(fine))
        clocked.pass_s(10.02)
        now += 10.02
    late = [cut for cut in cuts if cut > 30]
    assert all(sum(1 for cut in late if start <= cut < start + 60) <= 1 for start in late)
    assert sum(used[6:]) / len(used[6:]) > 4.5
    for _ in range(60):
        await clocked.sent_in_window()
        clocked.pass_s(10.02)
    assert 10 == await clocked.sent_in_window()


async def test_cut_allowance_still_lets_a_call_of_two_requests_through(clocked: Clocked) -> None:
    """However little of the budget is ours, a call that needs two requests is not stuck."""
    for _ in range(6):
        await limited(clocked.store, 1)
        clocked.pass_s(61)
        await limited(clocked.store, 1)
        clocked.pass_s(11)
    clocked.pass_s(60)
    assert GrantStatus.GRANTED is (await ask(clocked.store, "twilio:two", cost=2)).verdict


async def test_429_that_names_an_hour_is_believed_for_a_window(clocked: Clocked) -> None:
    """
    It blocks for the longest window; then one request at a time is tried, after growing pauses, and
    the first one that gets through lets all go.
    """
    store = clocked.store
    state = await limited(store, 3600)
    await fill(store, Lane.FINAL, ["a", "b", "c"])
    waits = [round(state.blocked_s)]
    for wait_s in (1e9, 1e307, 3600):
        assert [] == await _released(store)
        clocked.pass_s(state.blocked_s + 0.1)
        (probe,) = await _released(store)
        assert [] == await _released(store)
        state = await store.permits.release(
            await ask(store, probe), sent=1, signal=HealthSignal.LIMITED, wait_s=wait_s
        )
        waits.append(round(state.blocked_s))
        await ask(store, probe, age=0)
    assert ([11, 10, 20, 40], True) == (waits, state.is_open)
    clocked.pass_s(state.blocked_s + 0.1)
    (probe,) = await _released(store)
    state = await store.permits.release(await ask(store, probe), sent=1, signal=HealthSignal.FINE)
    assert (False, 2) == (state.is_open, len(await _released(store)))


async def _released(store: Store) -> list[str]:
    before = await waiting(store)
    await store.permits.pump()
    return sorted(before - await waiting(store))


async def test_calls_that_are_all_unknown_are_an_outage(clocked: Clocked) -> None:
    """
    Three different calls over five seconds, none of which Buildr knows, open the breaker; a success
    in between, or less time, does not.
    """
    store = clocked.store

    async def unknown(ref: str) -> RateLimitState:
        return await store.permits.release(
            await ask(store, ref), sent=1, signal=HealthSignal.UNKNOWN
        )

    for number in range(3):
        assert not (await unknown(f"twilio:{number}")).is_open
    await store.permits.release(await ask(store, "twilio:9"), sent=1, signal=HealthSignal.FINE)
    clocked.pass_s(6)
    first = await unknown("twilio:0")
    second = await unknown("twilio:1")
    clocked.pass_s(6)
    again = await unknown("twilio:1")
    third = await unknown("twilio:2")
    assert [False, False, True, False] == [
        state.was_unknown for state in (first, second, again, third)
    ]
    assert [False, False, False, True] == [
        state.has_opened for state in (first, second, again, third)
    ]


async def test_breaker_that_opened_for_unknown_calls_ends_with_a_known_one(
    clocked: Clocked,
) -> None:
    """The service's own requests say nothing about calls."""
    store = clocked.store
    grants = {name: await ask(store, name) for name in ("#outcomes", "twilio:1", "twilio:2")}
    for name in ("twilio:1", "twilio:2"):
        await store.permits.release(grants[name], sent=1, signal=HealthSignal.UNKNOWN)
    clocked.pass_s(6)
    await store.permits.release(await ask(store, "twilio:3"), sent=1, signal=HealthSignal.UNKNOWN)
    own = await store.permits.release(grants["#outcomes"], sent=1, signal=HealthSignal.FINE)
    assert own.is_open
    clocked.pass_s(2)
    probe = await ask(store, "twilio:1")
    state = await store.permits.release(probe, sent=1, signal=HealthSignal.FINE)
    assert (False, False) == (state.is_open, (await unopened(store)).is_open)


async def unopened(store: Store) -> RateLimitState:
    """Have one more call be unknown."""
    return await store.permits.release(
        await ask(store, "twilio:4"), sent=1, signal=HealthSignal.UNKNOWN
    )


async def test_probe_without_an_answer_does_not_hold_up_the_next(clocked: Clocked) -> None:
    """Buildr may be back while a request that was sent before still waits for it."""
    for number in range(3):
        await down(clocked.store, f"twilio:{number}")
    await fill(clocked.store, Lane.FINAL, ["a", "b"])
    clocked.pass_s(2)
    (hanging,) = await _released(clocked.store)
    await ask(clocked.store, hanging)
    clocked.pass_s(2)
    assert [] == await _released(clocked.store)
    clocked.pass_s(1.5)
    assert 1 == len(await _released(clocked.store))


async def test_clock_of_redis_that_is_set_back_stops_nobody_for_long(clocked: Clocked) -> None:
    """After a step back of an hour the next requests go within a window, not within an hour."""
    await clocked.sent_in_window()
    clocked.pass_s(-3600)
    grant = await ask(clocked.store, "twilio:next")
    assert grant.wait_s < 11


async def test_token_that_ran_out_in_an_outage_costs_no_pause(clocked: Clocked) -> None:
    """
    A probe whose token is refused is followed at once by one with a new token; if that is refused
    too, there is a pause.
    """
    for number in range(3):
        await down(clocked.store, f"twilio:{number}")
    await fill(clocked.store, Lane.FINAL, ["a", "b", "c"])
    clocked.pass_s(2)
    for _ in range(2):
        (probe,) = await _released(clocked.store)
        await clocked.store.permits.release(
            await ask(clocked.store, probe), sent=1, signal=HealthSignal.UNSURE
        )
    assert [] == await _released(clocked.store)


async def test_spent_hour_leaves_the_share_of_the_burst(clocked: Clocked) -> None:
    """
    A 429 that names the budget of an hour or a day stops everybody as it says, and makes nobody
    slower afterwards.
    """
    grant = Grant("twilio:limited", GrantStatus.GRANTED, ("0",))
    state = await clocked.store.permits.release(
        grant, sent=1, signal=HealthSignal.LIMITED, wait_s=60, bucket="hour"
    )
    assert (10, True) == (state.allowance, state.blocked_s > 59)
    state = await clocked.store.permits.release(
        grant, sent=1, signal=HealthSignal.LIMITED, wait_s=6, bucket="burst"
    )
    assert 5 == state.allowance


async def test_token_that_stays_refused_stops_everybody_at_once(clocked: Clocked) -> None:
    """One refusal of a fresh token is enough: whatever is sent with it is refused as well."""
    grant = await ask(clocked.store, "twilio:1")
    state = await clocked.store.permits.release(
        grant, sent=1, signal=HealthSignal.DOWN, cause="buildr_unauthorized"
    )
    assert state.has_opened


async def test_one_worker_keeps_the_time_for_all(jammed: Store) -> None:
    """
    One worker asks often and the others seldom; one with a reason is served at once, and a keeper
    that falls silent is replaced.
    """
    await fill(jammed, Lane.FINAL, ["a", "b"])
    keeper = await jammed.permits.pump(worker_id="w1", has_reason=False)
    other = await jammed.permits.pump(worker_id="w2", has_reason=False)
    assert ((keeper.next_in_s or 9) <= 0.5, other.next_in_s) == (True, 1.0)
    await with_room(jammed)
    assert 0 == (await jammed.permits.pump(worker_id="w2", has_reason=False)).released
    assert 1 == (await jammed.permits.pump(worker_id="w2", has_reason=True)).released
    await jammed.permits.release(await ask(jammed, "twilio:a"), sent=0)
    await jammed.pool.delete("bc:default:keeper")
    assert 1 == (await jammed.permits.pump(worker_id="w2", has_reason=False)).released
