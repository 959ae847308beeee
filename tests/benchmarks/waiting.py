"""
What a great many calls cost while they wait for budget: memory by kind of key, Redis's time, and
how long the commands take.
"""

import asyncio
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from service.settings import load_installation
from service.store.connection import open_store
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys
from tests.benchmarks.fleet import (
    fleet,
    patches_sent,
    read_names,
    start_workers,
    watch,
)
from tests.benchmarks.theory import Limit
from tests.benchmarks.workload import (
    Put,
    message_of,
    put_in,
    short_cases,
)
from tests.e2e.harness import System

# The budget of a day: the first ten calls spend it, and all others wait.
SPENT: Final = "10/1d"
SAMPLE: Final = 200
COMMANDS: Final = ("status --json", "unmatched list", "failed list")
COMMAND_RUNS: Final = 5
PAUSE_S: Final = 3.0
IDLE_S: Final = 10.0
PAGE: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOfKey:
    """All keys of one kind: how many there are, and their memory, reckoned from a sample."""

    name: str
    count: int
    total_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """
    What was measured; CPU is seconds of Redis's time per second, seconds of a command are the
    fewest, Python's start included.
    """

    calls: int
    listed: int
    workers: int
    body_bytes: int
    is_over: bool
    put_in_s: float
    read_s: float
    waiting_share: float
    patches: int
    empty_bytes: int
    used_bytes: int
    kinds: tuple[KindOfKey, ...]
    cpu_empty: float
    cpu_waiting: float
    idle_s: float
    commands_empty_s: Mapping[str, float]
    commands_s: Mapping[str, float]

    @property
    def bytes_per_call(self) -> float:
        """Memory for each call, everything that belongs to it included."""
        return (self.used_bytes - self.empty_bytes) / self.calls


def measure_waiting(*, calls: int, workers: int, idle_s: float, limit_s: float) -> Waiting:
    """
    Spend the budget, put calls in by the real way in, have real workers read them, and look at them
    while they wait.

    One in a hundred names no Buildr call, and as many messages cannot be read, so that there is
    something to list.
    """
    listed = max(1, calls // 100)
    with (
        fleet(Limit(), mode="off", budgets=SPENT, SETTLE_S="0") as system,
        Redis.from_url(system.redis_url) as redis,
    ):
        read_names(system)
        commands_empty_s = _time_commands(system)
        start_workers(system, workers)
        time.sleep(PAUSE_S)
        cpu_empty = _cpu(redis, min(idle_s, IDLE_S))
        for number in range(workers):
            system.kill(f"worker{number}")
        empty_bytes = _used(redis)
        started_at = time.monotonic()
        asyncio.run(put_in(system.redis_url, _puts(calls, listed), unreadable=listed))
        put_in_s = time.monotonic() - started_at
        started_at = time.monotonic()
        for number in range(workers):
            system.start_worker(f"worker{number}")
        keys = Keys()
        is_over = watch(
            lambda: redis.zcard(keys.named("inbox")) == 0 and not redis.zcard(keys.queue),
            limit_s=limit_s,
        )
        read_s = time.monotonic() - started_at
        time.sleep(PAUSE_S)
        used_bytes = _used(redis)
        cpu_waiting = _cpu(redis, idle_s)
        return Waiting(
            calls=calls,
            listed=listed,
            workers=workers,
            body_bytes=_body_bytes(calls, listed),
            is_over=is_over,
            put_in_s=put_in_s,
            read_s=read_s,
            waiting_share=asyncio.run(_waiting_share(system, calls - listed)),
            patches=patches_sent(system),
            empty_bytes=empty_bytes,
            used_bytes=used_bytes,
            kinds=_kinds(redis),
            cpu_empty=cpu_empty,
            cpu_waiting=cpu_waiting,
            idle_s=idle_s,
            commands_empty_s=commands_empty_s,
            commands_s=_time_commands(system),
        )


def _puts(calls: int, unmatched: int) -> Iterator[Put]:
    for case in short_cases(calls, unmatched=unmatched):
        yield from (Put(case=case, number=number) for number in range(len(case.events)))


def _body_bytes(calls: int, unmatched: int) -> int:
    case = next(short_cases(calls, unmatched=unmatched))
    return round(
        statistics.mean(
            len(message_of(Put(case=case, number=number)).request.body) for number in range(2)
        )
    )


async def _waiting_share(system: System, matched: int) -> float:
    """The share of a sample of the matched calls that wait for budget."""
    places = random.Random(4).sample(range(matched), min(SAMPLE, matched))
    async with open_store(
        load_installation({"REDIS_URL": system.redis_url}, cwd=Path("/")).default, role="cli"
    ) as store:
        stored = [await store.calls.get(f"standard:bench-{place}") for place in places]
    return sum(
        item is not None and item.record.state is DeliveryState.WAITING for item in stored
    ) / len(places)


def _info(redis: Redis, section: str) -> dict[str, Any]:
    return cast("dict[str, Any]", redis.info(section))


def _used(redis: Redis) -> int:
    return int(_info(redis, "memory")["used_memory"])


def _cpu(redis: Redis, seconds: float) -> float:
    """Seconds of its main process's time that Redis takes per second."""

    def spent() -> tuple[float, float]:
        result = _info(redis, "cpu")
        return time.monotonic(), float(result["used_cpu_user"]) + float(result["used_cpu_sys"])

    began_at, before = spent()
    time.sleep(seconds)
    ended_at, after = spent()
    return (after - before) / (ended_at - began_at)


def kind_of(key: str) -> str:
    """The kind of a key: its name without the account, and without what it names."""
    prefix = Keys().prefix
    is_ours = key.startswith(prefix)
    parts = key.removeprefix(prefix).split(":")
    depth = 1 if is_ours else 2
    return ":".join(parts[:depth]) + (":*" if len(parts) > depth else "")


def _kinds(redis: Redis) -> tuple[KindOfKey, ...]:
    """Every kind of key with its memory, the largest first."""
    counts: dict[str, int] = {}
    samples: dict[str, list[bytes]] = {}
    rng = random.Random(5)
    for key in redis.scan_iter(count=PAGE):
        kind = kind_of(key.decode("utf-8", "replace"))
        counts[kind] = counts.get(kind, 0) + 1
        sample = samples.setdefault(kind, [])
        if len(sample) < SAMPLE:
            sample.append(key)
        elif (place := rng.randrange(counts[kind])) < SAMPLE:
            sample[place] = key
    result = []
    for kind, sample in samples.items():
        sizes = [int(cast("int", redis.memory_usage(key, samples=0)) or 0) for key in sample]
        result.append(
            KindOfKey(
                name=kind, count=counts[kind], total_bytes=statistics.mean(sizes) * counts[kind]
            )
        )
    return tuple(sorted(result, key=lambda kind: -kind.total_bytes))


def _time_commands(system: System) -> dict[str, float]:
    return {command: _time_command(system, command) for command in COMMANDS}


def _time_command(system: System, command: str) -> float:
    took = []
    for _ in range(COMMAND_RUNS):
        started_at = time.perf_counter()
        arguments = [sys.executable, "-m", "workers.cli.main", *command.split()]
        subprocess.run(
            arguments, env=system.environment, stdout=subprocess.DEVNULL, check=True, timeout=300
        )
        took.append(time.perf_counter() - started_at)
    return min(took)
