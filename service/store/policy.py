"""
The durations and limits by which the scripts keep calls.
"""

from typing import Final

from msgspec import Struct

HOUR_MS: Final = 3_600_000


class StorePolicy(Struct, frozen=True, kw_only=True):
    """
    Durations in milliseconds, limits, and a share.

    `job_ttl_ms` is how long arq keeps a job's body, longer than any call waits. A call whose alarm
    is `lost_alarm_ms` overdue, or with a message that is unread for `unread_message_ms`, is swept;
    a job that arq has started is lost if it has not registered within `job_start_ms`.
    `revision_ttl_ms` is how long a change of what is expected with a number can be noticed, longer
    than any job runs. At most `calls_per_number` unmatched calls are kept and woken for a number;
    of the entries whose window is over, `closed_candidates` per number are read. A call that waits
    for the account's outcomes is read `outcomes_delay_ms` after they came while its job ran: the
    workers learn of them within seconds. The clock's last time is written each `clock_noted_ms`;
    while it is ahead of that of Redis, it runs slower by the share `clock_slew`. An alarm that is
    due within `announced_ahead_ms` is announced to the workers.
    A bucket of the index holds the newest `calls_per_bucket` calls; a page of their names
    `ids_per_page`. A call whose job meets a bug is
    run again after `broken_first_ms`, then after pauses that grow to `broken_longest_ms`, and is
    given up after `broken_give_up_ms`. The newest `woken_calls` that were woken without a message
    are known for `woken_ttl_ms`.
    """

    # arq's default is one day after the due time; then it logs "job expired" and drops the job. A
    # call may wait much longer for a budget.
    job_ttl_ms: int = 10 * 365 * 24 * HOUR_MS
    # Workers look for due jobs at least twice a second: a job that is a second late is lost, or the
    # workers are full. To restore an alarm that is not lost does nothing.
    lost_alarm_ms: int = 1000
    # Above the longest pause of a worker that listens, so that it never sleeps past an alarm.
    announced_ahead_ms: int = 1000
    # A second net below `due`, for a message whose call has no due time at all. It should never be
    # needed.
    unread_message_ms: int = 30_000
    # A job is marked as running when it is taken; its first commit, or `Calls.begin`, follows
    # within milliseconds, unless Redis hangs.
    job_start_ms: int = 5000
    # After that an absent key and the empty revision that a job saw are equal again.
    revision_ttl_ms: int = HOUR_MS
    calls_per_number: int = 1000
    closed_candidates: int = 10
    outcomes_delay_ms: int = 1000
    # Each write costs room in the append-only file; once a second is little, and no step back of
    # the clock that matters is smaller.
    clock_noted_ms: int = 1000
    # Ten minutes are gone after 100. Slower only: a window of the budget lasts longer meanwhile,
    # never shorter.
    clock_slew: float = 0.1
    # The first is slow enough not to flood the log with tracebacks. A call goes on within an hour
    # after a fixed version is deployed, if that is done within a day.
    broken_first_ms: int = 60_000
    broken_longest_ms: int = HOUR_MS
    broken_give_up_ms: int = 24 * HOUR_MS
    calls_per_bucket: int = 1000
    # Above 128 Redis does not pack a sorted set any more, while a page is split.
    ids_per_page: int = 120
    # `tail` polls each second.
    woken_calls: int = 1000
    woken_ttl_ms: int = HOUR_MS
