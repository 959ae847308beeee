"""
When the backlog will have gone.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.settings import Budget
from service.store.rate_limit.backlog import Backlog, LaneLoad, Outage
from service.store.rate_limit.lanes import LANES, Lane
from workers.delivery.status import clears_at
from workers.sandbox.rate_limit import NS_PER_S, Limiter

NOW = datetime(2026, 11, 2, 14, 0, tzinfo=UTC)
BURST = Budget(requests=10, window_s=10)


def backlog(
    requests: int,
    *,
    counted: tuple[float, ...] = (),
    blocked_until: datetime | None = None,
    allowance: int | None = None,
    outage: Outage | None = None,
) -> Backlog:
    """So many requests in the lane of final results; `counted` are seconds before now."""
    lanes = tuple(
        LaneLoad(lane=lane, calls=requests * (lane is Lane.FINAL), oldest_at=None) for lane in LANES
    )
    times = tuple(NOW.timestamp() - ago for ago in sorted(counted, reverse=True))
    return Backlog(
        now=NOW,
        clock_set_back_s=0,
        lanes=lanes,
        requests=requests,
        counted=times,
        blocked_until=blocked_until,
        allowance=allowance,
        outage=outage,
    )


def in_s(at: datetime | None) -> float:
    """Seconds from now."""
    assert at is not None
    return (at - NOW).total_seconds()


def test_nothing_waits() -> None:
    """Without a backlog it is clear now."""
    assert NOW == clears_at(backlog(0), [BURST])


def test_bursts_of_the_budget() -> None:
    """Of 25 requests ten go at once, ten after ten seconds, the rest after twenty."""
    assert (0, 10, 20) == tuple(in_s(clears_at(backlog(count), [BURST])) for count in (10, 20, 25))


def test_what_was_sent_already_counts() -> None:
    """Requests of the last seconds have to leave the window first."""
    assert 6 == in_s(clears_at(backlog(4, counted=(4,) * 10), [BURST]))


def test_hours_budget_decides_when_it_is_the_narrow_one() -> None:
    """With 10 in 10 s and 20 in an hour, 30 requests take until the first ones leave the hour."""
    assert 3600 == in_s(clears_at(backlog(30), [BURST, Budget(requests=20, window_s=3600)]))


def test_block_and_smaller_share_count() -> None:
    """A 429 puts all off, and a share of 5 halves the pace."""
    assert 7 == in_s(clears_at(backlog(10, blocked_until=NOW + timedelta(seconds=7)), [BURST]))
    assert 10 == in_s(clears_at(backlog(10, allowance=5), [BURST]))


def test_nobody_knows_while_buildr_is_away() -> None:
    """During an outage there is no time."""
    outage = Outage(since=NOW, cause="buildr_unavailable", next_try_at=NOW)
    assert clears_at(backlog(3, outage=outage), [BURST]) is None


@given(
    requests=st.integers(1, 60),
    counted=st.lists(st.integers(0, 30), max_size=12),
    hour=st.integers(3, 40),
)
def test_it_is_what_the_budgets_themselves_allow(
    requests: int, counted: list[int], hour: int
) -> None:
    """
    The time is that of the last request that a limiter of the same windows lets through when it is
    asked every second.
    """
    budgets = [Budget(requests=3, window_s=10), Budget(requests=hour, window_s=40)]
    limiter = Limiter(budgets, "window")
    start = int(NOW.timestamp())
    sent = [
        ago
        for ago in sorted(counted, reverse=True)
        if limiter.admit((start - ago) * NS_PER_S) is None
    ]
    at = start
    left = requests
    while left:
        if limiter.admit(at * NS_PER_S) is None:
            left -= 1
        else:
            at += 1
    assert at - start == in_s(clears_at(backlog(requests, counted=tuple(sent)), budgets))
