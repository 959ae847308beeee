"""
How the fleet shares the requests that Buildr allows: the numbers of the scripts in `scripts/`.
"""

from msgspec import Struct


class RateLimitPolicy(Struct, frozen=True, kw_only=True):
    """
    Durations in milliseconds, and counts. The budgets themselves are settings.

    Permits: one may be granted `ahead_ms` before its time, so that its job is ready by then. A
    window is longer than Buildr's by `rounding_ms` and by `1 / drift_divisor` of itself, for two
    clocks that run apart. No permit lies more than `longest_hold_ms` in the future, unless the
    clock of Redis was set back. What is over is removed `expiry_grace_ms` later.

    Allowance: a 429 within the budgets halves what is used of the shortest; it grows by one request
    each `grow_ms`, or each `longest_grow_ms` at the latest where growing failed before.

    429: everything is blocked for at least `shortest_block_ms`. Where Buildr names no time, or
    names one that does not hold, for `first_block_ms`, doubled up to `block_doublings` times by
    each one that follows within `strikes_ttl_ms`, at most `longest_own_block_ms`.

    Breaker: opens after `failures_to_open` failures in a row; one request is tried after
    `first_probe_ms`, then after `longest_probe_ms` each time, or up to `longest_refused_probe_ms`
    where the token is refused or the budgets are small; one without an answer for `probe_wait_ms`
    does not hold up the next. It opens too when so many calls in a row, and for `unknown_ms`, are
    unknown to Buildr; this is noted for `unknown_ttl_ms`.

    Pump: the worker that keeps the time is replaced `keeper_ms` after it last asked; the others ask
    each `others_ms`. The keeper asks after `soon_ms` at the latest, or after `later_ms` if the next
    permit is more than `near_ms` away.

    Clock: one that is ahead of a worker's by `step_ahead_ms` since the worker's last turn was set.

    Lanes: each turn number `lane_turns` goes to a lane that is not the most urgent one, and each
    turn number `oldest_turns` to the oldest call where the newest go first.
    """

    # arq starts a job up to 50 ms after its wake-up, and a commit comes before the request. With
    # less, budget would be wasted; with more, jobs would wait in the slots of a worker.
    ahead_ms: int = 120
    rounding_ms: int = 5
    # 0.05 %: the most by which Linux slews a clock that it corrects (500 ppm).
    drift_divisor: int = 2000
    longest_hold_ms: int = 60_000
    expiry_grace_ms: int = 1000
    grow_ms: int = 60_000
    longest_grow_ms: int = 600_000
    shortest_block_ms: int = 100
    # Doubled already by the first 429, so that it blocks for 5 s.
    first_block_ms: int = 2500
    longest_own_block_ms: int = 60_000
    block_doublings: int = 6
    strikes_ttl_ms: int = 600_000
    # Fewer would stop everything for two calls that Buildr cannot digest; more would cost attempts
    # in a real outage.
    failures_to_open: int = 3
    first_probe_ms: int = 2000
    longest_probe_ms: int = 3000
    longest_refused_probe_ms: int = 30_000
    probe_wait_ms: int = 3000
    # Long enough for some calls that are really unknown to be followed by one that is not.
    unknown_ms: int = 5000
    unknown_ttl_ms: int = 86_400_000
    # Keeps the power of two small, however long an outage takes.
    probe_doublings: int = 10
    # Longer than the longest pause between two turns of a pump (`IDLE_S`, 1 s), so that a keeper
    # that is alive stays the keeper.
    keeper_ms: int = 1500
    others_ms: int = 1000
    near_ms: int = 2000
    soon_ms: int = 50
    later_ms: int = 500
    # Longer than an answer of Redis is usually on its way, which looks the same.
    step_ahead_ms: int = 1000
    lane_turns: int = 5
    oldest_turns: int = 4
