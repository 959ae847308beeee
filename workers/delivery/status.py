"""
The status of an account's queue: what waits for Buildr and when all of it will have been sent.

For operators; nothing is decided by it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from service.settings import Budget, Settings
from service.store.clock import agrees_in_s
from service.store.connection import Store
from service.store.rate_limit.backlog import Backlog, LaneLoad, Outage
from service.store.rate_limit.lanes import Lane


class LaneStatus(Struct, frozen=True, kw_only=True):
    """How many calls wait in a lane, and for how long the oldest has waited (None: none waits)."""

    lane: Lane
    calls: int
    oldest_age_s: float | None


class BudgetUse(Struct, frozen=True, kw_only=True):
    """How many requests of a budget are used in the window that ends now."""

    used: int
    budget: Budget


class AccountStatus(Struct, frozen=True, kw_only=True):
    """
    The queue of one account at one moment; times are UTC, those of Redis.

    `clears_at` is None while Buildr is down. `allowance` is how many requests of the shortest
    budget are this service's, None if all are. `counters` are by `name:source`.
    """

    account: str
    workers_alive: int
    unread_messages: int
    oldest_message_age_s: float | None
    scheduled_calls: int
    waiting_calls: int
    lanes: tuple[LaneStatus, ...]
    clears_at: datetime | None
    budget_uses: tuple[BudgetUse, ...]
    allowance: int | None
    blocked_s: float
    outage: Outage | None
    redis_clock_set_back_s: float
    redis_clock_agrees_in_s: float
    unmatched: int
    stalled: int
    failed: int
    silent_sources: tuple[str, ...]
    counters: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """
        For JSON; times are ISO 8601 in UTC with a Z, whole seconds.

        Keys: account, workers_alive, messages_not_read_yet, oldest_message_age_s,
        calls_with_an_alarm, calls_waiting, lanes (by name: calls, oldest_age_s), clears_at,
        requests_used (per budget: used, requests, window_s), allowance, blocked_by_buildr_s, outage
        (since, cause, next_try_at), redis_clock_set_back_s, redis_clock_agrees_in_s, unmatched,
        stalled, failed, silent_sources, counters.
        """
        return {
            "account": self.account,
            "workers_alive": self.workers_alive,
            "messages_not_read_yet": self.unread_messages,
            "oldest_message_age_s": self.oldest_message_age_s,
            "calls_with_an_alarm": self.scheduled_calls,
            "calls_waiting": self.waiting_calls,
            "lanes": {
                lane.lane.value: {"calls": lane.calls, "oldest_age_s": lane.oldest_age_s}
                for lane in self.lanes
            },
            "clears_at": _iso(self.clears_at),
            "requests_used": [
                {"used": use.used, "requests": use.budget.requests, "window_s": use.budget.window_s}
                for use in self.budget_uses
            ],
            "allowance": self.allowance,
            "blocked_by_buildr_s": self.blocked_s,
            "outage": _outage_as_dict(self.outage),
            "redis_clock_set_back_s": self.redis_clock_set_back_s,
            "redis_clock_agrees_in_s": self.redis_clock_agrees_in_s,
            "unmatched": self.unmatched,
            "stalled": self.stalled,
            "failed": self.failed,
            "silent_sources": list(self.silent_sources),
            "counters": dict(self.counters),
        }


async def read_account_status(settings: Settings, store: Store) -> AccountStatus:
    """Read the status of the account that `store` is of. Raises redis-py's errors."""
    # Several reads, each of its own moment: the figures may differ by what happens in between,
    # which is of no matter for a display.
    unread_messages, oldest_at_s = await store.messages.waiting()
    backlog = await store.backlog()
    # Ages are taken from the clock of Redis, which wrote the times: the machine of the operator who
    # asks may be minutes off.
    now_s = backlog.now.timestamp()
    oldest_message_age_s = None
    if oldest_at_s is not None:
        oldest_message_age_s = round(now_s - oldest_at_s, 1)
    blocked_s = 0.0
    if backlog.blocked_until is not None:
        blocked_s = round(backlog.blocked_until.timestamp() - now_s, 1)
    last_activity = await store.source_activity.last()
    return AccountStatus(
        account=settings.account,
        redis_clock_set_back_s=backlog.clock_set_back_s,
        redis_clock_agrees_in_s=agrees_in_s(backlog.clock_set_back_s),
        workers_alive=await store.workers.count(),
        unread_messages=unread_messages,
        oldest_message_age_s=oldest_message_age_s,
        scheduled_calls=await store.schedule.due_count(),
        waiting_calls=backlog.calls,
        # The lane `own` holds the service's own requests, no calls.
        lanes=tuple(
            _lane_status(load, now=backlog.now)
            for load in backlog.lanes
            if load.lane is not Lane.OWN
        ),
        clears_at=clears_at(backlog, settings.buildr_budgets),
        budget_uses=tuple(
            _budget_use(backlog.counted, budget, now_s=now_s) for budget in settings.buildr_budgets
        ),
        allowance=_reduced_allowance(backlog.allowance, settings.buildr_budgets),
        blocked_s=blocked_s,
        outage=backlog.outage,
        unmatched=await store.schedule.unmatched_count(),
        stalled=await store.schedule.stalled_count(),
        failed=await store.failed.count(),
        silent_sources=tuple(sorted(slug for kind, slug in last_activity if kind == "silent")),
        counters=await store.counters.all(),
    )


def _lane_status(load: LaneLoad, *, now: datetime) -> LaneStatus:
    oldest_age_s = None
    if load.oldest_at is not None:
        oldest_age_s = round((now - load.oldest_at).total_seconds(), 1)
    return LaneStatus(lane=load.lane, calls=load.calls, oldest_age_s=oldest_age_s)


def _budget_use(counted: Sequence[float], budget: Budget, *, now_s: float) -> BudgetUse:
    # By the window alone. The margin that `free_at` adds is ours, and an operator compares this
    # number with Buildr's own.
    in_window = sum(1 for at_s in counted if at_s > now_s - budget.window_s)
    # A permit for a moment ahead replaces one that is about to leave the window: both are counted
    # for a short time.
    return BudgetUse(used=min(budget.requests, in_window), budget=budget)


def _reduced_allowance(allowance: int | None, budgets: Sequence[Budget]) -> int | None:
    """The allowance if it is less than the whole shortest budget, None otherwise."""
    shortest = min(budgets, key=lambda budget: budget.window_s)
    if allowance is None or allowance >= shortest.requests:
        return None
    return allowance


def _outage_as_dict(outage: Outage | None) -> dict[str, str | None] | None:
    if outage is None:
        return None
    return {
        "since": _iso(outage.since),
        "cause": outage.cause,
        "next_try_at": _iso(outage.next_try_at),
    }


def _iso(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def clears_at(backlog: Backlog, budgets: Sequence[Budget]) -> datetime | None:
    """
    When the last of the waiting requests will have been sent (UTC), if no other comes.

    The present time if nothing waits. None while Buildr is down, since its return is unknown.
    """
    # A number would be a guess that an operator takes for a promise.
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
