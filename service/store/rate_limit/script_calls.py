"""
How each script in `scripts/` is called: one function per script, which names its arguments in the
order in which the script reads them.

`budgets` is JSON: `[[requests, window in ms], ...]`. Permits are ids, joined by commas. A `ref`
that starts with `#` is a request of the service's own, which has no job. `expected_ms` is the
present as the process knows it, None if it does not.
"""

from collections.abc import Iterable

from service.store.rate_limit.grants import HealthSignal
from service.store.rate_limit.lanes import Lane
from service.store.redis_client import Value
from service.store.script_runner import ScriptCall, as_flag, as_integers, as_list


def grant(
    *,
    budgets: str,
    ref: str,
    cost: int,
    hold_ms: int,
    lane: Lane,
    since_ms: int,
    newest_above: int,
    expected_ms: int | None,
) -> ScriptCall[list[bytes | int]]:
    """
    Ask for `cost` permits that are valid for `hold_ms`, or wait in a lane since `since_ms` (epoch).

    Returns 1, the permits, and ms until the first may be used; 0, ms to wait, and 1 if Buildr is
    away, where the call waits now; or 2 and ms to wait, where another job holds the call's permits.
    """
    arguments = (
        budgets,
        ref,
        cost,
        hold_ms,
        lane.value,
        since_ms,
        newest_above,
        _or_empty(expected_ms),
    )
    return ScriptCall("grant", arguments, as_list)


def renew(
    *, budgets: str, ref: str, permits: Iterable[str], answered: int, hold_ms: int
) -> ScriptCall[bool]:
    """
    Between requests of one call: the first `answered` permits are used up, the others valid anew.

    False if the permits have expired.
    """
    arguments = (budgets, ref, ",".join(permits), answered, hold_ms)
    return ScriptCall("renew", arguments, as_flag)


def release(
    *,
    budgets: str,
    ref: str,
    used: Iterable[str],
    unused: Iterable[str],
    permits: Iterable[str],
    signal: HealthSignal,
    detail: str,
    is_longer_bucket: bool,
) -> ScriptCall[list[int]]:
    """
    Give permits back: those used, those not, and all as they were granted.

    `detail` is ms to wait, or empty, for `limited`, and the cause for `down`; `is_longer_bucket`
    if a 429 was about a longer budget than the shortest. Returns ms for which all is blocked, 1
    while the breaker is open, ms of the outage that this ended, 1 if this opened the breaker, the
    requests of the shortest budget that are ours, 1 if Buildr did not know the call before and has
    known none since, and how many calls it has not known since it knew one.
    """
    arguments = (
        budgets,
        ref,
        ",".join(used),
        ",".join(unused),
        ",".join(permits),
        signal.value,
        detail,
        int(is_longer_bucket),
    )
    return ScriptCall("release", arguments, as_integers)


def pump(
    *,
    budgets: str,
    lease_ms: int,
    limit: int,
    newest_above: int,
    worker_id: str,
    has_reason: bool,
    expected_ms: int | None,
) -> ScriptCall[list[int]]:
    """
    Release at most `limit` waiting calls, whose permits expire after `lease_ms` unless used.

    Returns how many were released, how many still wait, ms until the next is worth asking, and the
    present (ms since the epoch).
    """
    arguments = (
        budgets,
        lease_ms,
        limit,
        newest_above,
        worker_id,
        int(has_reason),
        _or_empty(expected_ms),
    )
    return ScriptCall("pump", arguments, as_integers)


def _or_empty(value: int | None) -> Value:
    """An integer argument, empty for None."""
    if value is None:
        return ""
    return value
