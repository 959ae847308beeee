"""
Jobs as a worker takes them: what a job reads first comes with the job, and its last commit ends it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness
from workers.jobs.deliver import deliver

REF = "twilio:CA1"
JOB = f"default|{REF}"
KEYS_OF_JOB = (f"arq:in-progress:{JOB}", f"arq:job:{JOB}")


@pytest.fixture
async def world(store: Store, make_settings: Callable[..., Settings]) -> WorkerHarness:
    """A world with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))


async def run_taken(world: WorkerHarness) -> bool:
    """Take the one job that is due and run it; whether it has ended itself."""
    taken = await world.store.schedule.take(limit=5, read_limit=5, in_progress_s=33)
    assert taken.refs == [REF]
    context = {"runner": world.parts.runner, "job_id": JOB, "first_read": taken.first_reads[0]}
    return await deliver(context, "default", REF)


@pytest.mark.anyio
async def test_a_job_ends_with_its_last_commit(world: WorkerHarness) -> None:
    """What arq keeps of a job is gone once it has written its result, and its call has an alarm."""
    await world.receive(CALL[0])
    assert await run_taken(world)
    assert not await world.store.pool.exists(*KEYS_OF_JOB[0])
    assert await world.store.redis.hget("bc:default:running", REF) is None
    due = await world.store.pool.zscore("bc:default:due", REF)
    assert due == await world.store.pool.zscore(world.store.queue_name, JOB)
    assert (await world.stored()).version == 1


@pytest.mark.anyio
async def test_a_call_at_rest_has_no_job(world: WorkerHarness) -> None:
    """A call that was delivered has no alarm, and its job's body is gone."""
    for callback in CALL:
        await world.receive(callback)
    while await world.store.pool.zscore("bc:default:due", REF) is not None:
        world.advance(3)
        assert await run_taken(world)
    assert len(world.buildr.requests) == 1
    assert not await world.store.pool.exists(*KEYS_OF_JOB)
    assert not await world.store.pool.zcard(world.store.queue_name)


@pytest.mark.anyio
async def test_a_job_that_never_began_is_taken_over(world: WorkerHarness) -> None:
    """A job whose worker did not learn that it had taken it is found after some seconds."""
    await world.receive(CALL[0])
    assert (await world.store.schedule.take(limit=5, read_limit=5, in_progress_s=33)).refs
    key = KEYS_OF_JOB[0]
    left_ms = await world.store.pool.pttl(key)
    await world.store.pool.pexpire(key, timedelta(milliseconds=left_ms - 6000))
    world.advance(2)
    swept = await world.store.schedule.sweep(in_progress_s=33)
    assert swept.taken_over == 1
    assert await run_taken(world)


@pytest.mark.anyio
async def test_call_of_a_dead_worker_is_run_at_once(world: WorkerHarness) -> None:
    """However far its alarm is: what the dead worker was about to do is not known."""
    await world.receive(CALL[0])
    assert await run_taken(world)
    await world.store.pool.zadd("bc:default:due", {REF: 9e12})
    await world.store.pool.zadd(world.store.queue_name, {JOB: 9e12})
    await world.store.redis.hset("bc:default:running", REF, "dead")
    swept = await world.store.schedule.sweep(in_progress_s=33)
    assert swept.taken_over == 1
    due_ms = await world.store.pool.zscore("bc:default:due", REF)
    assert due_ms == await world.store.pool.zscore(world.store.queue_name, JOB)
    assert due_ms <= (await world.store.time()).timestamp() * 1000


@pytest.mark.anyio
async def test_a_damaged_record_stops_no_other_job(world: WorkerHarness) -> None:
    """A call of which nothing can be read is set aside, and the jobs beside it are taken."""
    await world.receive(CALL[0])
    await world.receive({**CALL[0], "CallSid": "CA2"})
    await world.store.pool.set("bc:default:call:twilio:CA2", "no hash")
    taken = await world.store.schedule.take(limit=5, read_limit=5, in_progress_s=33)
    assert sorted(taken.refs) == [REF, "twilio:CA2"]
    reads = dict(zip(taken.refs, taken.first_reads, strict=True))
    assert reads["twilio:CA2"] == []
    for ref in taken.refs:
        context = {"runner": world.parts.runner, "job_id": ref, "first_read": reads[ref]}
        assert await deliver(context, "default", ref) is (ref == REF)
    assert (await world.store.failed.count()) == 1


@pytest.mark.anyio
async def test_nobody_is_forgotten_while_a_job_has_read_the_call(world: WorkerHarness) -> None:
    """A job that was taken would write the call anew; what is to be erased waits for its end."""
    await world.receive(CALL[0])
    taken = await world.store.schedule.take(limit=5, read_limit=5, in_progress_s=33)
    assert await world.store.erasure.erase(REF) is None
    context = {"runner": world.parts.runner, "first_read": taken.first_reads[0]}
    assert await deliver(context, "default", REF)
    assert await world.store.erasure.erase(REF) is not None
