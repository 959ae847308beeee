"""
What a replay costs: requests, and the minutes of budget that they take.
"""

import math
from collections.abc import Sequence

from service.counts import counted
from service.settings import Budget


def budget_minutes(requests: int, budgets: Sequence[Budget]) -> float:
    """How many minutes so many requests take, at the lasting rate that all budgets allow."""
    # The lasting rate: a burst is used up after its first window.
    rate = min(budget.requests / budget.window_s for budget in budgets)
    return requests / rate / 60


def budget_text(requests: int, budgets: Sequence[Budget]) -> str:
    """The cost as a phrase, like `about 2 min of budget (12 requests)`."""
    if not requests:
        return "no budget"
    minutes = math.ceil(budget_minutes(requests, budgets))
    return f"about {minutes} min of budget ({counted(requests, 'request', 'requests')})"
