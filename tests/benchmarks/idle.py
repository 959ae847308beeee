"""
What a worker costs that has nothing to do: commands that Redis gets, and processor time.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from tests.benchmarks.fleet import fleet, start_workers
from tests.benchmarks.theory import Limit

# Until the periodic tasks have had their first turn.
SETTLE_S: Final = 5.0
# Fields of /proc/PID/stat: user and system time, in ticks of a hundredth of a second.
USER_TICKS: Final = 13
SYSTEM_TICKS: Final = 14
TICKS_PER_S: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Per second: commands by name as the worker sends them, and shares of a core."""

    seconds: float
    commands: Mapping[str, float]
    worker_cpu: float
    redis_cpu: float


def measure_idle(*, seconds: float) -> Idle:
    """Watch one worker that has no calls."""
    with (
        fleet(Limit(), mode="off") as system,
        Redis.from_url(system.redis_url) as redis,
    ):
        start_workers(system, 1)
        time.sleep(SETTLE_S)
        pid = system.parts["worker0"].pid
        began = (_commands(redis), _cpu_s(pid), _redis_cpu_s(redis), time.monotonic())
        time.sleep(seconds)
        ended = (_commands(redis), _cpu_s(pid), _redis_cpu_s(redis), time.monotonic())
    passed_s = ended[3] - began[3]
    counts = {name: (ended[0][name] - began[0].get(name, 0)) / passed_s for name in ended[0]}
    return Idle(
        seconds=passed_s,
        commands={name: count for name, count in counts.items() if count and name != "info"},
        worker_cpu=(ended[1] - began[1]) / passed_s,
        redis_cpu=(ended[2] - began[2]) / passed_s,
    )


def _commands(redis: Redis) -> dict[str, int]:
    stats = cast("dict[str, Any]", redis.info("commandstats"))
    return {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}


def _cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    # Two fields lie before the closing bracket.
    return (int(fields[USER_TICKS - 2]) + int(fields[SYSTEM_TICKS - 2])) / TICKS_PER_S


def _redis_cpu_s(redis: Redis) -> float:
    stats = cast("dict[str, Any]", redis.info("cpu"))
    return float(stats["used_cpu_user"]) + float(stats["used_cpu_sys"])
