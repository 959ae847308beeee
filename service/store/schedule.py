"""
When calls want attention: alarms for arq, and the sweep that gives lost ones back.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from service.store import script_calls
from service.store.calls import FirstRead
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# Per run of a script, which blocks Redis for its time. What is left is found by the next turn.
SWEEP_LIMIT = 500
WAKE_LIMIT = 1000


class Swept(Struct, frozen=True):
    """What a sweep has found: alarms that were lost, and calls of dead workers."""

    healed: int
    taken_over: int


class Taken(Struct, frozen=True):
    """
    The calls whose jobs were taken, and the ids of jobs in the queue that were not ours.

    `first_reads` are what was read of each call, for `Calls.read`; empty where that was not
    possible. `next_in_s` is in how many seconds the next job is due, None if there is none.
    """

    refs: list[str]
    first_reads: list[FirstRead]
    foreign_ids: list[str]
    next_in_s: float | None = None


class Schedule(Struct, frozen=True):
    """The `due` index is the truth; arq's jobs are its alarms and may be lost at any time."""

    redis: Client
    keys: Keys
    scripts: Scripts

    async def wake(self, ref: str) -> None:
        """Make a call due now."""
        await self.scripts.run(script_calls.wake(ref=ref))

    async def rearm(self, ref: str, *, worker_id: str) -> None:
        """
        End the job of a call at a worker, and set its alarm again if it still needs attention.
        """
        await self.scripts.run(script_calls.rearm(ref=ref, worker_id=worker_id))

    async def take(self, *, limit: int, read_limit: int, in_progress_s: float) -> Taken:
        """
        Take due jobs, at most `limit` of the first `read_limit` in the queue; each counts as
        running for `in_progress_s`. Jobs that are not ours are removed.
        """
        call = script_calls.take(
            limit=limit, read_limit=read_limit, in_progress_ms=int(in_progress_s * 1000)
        )
        refs, first_reads, foreign_ids, next_in_ms = await self.scripts.run(call)
        next_in_s = None
        if next_in_ms:
            next_in_s = int(next_in_ms[0]) / 1000
        return Taken(_texts(refs), first_reads, _texts(foreign_ids), next_in_s)

    async def postpone(self, ref: str, *, at: datetime) -> None:
        """Make a call due at a time; for a job that could not commit anything itself."""
        # No alarm: the job of this call runs now, and `rearm` sets the alarm from `due` when it
        # ends. If the worker dies before, the sweep does.
        at_ms = int(at.timestamp() * 1000)
        await self.scripts.run(script_calls.postpone(ref=ref, at_ms=at_ms))

    async def postpone_broken(self, ref: str) -> timedelta | None:
        """
        Make a call due again whose job met a bug: after a minute, and then after pauses that grow
        to an hour. Returns the pause; None once that has gone on for a day.
        """
        is_given_up, pause_ms = await self.scripts.run(script_calls.broken(ref=ref))
        if is_given_up:
            return None
        return timedelta(milliseconds=pause_ms)

    async def clear(self, ref: str) -> None:
        """
        Take away the alarm of a call that nothing is known of; a message that came just now keeps
        it.
        """
        await self.scripts.run(script_calls.clear(ref=ref))

    async def sweep(self, *, in_progress_s: float) -> Swept:
        """
        Give alarms back to overdue calls that have lost them, and take over the calls of workers
        that have died.

        `in_progress_s` is for how long arq marks a job as being run.
        """
        in_progress_ms = int(in_progress_s * 1000)
        call = script_calls.sweep(limit=SWEEP_LIMIT, in_progress_ms=in_progress_ms)
        healed, taken_over = await self.scripts.run(call)
        return Swept(healed, taken_over)

    async def wake_named(self) -> None:
        """Wake the calls that wait for the account's outcomes, which have just been read."""
        # In portions, so that an account whose calls have waited for days does not block Redis.
        while await self.scripts.run(script_calls.named(limit=WAKE_LIMIT)) == WAKE_LIMIT:
            continue

    async def forget_old(self, *, before_ms: int) -> list[str]:
        """
        Drop unmatched calls that have waited since before a time (ms since the epoch).

        Stalled calls leave their list then, since their records expire by themselves.

        Returns the names of the calls, so that the caller can say so.
        """
        await self.redis.zremrangebyscore(self.keys.named("stalled"), "-inf", before_ms)
        refs = await self.redis.zrangebyscore(
            self.keys.named("unmatched"), "-inf", before_ms, start=0, num=SWEEP_LIMIT
        )
        # The script checks the age again: the call may have been matched since the list was read.
        return [
            ref
            for ref in map(name_in, refs)
            if await self.scripts.run(script_calls.forget(ref=ref, before_ms=before_ms))
        ]

    async def unmatched_count(self) -> int:
        """How many calls have no Buildr call."""
        return await self.redis.zcard(self.keys.named("unmatched"))

    async def stalled_count(self) -> int:
        """How many calls never got their final event."""
        return await self.redis.zcard(self.keys.named("stalled"))

    async def due_count(self) -> int:
        """How many calls have an alarm."""
        return await self.redis.zcard(self.keys.named("due"))


def _texts(names: list[bytes]) -> list[str]:
    # Bytes that are no text are escaped.
    return [name.decode(errors="backslashreplace") for name in names]
