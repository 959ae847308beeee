"""
What a worker costs: with nothing to do, for a fold, and for a backlog of calls that all wait for
budget. `make bench-worker` runs it.

Beside the backlog stand as many jobs of plain arq that do nothing, in the same run: the least that
arq takes for a job.
"""

import asyncio
import os
import shutil
import tempfile
import time
import timeit
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from arq.utils import poll
from arq.worker import Worker, func
from msgspec.structs import replace

from service.cancelling import cancel_and_wait
from service.collector import reduce_gc_pauses
from service.events import AnsweredBy, CallEvent, Direction, EventType, HangupCause
from service.logs.setup import configure_logging, flush_log
from service.settings import Settings, load_installation
from service.store.connection import Store, open_store
from service.store.outcomes import StoredOutcomes
from service.store.worker_client import worker_client
from tests.benchmarks.idle import measure_idle
from tests.benchmarks.report import machine, table
from tests.benchmarks.workload import Put, put_in, short_cases
from tests.doubles.redis import RedisServer
from workers.buildr import BuildrClient, ReadyToken
from workers.calls.fold import fold
from workers.maintenance.redis_watch import RedisWatch
from workers.process.assembly import build_worker
from workers.process.event_loop import new_event_loop
from workers.process.job_worker import JobWorker, QueueReading
from workers.sandbox.records import OUTCOMES

# The budget of a day: the first ten calls spend it, and all others wait.
SPENT: Final = "10/1d"
FOLDS: Final = 20
FOLD_ROUNDS: Final = 200
PAUSE_S: Final = 0.05
# Of arq alone no more is needed, each takes as long as the next.
ARQ_JOBS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """So many jobs, in seconds by the clock and of the worker's processor time."""

    jobs: int
    took_s: float
    cpu_s: float

    @property
    def row(self) -> tuple[str, str]:
        """Jobs per second, and milliseconds of processor time for each."""
        return f"{self.jobs / self.took_s:.0f}", f"{1000 * self.cpu_s / self.jobs:.2f}"


def seven_events() -> frozenset[CallEvent]:
    """The events of an ordinary outbound call that was answered."""
    began_at = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
    first = CallEvent(
        source="twilio",
        message_id="m0",
        source_call_id="CA1",
        leg_id="CA1",
        event_type=EventType.CREATED,
        occurred_at=began_at,
        sequence=0,
        direction=Direction.OUTBOUND,
        from_number="+15005550006",
        to_number="+15005550001",
        buildr_call_id="110",
    )
    changes: tuple[dict[str, Any], ...] = (
        {"event_type": EventType.CREATED},
        {"event_type": EventType.RINGING},
        {"event_type": EventType.ANSWERED},
        {"event_type": EventType.ANSWERED_BY, "answered_by": AnsweredBy.HUMAN},
        {"event_type": EventType.UPDATED, "agent": "rep-7"},
        {
            "event_type": EventType.ENDED,
            "hangup_cause": HangupCause.COMPLETED,
            "duration_s": 58,
        },
        {"event_type": EventType.RECORDING},
    )
    return frozenset(
        replace(
            first,
            message_id=f"m{number}",
            sequence=number,
            occurred_at=began_at + timedelta(seconds=10 * number),
            **change,
        )
        for number, change in enumerate(changes)
    )


def measure_fold() -> float:
    """Microseconds of one fold: the least of many short rounds, which other work spoils least."""
    events = seven_events()
    rounds = timeit.repeat(lambda: fold(events), number=FOLDS, repeat=FOLD_ROUNDS)
    return 1e6 * min(rounds) / FOLDS


async def measure_backlog(settings: Settings, calls: int, limit_s: float) -> Run:
    """Put calls of two messages in, and have one worker read all of them, or what it can."""
    cases = short_cases(calls, unmatched=0)
    await put_in(
        settings.redis_dsn, (Put(case=case, number=number) for case in cases for number in range(2))
    )
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, role="worker"))
        names = tuple((name, outcome_id) for outcome_id, name in OUTCOMES.items())
        await store.outcomes.save(StoredOutcomes(names=names, read_at=datetime.now(UTC)))
        client = await stack.enter_async_context(BuildrClient(settings, tokens=ReadyToken("t")))
        components = build_worker(settings, store, client)
        await _spend(store)
        # As a worker process does once it is ready.
        reduce_gc_pauses()
        worker = JobWorker(
            store,
            components.runner,
            reading=QueueReading.of(settings),
            watch=RedisWatch(),
        )
        tasks = {
            asyncio.create_task(worker.async_run()),
            asyncio.create_task(worker.wake_up.listen()),
        }

        async def left() -> int:
            return await store.redis.zcard(store.keys.named("due"))

        run = await _timed(calls, left, limit_s=limit_s)
        await cancel_and_wait({*tasks, *worker.tasks.values()})
        return run


async def _spend(store: Store) -> None:
    """Take every permit of the day, so that no call is written."""
    limit = store.keys.named("limit")
    now_ms = int((await store.time()).timestamp() * 1000)
    await store.pool.zadd(limit, {f"spent-{number}": now_ms for number in range(10)})


async def nothing(ctx: dict[str, Any], name: str) -> None:
    """The job of plain arq."""
    del ctx, name


async def measure_arq(settings: Settings, jobs: int, limit_s: float) -> Run:
    """As many jobs of plain arq that do nothing; the same number at a time, and as often asked."""
    async with open_store(settings, role="worker") as store:
        redis = worker_client(store.pool)
        for number in range(jobs):
            await redis.enqueue_job("nothing", f"bench-{number}", _queue_name="plain")
        worker = Worker(
            functions=[func(nothing, name="nothing", keep_result=0)],
            queue_name="plain",
            redis_pool=redis,
            max_jobs=settings.worker_jobs,
            poll_delay=PAUSE_S,
            job_deserializer=redis.job_deserializer,
            job_serializer=redis.job_serializer,
            handle_signals=False,
        )
        tasks = {asyncio.create_task(worker.async_run())}

        async def left() -> int:
            return int(await redis.zcard("plain"))

        run = await _timed(jobs, left, limit_s=limit_s)
        await cancel_and_wait({*tasks, *worker.tasks.values()})
        return run


async def _timed(jobs: int, left: Callable[[], Awaitable[int]], *, limit_s: float) -> Run:
    """Wait until no job is left, at most `limit_s` seconds."""
    started_s = time.perf_counter()
    cpu_began_s = time.process_time()
    async for _ in poll(PAUSE_S):
        jobs_left = await left()
        if not jobs_left or time.perf_counter() - started_s > limit_s:
            break
    return Run(
        jobs=jobs - jobs_left,
        took_s=time.perf_counter() - started_s,
        cpu_s=time.process_time() - cpu_began_s,
    )


def _in_loop(
    measure: Callable[[Settings, int, float], Awaitable[Run]],
    jobs: int,
    limit_s: float,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> Run:
    """Measure with a Redis of its own, that syncs each write."""
    folder = Path(tempfile.mkdtemp(prefix="bc-bench-"))
    server = RedisServer(folder)
    try:
        server.start(appendfsync="always")
        values = {"REDIS_URL": server.url, "SETTLE_S": "0", "BUILDR_BUDGETS": SPENT}
        settings = load_installation(values, cwd=Path("/")).default

        async def run() -> Run:
            return await measure(settings, jobs, limit_s)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(run())
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _no_output() -> Iterator[None]:
    """Let what is written to the standard output go nowhere, as fast as to a file."""
    output = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        flush_log()
        os.dup2(output, 1)
        os.close(nowhere)
        os.close(output)


@click.command()
@click.option("--calls", type=click.IntRange(100, 200_000), default=5000, show_default=True)
@click.option("--idle-s", type=click.FloatRange(1, 600), default=15, show_default=True)
@click.option("--limit-s", type=click.FloatRange(1, 3600), default=300, show_default=True)
def main(*, calls: int, idle_s: float, limit_s: float) -> None:
    """
    Measure and print. A backlog that is not read after `--limit-s` counts as far as it was. The
    lines of the worker's log are written, to nowhere.
    """
    click.echo(machine())
    idle = measure_idle(seconds=idle_s)
    click.echo(
        f"\nidle: worker {idle.worker_cpu:.2%} of a core, Redis {idle.redis_cpu:.2%}, "
        f"{idle.commands.get('evalsha', 0):.1f} scripts a second, "
        f"{sum(idle.commands.values()):.0f} commands a second with those of the scripts"
    )
    click.echo(f"fold of 7 events: {measure_fold():.0f} µs\n")
    with _no_output():
        configure_logging(fmt="json", level="info", in_background=True)
        ours = _in_loop(measure_backlog, calls, limit_s, new_event_loop)
        plain = _in_loop(measure_arq, min(calls, ARQ_JOBS), limit_s, asyncio.new_event_loop)
    rows = [
        ("plain arq, a job that does nothing", *plain.row),
        ("buildr-calls: read, fold, plan, ask for a permit, commit", *ours.row),
    ]
    head = f"{ours.jobs:,} calls of {calls:,}, one worker"
    click.echo(table((head, "jobs/s", "CPU per job, ms"), rows))
    click.echo(machine())


if __name__ == "__main__":
    main()
