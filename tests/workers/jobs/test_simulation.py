"""
The fleet under everything that can happen at once: nothing is lost, nothing goes backwards, no
limit is broken, no outage is too long.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.settings import Settings
from service.store.delivery_state import ReplayRequest
from service.store.rate_limit.lanes import Lane
from tests.trials import trials
from tests.workers.jobs.simulation import WorkerFleet, fleet_of, is_done

CALLS = 3
WORKERS = 2
# What a call's webhooks say, in order; the last but one decides.
CALLBACKS: tuple[tuple[str, dict[str, str]], ...] = (
    ("ringing", {}),
    ("in-progress", {}),
    ("completed", {"CallDuration": "9"}),
)

EVENTS = st.tuples(st.just("event"), st.integers(0, CALLS - 1), st.integers(0, len(CALLBACKS) - 1))
STEPS = st.lists(
    st.one_of(
        EVENTS,
        EVENTS,
        st.tuples(st.just("job"), st.integers(0, WORKERS - 1), st.integers(0, 9)),
        st.tuples(st.just("job"), st.integers(0, WORKERS - 1), st.integers(0, 9)),
        st.tuples(st.just("answer"), st.integers(0, 9), st.just(0)),
        st.tuples(
            st.just("fault"), st.sampled_from(["500", "429", "401", "lost answer", ""]), st.just(0)
        ),
        st.tuples(st.just("crash"), st.integers(0, WORKERS - 1), st.just(0)),
        st.tuples(st.just("pass"), st.sampled_from([0, 1, 5, 12, 700]), st.just(0)),
        st.tuples(st.just("replay"), st.integers(0, CALLS - 1), st.booleans()),
        st.tuples(st.just("pump"), st.just(0), st.just(0)),
        st.tuples(st.just("sweep"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(
    max_examples=trials(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_last_state_gets_there_whatever_is_interleaved(
    steps: list[tuple[str, int | str, int]], redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """
    Events, jobs of the same call at two workers, answers, errors, crashes, replays and time in any
    order.

    In the end Buildr holds the last state of each call and all is at rest; no outcome came back
    after it was replaced, no call was written twice at once, no window of Buildr's held more than
    it allows.
    """
    asyncio.run(
        _run(steps, make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="4/10s", SETTLE_S="1"))
    )


async def _run(steps: list[tuple[str, int | str, int]], options: Settings) -> None:
    async with fleet_of(WORKERS, options) as fleet:
        fleet.buildr.is_held_back = True
        for action, first, second in steps:
            await _step(fleet, action, first, second)
        fleet.buildr.faults.clear()
        fleet.buildr.answer_all()
        for call in range(CALLS):
            for sequence, (status, more) in enumerate(CALLBACKS):
                await fleet.receive(call, status, sequence, **more)
        await fleet.come_to_rest()
        assert [True] * CALLS == [is_done(await fleet.stored(call)) for call in range(CALLS)]
        assert {str(1000 + call): "786" for call in range(CALLS)} == {
            call_id: fields["call_outcome_id"] for call_id, fields in fleet.buildr.calls.items()
        }
        assert 0 == fleet.buildr.over_limit
        assert fleet.buildr.most_in_flight <= 1
        assert all(len(ids) == len(set(ids)) for ids in fleet.buildr.written.values())
        assert [] == await fleet.store.pool.keys("bc:default:permit:*")
        assert {} == await fleet.store.redis.hgetall("bc:default:running")


async def _step(
    fleet: WorkerFleet,
    action: str,
    first: int | str,
    second: int,
    *,
    callbacks: tuple[tuple[str, dict[str, str]], ...] = CALLBACKS,
) -> None:
    match action:
        case "event":
            status, more = callbacks[second]
            await fleet.receive(int(first), status, second, **more)
        case "job":
            due = await fleet.due()
            if due:
                fleet.start(int(first), due[second % len(due)])
            await asyncio.sleep(0)
        case "answer":
            fleet.buildr.answer(int(first))
        case "fault":
            fleet.buildr.faults.append(str(first))
        case "crash":
            await fleet.crash(int(first))
        case "pass":
            await fleet.pass_s(float(first))
        case "replay":
            replay_request = ReplayRequest(
                lane=Lane.REPLAY, at=datetime.now(UTC), is_forced=bool(second)
            )
            await fleet.store.calls.request_replay(f"twilio:CA{first}", replay_request)
        case "pump":
            await fleet.store.permits.pump()
        case _:
            await fleet.store.schedule.sweep(in_progress_s=33)


OUTCOMES_IN_TURN: tuple[tuple[str, dict[str, str]], ...] = (
    ("no-answer", {}),
    ("busy", {}),
    ("completed", {"CallDuration": "9"}),
)
FAULTS = ["late 3", "late 40", "late 250", "late 1500", "lost answer", "not taken", "500", ""]


@pytest.mark.slow
@settings(
    max_examples=trials(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("event"), st.just(0), st.integers(0, 2)),
            st.tuples(st.just("fault"), st.sampled_from(FAULTS), st.just(0)),
            st.tuples(st.just("job"), st.integers(0, WORKERS - 1), st.just(0)),
            st.tuples(st.just("job"), st.integers(0, WORKERS - 1), st.just(0)),
            st.tuples(st.just("answer"), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("crash"), st.integers(0, WORKERS - 1), st.just(0)),
            st.tuples(st.just("pass"), st.sampled_from([1, 3, 12, 70, 400]), st.just(0)),
            st.tuples(st.just("pump"), st.just(0), st.just(0)),
        ),
        max_size=40,
    )
)
def test_last_outcome_stays_whatever_comes_late(
    steps: list[tuple[str, int | str, int]], redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """
    The outcome changes twice, and any request may have no answer, be carried out up to 25 minutes
    late, or be answered 200 and not taken.

    In the end Buildr holds the last outcome.
    """
    asyncio.run(
        _run_late(steps, make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="4/10s", SETTLE_S="1"))
    )


async def _run_late(steps: list[tuple[str, int | str, int]], options: Settings) -> None:
    async with fleet_of(WORKERS, options) as fleet:
        fleet.buildr.is_held_back = True
        for action, first, second in steps:
            await _step(fleet, action, first, second, callbacks=OUTCOMES_IN_TURN)
        fleet.buildr.faults.clear()
        fleet.buildr.answer_all()
        for sequence, (status, more) in enumerate(OUTCOMES_IN_TURN):
            await fleet.receive(0, status, sequence, **more)
        await fleet.come_to_rest()
        await fleet.pass_s(1500)
        assert [] == fleet.buildr.late
        assert is_done(await fleet.stored(0))
        assert "786" == fleet.buildr.calls["1000"]["call_outcome_id"]
        assert 0 == fleet.buildr.over_limit


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["503", "401"])
async def test_three_days_without_buildr(
    fault: str, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """
    Buildr is away, or refuses the token, for 72 hours, while calls go on; eight in a usual run.

    Nothing is given up and nothing is asked in vain more than 30 times a minute. Within a minute of
    Buildr's return the first call is written; what is fresh comes first, and each call is written
    once, rightly.
    """
    options = make_settings(
        REDIS_URL=redis_url, BUILDR_BUDGETS="10/10s", SETTLE_S="0", NEWEST_FIRST_ABOVE="50"
    )
    hours = trials(72)
    async with fleet_of(2, options) as fleet:
        await fleet.receive(0, "no-answer", 3)
        await fleet.come_to_rest()
        fleet.buildr.fault = fault
        began = fleet.now
        call = 0
        while (fleet.now - began).total_seconds() < hours * 3600:
            call += 1
            await fleet.receive(call, "completed", 3, CallDuration="9")
            for _ in range(3):
                await fleet.turn()
                await fleet.turn(pause_s=400)
        # One of the calls that were written before becomes better known, and one is replayed.
        await fleet.receive(0, "completed", 4, CallDuration="9")
        await fleet.turn(pause_s=30)
        await fleet.turn()
        tries = len(fleet.buildr.arrivals)
        fleet.buildr.fault = ""
        back = fleet.now
        await fleet.come_to_rest(step_s=0.5, most=20_000)
        written = [(at, call_id) for at, call_id, _ in fleet.buildr.arrivals[tries:]]
        assert (written[0][0] - back).total_seconds() < 60
        assert tries < 2 * hours * 60
        assert 0 == await fleet.store.failed.count()
        assert {str(1000 + number): "786" for number in range(call + 1)} == {
            call_id: fields["call_outcome_id"] for call_id, fields in fleet.buildr.calls.items()
        }
        assert call + 1 == len(written)
        assert 0 == fleet.buildr.over_limit
        # Of the first calls that are let go, after those that look whether Buildr is back, three of
        # four are the newest ones.
        first = [int(call_id) - 1000 for _, call_id in written[3:23]]
        assert sum(number > call - 25 for number in first) >= 12


@pytest.mark.slow
async def test_a_days_budget_that_is_spent_loses_nothing(
    redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """
    With 20 requests in a minute, 40 in an hour and 60 in a day, 150 calls take their days; no
    budget is ever broken.
    """
    options = make_settings(
        REDIS_URL=redis_url, BUILDR_BUDGETS="20/60s, 40/h, 60/day", SETTLE_S="0"
    )
    async with fleet_of(2, options) as fleet:
        for call in range(150):
            await fleet.receive(call, "busy", 3)
        began = fleet.now
        await fleet.come_to_rest(step_s=600)
        assert 2 <= (fleet.now - began).total_seconds() / 86_400 < 2.2
        assert (0, 150) == (fleet.buildr.over_limit, len(fleet.buildr.arrivals))
        assert 0 == await fleet.store.failed.count()
