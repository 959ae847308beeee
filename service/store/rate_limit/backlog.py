"""
What waits for Buildr, and what blocks it: for status output, never for a decision.
"""

from datetime import UTC, datetime

from msgspec import Struct

from service.store.clock import read_ahead_ms
from service.store.keys import Keys, name_in
from service.store.rate_limit.lanes import LANES, Lane
from service.store.redis_client import Client
from service.store.stored_values import read_integer, read_ms, read_number


class LaneLoad(Struct, frozen=True, kw_only=True):
    """How many calls wait in a lane, and since when the one that has waited longest (UTC)."""

    lane: Lane
    calls: int
    oldest_at: datetime | None


class Outage(Struct, frozen=True, kw_only=True):
    """
    An open breaker: since when (UTC), why, and when the next request probes whether Buildr is back.
    """

    since: datetime
    cause: str
    next_try_at: datetime


class Backlog(Struct, frozen=True, kw_only=True):
    """
    All lanes; times are UTC, those of Redis.

    `requests` is how many requests the waiting calls need; `counted` are the moments (seconds since
    the epoch) from which the requests that count against the budgets now stop to count one window
    later; `allowance` is set while less than the whole shortest budget is ours. `now` is ahead of
    the clock of Redis by `clock_set_back_s`, since that was set back.
    """

    now: datetime
    clock_set_back_s: float
    lanes: tuple[LaneLoad, ...]
    requests: int
    counted: tuple[float, ...]
    blocked_until: datetime | None
    allowance: int | None
    outage: Outage | None

    @property
    def calls(self) -> int:
        """How many calls wait."""
        return sum(load.calls for load in self.lanes)


async def read_backlog(redis: Client, keys: Keys, *, skew_ms: int = 0) -> Backlog:
    """
    Read it all at one moment. Raises redis-py's errors. `skew_ms` is for simulations, see
    `Scripts`.
    """
    # A transaction, since a call moves from lane to lane: it would be counted twice or not at all.
    pipe = redis.pipeline(transaction=True)
    pipe.time()
    pipe.hgetall(keys.named("clock"))
    for lane in LANES:
        pipe.zcard(keys.named(f"lane:{lane}"))
        pipe.zrange(keys.named(f"lane:{lane}"), 0, 0, withscores=True)
    pipe.hvals(keys.named("lane_cost"))
    pipe.zrange(keys.named("limit"), 0, -1, withscores=True)
    pipe.get(keys.named("blocked"))
    pipe.hgetall(keys.named("allowance"))
    pipe.hgetall(keys.named("breaker"))
    (seconds, micros), clock, *rest = await pipe.execute()
    *lanes, costs, limit, blocked, allowance, breaker = rest
    redis_ms = seconds * 1000 + micros // 1000 + skew_ms
    ahead_ms = read_ahead_ms(redis_ms, clock)
    now = datetime.fromtimestamp((redis_ms + ahead_ms) / 1000, UTC)
    loads = tuple(
        _lane_load(lane, calls=calls, oldest=oldest)
        for lane, calls, oldest in zip(LANES, lanes[::2], lanes[1::2], strict=True)
    )
    costs = [read_integer(cost) or 1 for cost in costs]
    return Backlog(
        now=now,
        clock_set_back_s=ahead_ms / 1000,
        lanes=loads,
        requests=sum(load.calls for load in loads) + sum(cost - 1 for cost in costs),
        counted=tuple(score / 1000 for _, score in limit),
        blocked_until=_blocked_until(blocked, now),
        allowance=_allowance(allowance),
        outage=_outage(breaker),
    )


def _lane_load(lane: Lane, *, calls: int, oldest: list[tuple[bytes, float]]) -> LaneLoad:
    oldest_at = None
    if oldest:
        oldest_at = _moment(oldest[0][1])
    return LaneLoad(lane=lane, calls=calls, oldest_at=oldest_at)


def _blocked_until(blocked: bytes | None, now: datetime) -> datetime | None:
    """The end of the block; None if it is over, since its key lives a moment longer."""
    until = read_ms(blocked)
    if until is None or until <= now:
        return None
    return until


def _allowance(fields: dict[bytes, bytes]) -> int | None:
    size = read_number(fields.get(b"size"))
    if size is None:
        return None
    return int(size)


def _outage(breaker: dict[bytes, bytes]) -> Outage | None:
    since = read_ms(breaker.get(b"opened_at"))
    if since is None:
        return None
    tries = (read_ms(breaker.get(b"probe_at")), read_ms(breaker.get(b"probe_until")))
    return Outage(
        since=since,
        cause=name_in(breaker.get(b"cause", b"")),
        next_try_at=max((at for at in tries if at is not None), default=since),
    )


def _moment(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
