"""
Workers are woken when a job is due, and go on without that where they cannot be.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis.exceptions import NoPermissionError

from service.cancelling import cancel_and_wait
from service.settings import Settings
from service.store.calls import FirstRead
from service.store.connection import Store, open_store
from workers.jobs.observer import JobObserver
from workers.jobs.request_places import RequestPlaces
from workers.jobs.runner import Runner
from workers.maintenance.redis_watch import RedisWatch
from workers.process import wake_up
from workers.process.job_worker import JobWorker, QueueReading
from workers.process.wake_up import WakeUp

pytestmark = pytest.mark.anyio
REF = "standard:c1"
LIMIT_S = 60.0
HOUR_S = 3600.0


async def command(store: Store, *parts: str) -> None:
    """Send a command for which the client has no method."""
    async with store.pool.pipeline(transaction=False) as pipe:
        pipe.execute_command(*parts)
        await pipe.execute()


@dataclass(slots=True)
class Announced:
    """Announcements as they come."""

    queue: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)

    def __call__(self) -> None:
        """One has come."""
        self.queue.put_nowait(None)

    async def next(self) -> None:
        """Wait for one."""
        await asyncio.wait_for(self.queue.get(), LIMIT_S)


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[Announced]:
    """Listen to a store's announcements; the confirmation has come."""
    announced = Announced()
    task = asyncio.create_task(store.announcements.listen(announced))
    await announced.next()
    yield announced
    await cancel_and_wait({task})


async def test_only_what_is_due_soon_is_announced(store: Store) -> None:
    """A call that is due now is announced, one that is due in an hour is not."""
    async with listening(store) as announced:
        await store.schedule.postpone(REF, at=datetime.now(UTC) + timedelta(hours=1))
        await store.schedule.rearm(REF, worker_id="w")
        await store.schedule.wake(REF)
        await announced.next()
        # Marks the end: what was announced before it has come before it.
        await store.pool.publish(store.keys.alarms, "")
        await announced.next()
        assert announced.queue.empty()


async def test_a_cut_connection_listens_again(store: Store) -> None:
    """A failover cuts the connection; the new one makes the worker look into the queue."""
    async with listening(store) as announced:
        await command(store, "CLIENT", "KILL", "TYPE", "pubsub")
        await announced.next()
        await store.schedule.wake(REF)
        await announced.next()


async def test_a_silent_connection_is_asked_whether_it_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a silence there is a PING, and its answer is no announcement."""
    monkeypatch.setattr("service.store.announcements.SILENCE_S", 0.01)
    async with listening(store) as announced:
        pings = await _pings(store)
        while await _pings(store) == pings:
            pass
        assert announced.queue.empty()
        await store.schedule.wake(REF)
        await announced.next()


async def test_a_user_who_may_not_use_the_channel_can_do_the_rest(
    store: Store,
    redis_url: str,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Jobs are queued and taken; the worker says that it cannot be woken."""
    rules = ("on", ">pw", "resetchannels", "~bc:*", "~arq:*", "+@all", "-@dangerous")
    await command(store, "ACL", "SETUSER", "limited", *rules)
    settings = make_settings(REDIS_URL=redis_url.replace("unix://", "unix://limited:pw@"))
    async with open_store(settings, role="cli") as limited:
        await limited.schedule.wake(REF)
        taken = await limited.schedule.take(limit=1, read_limit=1, in_progress_s=1)
        assert [REF] == taken.refs
        with pytest.raises(NoPermissionError):
            await limited.announcements.listen(Announced())
        waking = WakeUp(limited.announcements)
        logged = asyncio.Event()
        monkeypatch.setattr(wake_up.log, "warning", lambda *_, **__: logged.set())
        task = asyncio.create_task(waking.listen())
        await asyncio.wait_for(logged.wait(), LIMIT_S)
        await cancel_and_wait({task})
    await command(store, "ACL", "DELUSER", "limited")
    assert not waking.is_listening


async def test_the_next_due_time_comes_with_the_jobs(store: Store) -> None:
    """Taking jobs returns when the next one has to be."""
    await store.schedule.wake(REF)
    now = await store.time()
    await store.schedule.postpone("standard:c2", at=now + timedelta(seconds=HOUR_S))
    await store.schedule.rearm("standard:c2", worker_id="w")
    taken = await store.schedule.take(limit=9, read_limit=9, in_progress_s=1)
    assert [REF] == taken.refs
    assert taken.next_in_s is not None
    assert HOUR_S - LIMIT_S < taken.next_in_s <= HOUR_S


@dataclass(slots=True)
class Recorder:
    """A runner that only notes what it is to run."""

    store: Store
    refs: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    worker_id: str = "w"
    observer: JobObserver = field(default_factory=JobObserver)
    places: RequestPlaces = field(default_factory=lambda: RequestPlaces(1))

    async def run(self, ref: str, first_read: FirstRead) -> bool:
        """One job, of a call of which nothing is stored."""
        assert not any(first_read)
        await self.store.schedule.clear(ref)
        self.refs.put_nowait(ref)
        return False


async def test_jobs_start_without_polling(
    worker_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Due now, soon, and more of them than there are slots: all start by wake-ups alone."""
    monkeypatch.setattr(wake_up, "LISTENING_POLL_S", HOUR_S)
    monkeypatch.setattr(wake_up, "POLL_DELAY_S", HOUR_S)
    runner = Recorder(worker_store)
    reading = QueueReading(slots=1, limit_s=LIMIT_S, in_progress_s=LIMIT_S)
    worker = JobWorker(worker_store, cast("Runner", runner), reading=reading, watch=RedisWatch())
    tasks = {
        asyncio.create_task(worker.async_run()),
        asyncio.create_task(worker.wake_up.listen()),
    }
    refs = {f"standard:c{number}" for number in range(3)}
    try:
        async with asyncio.timeout(LIMIT_S):
            for ref in refs:
                await worker_store.schedule.wake(ref)
            assert refs == {await runner.refs.get() for _ in refs}
            soon = await worker_store.time() + timedelta(milliseconds=20)
            await worker_store.schedule.postpone(REF, at=soon)
            await worker_store.schedule.rearm(REF, worker_id="w")
            assert await runner.refs.get() == REF
    finally:
        await cancel_and_wait(tasks)


async def _pings(store: Store) -> int:
    """How many PINGs the server has had since it started."""
    stats = await store.redis.info("commandstats")
    return int(stats.get("cmdstat_ping", {}).get("calls", 0))
