"""
When all that waits for Buildr will have gone: reckoned from the budgets, for people.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from service.settings import Budget
from service.store.rate_limit.backlog import Backlog


def clears_at(backlog: Backlog, budgets: Sequence[Budget]) -> datetime | None:
    """
    When the last of the waiting requests will have gone (UTC), if nothing else comes; None while
    Buildr is away, since nobody knows.

    The present time if nothing waits.
    """
    if backlog.outage is not None:
        return None
    if not backlog.requests:
        return backlog.now
    shares = list(budgets)
    if backlog.allowance is not None:
        shortest = min(range(len(shares)), key=lambda place: shares[place].window_s)
        shares[shortest] = Budget(
            requests=min(shares[shortest].requests, backlog.allowance),
            window_s=shares[shortest].window_s,
        )
    now = backlog.now.timestamp()
    start = max(
        now, backlog.blocked_until.timestamp() if backlog.blocked_until is not None else now
    )
    return backlog.now + timedelta(
        seconds=_last_of(backlog.requests, backlog.counted, shares, start=start) - now
    )


def _last_of(
    requests: int, counted: Sequence[float], budgets: Sequence[Budget], *, start: float
) -> float:
    """
    The moment at which the last of so many requests may go; `counted` are the moments of those
    before, in order.
    """
    reach = max(budget.requests for budget in budgets)
    # The moments are in order, so that the n-th last one tells whether a budget of n has room. One
    # under way counts from now on.
    gone = deque((min(at, start) for at in counted), maxlen=reach)
    at = start
    for _ in range(requests):
        for budget in budgets:
            if len(gone) >= budget.requests:
                at = max(at, gone[-budget.requests] + budget.window_s)
        gone.append(at)
    return at
