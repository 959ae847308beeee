"""How many jobs a worker takes, and that a few requests at a time are under way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from service.cancelling import cancel_and_wait
from service.store.calls import FirstRead
from service.store.connection import Store
from workers.jobs.observer import JobObserver
from workers.jobs.request_places import RequestPlaces
from workers.jobs.runner import Runner
from workers.maintenance.redis_watch import RedisWatch
from workers.process.job_worker import PORTION, JobWorker, QueueReading

pytestmark = pytest.mark.anyio
SLOTS = 2
LIMIT_S = 60.0


@dataclass(slots=True)
class Held:
    """A runner whose jobs go on when the test lets them."""

    store: Store
    places: RequestPlaces
    worker_id: str = "w"
    observer: JobObserver = field(default_factory=JobObserver)
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    most: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ref: str, _: FirstRead) -> bool:
        """One job, which ends its call."""
        self.refs.append(ref)
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        self.most = max(self.most, len(self.waiting))
        self.changed.set()
        await gate
        await self.store.schedule.clear(ref)
        return False

    def release(self) -> None:
        """Let all jobs end that run."""
        for gate in self.waiting:
            gate.set_result(None)
        self.waiting.clear()

    async def until(self, running: int) -> None:
        """Wait until so many jobs run."""
        while len(self.waiting) < running:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), LIMIT_S)


@asynccontextmanager
async def working(runner: Held) -> AsyncIterator[None]:
    """A worker that takes jobs meanwhile."""
    reading = QueueReading(slots=SLOTS, limit_s=LIMIT_S, in_progress_s=LIMIT_S)
    worker = JobWorker(runner.store, cast("Runner", runner), reading=reading, watch=RedisWatch())
    tasks = {asyncio.create_task(worker.async_run())}
    try:
        yield
    finally:
        await cancel_and_wait(tasks)
        # Not cancelled: each gives its keys back by a task of its own.
        while running := [task for task in worker.tasks.values() if not task.done()]:
            runner.release()
            await asyncio.wait(running, timeout=0.1)


async def queue(store: Store, count: int) -> set[str]:
    """Make calls due; returns their names."""
    refs = {f"standard:c{number}" for number in range(count)}
    await asyncio.gather(*(store.schedule.wake(ref) for ref in refs))
    return refs


async def test_a_backlog_is_worked_on_in_growing_portions(worker_store: Store) -> None:
    """Up to a portion run side by side, and each call runs once."""
    refs = await queue(worker_store, PORTION + 9)
    runner = Held(worker_store, RequestPlaces(SLOTS))
    async with working(runner):
        await runner.until(SLOTS)
        await runner.until(PORTION)
        while len(runner.refs) < len(refs):
            runner.release()
            await runner.until(1)
    assert PORTION == runner.most
    assert sorted(refs) == sorted(runner.refs)


async def test_no_more_than_the_slots_run_while_all_places_are_taken(worker_store: Store) -> None:
    """What might send a request as well is left to other workers."""
    await queue(worker_store, PORTION)
    runner = Held(worker_store, RequestPlaces(SLOTS))
    async with working(runner):
        for _ in range(SLOTS):
            assert await runner.places.enter()
        for turn in range(1, 4):
            await runner.until(SLOTS)
            assert SLOTS * turn == len(runner.refs)
            runner.release()


async def test_jobs_behind_those_that_run_are_found(store: Store) -> None:
    """Many ids at the head of the queue are of jobs that run, some of nobody's."""
    await queue(store, 80)
    running = await store.schedule.take(limit=80, read_limit=1000, in_progress_s=LIMIT_S)
    assert 80 == len(running.refs)
    await store.pool.zadd(store.queue_name, {f"foreign-{number}": 1 for number in range(3)})
    await store.schedule.wake("standard:new")
    none = await store.schedule.take(limit=1, read_limit=64, in_progress_s=LIMIT_S)
    assert ([], 3) == (none.refs, len(none.foreign_ids))
    taken = await store.schedule.take(limit=1, read_limit=1000, in_progress_s=LIMIT_S)
    assert ["standard:new"] == taken.refs


async def test_a_place_is_waited_for_and_given_back() -> None:
    """One that is full says so in time, and takes the next one once a place is free."""
    places = RequestPlaces(1, wait_s=0)
    assert await places.enter()
    assert not await places.enter()
    assert 0 == places.free
    places.leave()
    assert await places.enter()
