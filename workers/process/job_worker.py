"""
arq's worker with our own way to take a job and to give it back.

arq decides by this machine's clock when a job is due, ends with the first error of Redis, drops a
job whose body is damaged, and needs seven round trips for a job. Its queue, its keys and the form
of its jobs are the same here, so that workers of the version before may run beside this one.
"""

import asyncio
from typing import Any, Final

import structlog
from arq.worker import Worker, func
from msgspec import Struct

from service.logs.events import LogEvent
from service.settings import Settings
from service.store.calls import FirstRead
from service.store.connection import Store
from service.store.redis_trouble import REDIS_ERRORS
from service.store.worker_client import worker_client
from workers.jobs.deliver import deliver
from workers.jobs.runner import Runner
from workers.maintenance.redis_watch import RedisWatch
from workers.process.timing import in_progress_s, job_limit_s
from workers.process.wake_up import WakeUp

# A job ends by its own rules, kept in its call's record: arq must never give one up.
MAX_TRIES: Final = 2**31 - 1
# A Redis that is away is asked again so soon, whatever the heartbeat knows.
WAIT_FOR_REDIS_S: Final = 5.0
# To end a job that is over must not hold up the end of the process.
GIVE_BACK_TIMEOUT_S: Final = 5.0
BROKEN_RETRY_S: Final = 1.0
# Jobs of a backlog that run side by side and share their round trips, while no request is under
# way. Their first steps together take far less than `job_start_ms`.
PORTION: Final = 50
# Ids that are looked at for new jobs. The ids of jobs that run are among them: with fewer than run
# in the whole fleet, a worker could see nothing else.
READ_LIMIT: Final = 20 * PORTION

log = structlog.get_logger(__name__)


class QueueReading(Struct, frozen=True, kw_only=True):
    """
    How jobs are read from the queue: `slots` run at a time whatever they do, and may have requests
    under way. A job may take `limit_s` seconds, and is marked as running for `in_progress_s`.
    """

    slots: int
    limit_s: float
    in_progress_s: float

    @classmethod
    def of(cls, settings: Settings) -> "QueueReading":
        """The figures of an account's settings."""
        return cls(
            slots=settings.worker_jobs,
            limit_s=job_limit_s(settings),
            in_progress_s=in_progress_s(settings),
        )


class JobWorker(Worker):
    """Takes due jobs by the clock of Redis, and goes on through every trouble with Redis."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        *,
        reading: QueueReading,
        watch: RedisWatch,
    ) -> None:
        super().__init__(
            # The name is fixed: arq's default is the function's qualified name, and a rename would
            # leave every job in the queue without a function.
            functions=[func(deliver, name="deliver", max_tries=MAX_TRIES)],
            queue_name=store.queue_name,
            redis_pool=worker_client(store.pool),
            ctx={"runner": runner},
            max_jobs=reading.slots,
            job_timeout=reading.limit_s,
            # arq forgets a signal that arrives before its first turn; `main` handles signals.
            handle_signals=False,
        )
        self._store = store
        self._runner = runner
        self._reading = reading
        self._watch = watch
        self.wake_up = WakeUp(store.announcements)
        self._next_in_s: float | None = None
        self._running = 0
        # How many jobs may run beside each other as long as none has a request under way. It grows
        # with a backlog, so that a few due calls are shared among the workers.
        self._portion = reading.slots
        # Whether the last look found as many jobs as there was room for.
        self._is_full = False
        # Calls whose job is over and could not be given back.
        self._kept_refs: set[str] = set()

    async def main(self) -> None:
        """Take jobs until cancelled."""
        # arq's own asks Redis for its figures first, and would end if it does not answer.
        while True:
            await self._poll_iteration()
            await self.wake_up.wait(next_in_s=self._next_in_s)

    async def _poll_iteration(self) -> None:
        self._forget_finished()
        try:
            await self._give_back_kept()
            await self._start_due()
        except (*REDIS_ERRORS, OSError) as err:
            self._watch.lost(err)
            if self._watch.is_well:
                # Redis refuses this command alone: once more, but not at once.
                await asyncio.sleep(BROKEN_RETRY_S)
            await self._watch.wait_until_well(at_most_s=WAIT_FOR_REDIS_S)
        # A bug: the loop must go on, since nothing else takes jobs.
        except Exception:
            log.exception(LogEvent.WORKER_TURN_FAILED, reason="internal_error")
            await asyncio.sleep(BROKEN_RETRY_S)

    async def _start_due(self) -> None:
        self._next_in_s = None
        free = self._room
        if not self.allow_pick_jobs or free <= 0:
            # What was announced meanwhile is taken when there is room again.
            self._is_full = True
            return
        taken = await self._store.schedule.take(
            limit=free,
            read_limit=READ_LIMIT,
            in_progress_s=self._reading.in_progress_s,
        )
        for job_id in taken.foreign_ids:
            log.warning(LogEvent.JOB_FOREIGN, job_id=job_id, queue=self.queue_name)
        for ref, first_read in zip(taken.refs, taken.first_reads, strict=True):
            self.tasks[ref] = self.loop.create_task(self._run(ref, first_read))
            self.tasks[ref].add_done_callback(self._finished)
        self._running += len(taken.refs)
        self._next_in_s = taken.next_in_s
        self._is_full = len(taken.refs) >= free
        self._portion = self._next_portion()

    @property
    def _most(self) -> int:
        """
        How many jobs may run now: the slots, and more of them the fewer requests are under way.
        """
        slots = self._reading.slots
        return max(slots, self._portion * self._runner.places.free // slots)

    @property
    def _room(self) -> int:
        return self._most - self._running

    def _next_portion(self) -> int:
        slots = self._reading.slots
        if not self._is_full:
            return slots
        return max(slots, min(2 * self._portion, PORTION))

    def _finished(self, _: "asyncio.Task[None]") -> None:
        self._running -= 1
        # Of jobs that were left for want of room nothing is announced again. Of a large portion a
        # quarter is taken at a time: to ask for each job that ends would cost more than the job.
        enough = max(1, (self._most - self._reading.slots) // 4)
        if self._is_full and self._room >= enough:
            self.wake_up.wake()

    async def _run(self, ref: str, first_read: FirstRead) -> None:
        account = self._store.account
        ctx: dict[str, Any] = {
            **self.ctx,
            "job_id": f"{account}|{ref}",
            "limit_s": self._reading.limit_s,
            "first_read": first_read,
        }
        is_ended = False
        try:
            is_ended = await deliver(ctx, account, ref)
        finally:
            # Shielded: cancelled, the job gives its key back and stays in the queue for another
            # worker.
            if not is_ended:
                await asyncio.shield(self._give_back(ref))

    async def _give_back(self, ref: str) -> None:
        """
        Take the keys of a job away, and set the alarm again if the call is to be run again.

        What came during the job could set no alarm, since a job that runs is not queued twice. If
        this is skipped, the sweep finds the call some seconds later.
        """
        try:
            async with asyncio.timeout(GIVE_BACK_TIMEOUT_S):
                await self._store.schedule.rearm(ref, worker_id=self._runner.worker_id)
        except (*REDIS_ERRORS, OSError) as err:
            self._kept_refs.add(ref)
            self._watch.lost(err)

    async def _give_back_kept(self) -> None:
        """Give back what Redis did not take at the end of a job."""
        while self._kept_refs:
            ref = self._kept_refs.pop()
            if ref not in self.tasks:
                try:
                    await self._store.schedule.rearm(ref, worker_id=self._runner.worker_id)
                except (*REDIS_ERRORS, OSError):
                    self._kept_refs.add(ref)
                    raise

    def _forget_finished(self) -> None:
        for ref, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[ref]
                if not task.cancelled() and (err := task.exception()) is not None:
                    # `deliver` never raises, nor does the end of a job: a bug.
                    log.error(LogEvent.JOB_BROKEN, error=repr(err))
