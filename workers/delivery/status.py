"""
When all that waits for Buildr will have been sent, computed from the budgets: for operators.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from service.settings import Budget
from service.store.rate_limit.backlog import Backlog


def clears_at(backlog: Backlog, budgets: Sequence[Budget]) -> datetime | None:
    """
    When the last of the waiting requests will have been sent (UTC), if no other comes.

    The present time if nothing waits. None while Buildr is down, since its return is unknown.
    """
    if backlog.outage is not None:
        return None
    if not backlog.requests:
        return backlog.now
    now = backlog.now.timestamp()
    start = now
    if backlog.blocked_until is not None:
        start = max(now, backlog.blocked_until.timestamp())
    last = _last_request_at(
        backlog.requests, backlog.counted, _allowed(budgets, backlog.allowance), start=start
    )
    return backlog.now + timedelta(seconds=last - now)


def _allowed(budgets: Sequence[Budget], allowance: int | None) -> list[Budget]:
    """The budgets, the shortest reduced to what is ours of it after a 429."""
    allowed = list(budgets)
    if allowance is None:
        return allowed
    shortest = min(range(len(allowed)), key=lambda index: allowed[index].window_s)
    budget = allowed[shortest]
    allowed[shortest] = Budget(requests=min(budget.requests, allowance), window_s=budget.window_s)
    return allowed


def _last_request_at(
    requests: int, counted: Sequence[float], budgets: Sequence[Budget], *, start: float
) -> float:
    """
    The earliest moment of the last of so many requests, in seconds since 1970 like `start`.

    `counted` are the moments of the requests before, in order.
    """
    longest = max(budget.requests for budget in budgets)
    # The moments are in order, so that the n-th last one tells whether a budget of n has room. A
    # request that is under way counts from now on.
    moments = deque((min(at, start) for at in counted), maxlen=longest)
    at = start
    for _ in range(requests):
        for budget in budgets:
            if len(moments) >= budget.requests:
                at = max(at, moments[-budget.requests] + budget.window_s)
        moments.append(at)
    return at
