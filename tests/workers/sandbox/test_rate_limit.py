"""
The rate limit in both readings.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import Budget
from workers.sandbox.rate_limit import (
    NS_PER_S,
    Limiter,
    Mode,
    PeakRate,
)

gaps = st.lists(
    st.one_of(st.just(0), st.integers(0, 3 * NS_PER_S), st.integers(0, 30 * NS_PER_S)), max_size=60
)
budgets = st.lists(
    st.builds(
        Budget, requests=st.integers(1, 12), window_s=st.sampled_from([0.5, 1.0, 3.0, 10.0, 60.0])
    ),
    min_size=1,
    max_size=3,
)
modes: st.SearchStrategy[Mode] = st.sampled_from(["window", "bucket", "both"])


def _admitted(limiter: Limiter, gaps_ns: list[int]) -> list[int]:
    now_ns = 0
    passed = []
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        if limiter.admit(now_ns) is None:
            passed.append(now_ns)
    return passed


def _most(times: list[int], window_ns: int) -> int:
    return max(
        (sum(1 for time in times if start <= time < start + window_ns) for start in times),
        default=0,
    )


@given(budgets, gaps, st.sampled_from(["window", "both"]))
def test_no_window_holds_more_than_its_budget(
    budgets: list[Budget], gaps_ns: list[int], mode: Mode
) -> None:
    """Read strictly, no window of any budget ever holds more requests than the budget allows."""
    passed = _admitted(Limiter(budgets, mode), gaps_ns)
    for budget in budgets:
        assert _most(passed, int(budget.window_s * NS_PER_S)) <= budget.requests


@given(budgets, gaps)
def test_bucket_never_overflows(budgets: list[Budget], gaps_ns: list[int]) -> None:
    """
    Read as a bucket, no stretch of time lets more through than the bucket holds and drains in it.
    """
    passed = _admitted(Limiter(budgets, "bucket"), gaps_ns)
    for budget in budgets:
        window_ns = int(budget.window_s * NS_PER_S)
        for first, start in enumerate(passed):
            for last in range(first, len(passed)):
                count = last - first + 1
                stretch_ns = passed[last] - start
                assert (count - budget.requests) * window_ns <= budget.requests * stretch_ns


@given(budgets, gaps, modes)
def test_reported_wait_is_the_exact_truth(
    budgets: list[Budget], gaps_ns: list[int], mode: Mode
) -> None:
    """
    After the wait that a refusal tells a request passes, and a nanosecond earlier it does not.
    """
    now_ns = 0
    limiter = Limiter(budgets, mode)
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        refusal = limiter.admit(now_ns)
        if refusal is not None:
            assert limiter.admit(now_ns + refusal.wait_ns - 1) is not None
            assert refusal.wait_s * NS_PER_S >= refusal.wait_ns
            now_ns += refusal.wait_ns
            assert limiter.admit(now_ns) is None


@given(st.lists(st.integers(0, 3 * NS_PER_S), max_size=60))
def test_crowd_is_counted_exactly(gaps_ns: list[int]) -> None:
    """The largest number of requests in any window is what a count over all arrivals gives."""
    crowd = PeakRate(Budget(requests=10, window_s=10))
    now_ns = 0
    times = []
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        times.append(now_ns)
        crowd.add(now_ns)
    assert _most(times, 10 * NS_PER_S) == crowd.most


@pytest.mark.parametrize(
    ("mode", "passed"), [("window", 10), ("bucket", 19), ("both", 10), ("off", 40)]
)
def test_readings_differ_as_documented(mode: Mode, passed: int) -> None:
    """In just under a window a bucket of 10 lets 19 requests through, a strict window 10."""
    limiter = Limiter([Budget(requests=10, window_s=10)], mode)
    gaps_ns = [0] * 10 + [NS_PER_S // 3] * 30
    assert passed == len(_admitted(limiter, gaps_ns))


def test_refusal_names_the_budget_that_lasts_longest() -> None:
    """
    Of several budgets that are used up, the refusal tells the wait and the name of the one that
    takes longest.
    """
    limiter = Limiter(
        [Budget(requests=1, window_s=10), Budget(requests=1, window_s=3600)], "window"
    )
    assert limiter.admit(0) is None
    refusal = limiter.admit(NS_PER_S)
    assert refusal is not None
    assert ("hour", 3599) == (refusal.bucket, refusal.wait_s)
