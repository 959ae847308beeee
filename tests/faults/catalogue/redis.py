"""
Redis killed, hung, away, full, read-only, slow, cut off, without disk, and failing over.
"""

import signal
from typing import Final

from tests.faults.actions import (
    FULL_MEMORY,
    command_redis,
    configure_redis,
    cut,
    delay,
    fail_over,
    fill_disk,
    free_disk,
    kill_redis,
    proxy,
    repeatedly,
    signal_redis,
    silence,
    start_redis,
    tear_redis_file,
)
from tests.faults.proxy import Mode
from tests.faults.scenario import At, Layout, Need, Scenario, Via

THROUGH_PROXY: Final = Layout(via=frozenset({Via.REDIS}))

SCENARIOS: Final = (
    Scenario(
        name="redis-killed",
        title="Redis killed (SIGKILL), started again at once",
        steps=(At(at_s=6, action=kill_redis), At(at_s=6, action=start_redis)),
    ),
    Scenario(
        name="redis-killed-often",
        title="Redis killed five times",
        steps=tuple(
            step
            for at_s in range(3, 18, 3)
            for step in (At(at_s=at_s, action=kill_redis), At(at_s=at_s + 1, action=start_redis))
        ),
    ),
    Scenario(
        name="redis-away-60s",
        title="Redis away for 60 s",
        steps=(At(at_s=4, action=kill_redis), At(at_s=64, action=start_redis)),
    ),
    Scenario(
        name="redis-hung-10s",
        title="Redis hung for 10 s (SIGSTOP)",
        steps=(
            At(at_s=5, action=signal_redis(signal.SIGSTOP)),
            At(at_s=15, action=signal_redis(signal.SIGCONT)),
        ),
    ),
    Scenario(
        name="redis-hung-often",
        title="Redis hung for 1.5 s, four times",
        steps=tuple(
            step
            for at_s in range(3, 19, 4)
            for step in (
                At(at_s=at_s, action=signal_redis(signal.SIGSTOP)),
                At(at_s=at_s + 1.5, action=signal_redis(signal.SIGCONT)),
            )
        ),
    ),
    Scenario(
        name="redis-full-12s",
        title="Redis full for 12 s (`maxmemory`)",
        steps=(
            At(at_s=4, action=configure_redis("maxmemory", FULL_MEMORY)),
            At(at_s=16, action=configure_redis("maxmemory", "0")),
        ),
    ),
    Scenario(
        name="redis-read-only-10s",
        title="Redis read-only for 10 s (a replica of nobody)",
        steps=(
            At(at_s=4, action=command_redis("REPLICAOF", "127.0.0.1", "1")),
            At(at_s=14, action=command_redis("REPLICAOF", "NO", "ONE")),
        ),
    ),
    Scenario(
        name="redis-no-replicas-10s",
        title="Redis refuses writes for 10 s (`min-replicas-to-write`)",
        steps=(
            At(at_s=4, action=configure_redis("min-replicas-to-write", "1")),
            At(at_s=14, action=configure_redis("min-replicas-to-write", "0")),
        ),
    ),
    Scenario(
        name="redis-cut",
        title="all connections to Redis reset, 20 times",
        layout=THROUGH_PROXY,
        steps=(At(at_s=3, action=repeatedly(cut(Via.REDIS), times=20, every_s=0.7)),),
    ),
    Scenario(
        name="redis-half-open",
        title="connections to Redis fall silent without being closed, three times",
        layout=THROUGH_PROXY,
        steps=(At(at_s=3, action=repeatedly(silence(Via.REDIS), times=3, every_s=6)),),
    ),
    Scenario(
        name="redis-answers-lost",
        title="Redis does everything, and its answers are lost, for 6 s",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=4, action=proxy(Via.REDIS, Mode.LOSE_ANSWERS)),
            At(at_s=10, action=proxy(Via.REDIS, Mode.PASS)),
        ),
    ),
    Scenario(
        name="redis-unreachable-15s",
        title="Redis cannot be connected to for 15 s, and lives",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=4, action=proxy(Via.REDIS, Mode.REFUSE)),
            At(at_s=19, action=proxy(Via.REDIS, Mode.PASS)),
        ),
    ),
    Scenario(
        name="redis-slow",
        title="every answer of Redis 0.4 s late, for 15 s",
        layout=THROUGH_PROXY,
        steps=(
            At(at_s=3, action=delay(Via.REDIS, 0.4)),
            At(at_s=18, action=delay(Via.REDIS, 0)),
        ),
    ),
    Scenario(
        name="redis-forgets-scripts",
        title="Redis forgets its scripts, 20 times (`SCRIPT FLUSH`)",
        steps=(
            At(at_s=3, action=repeatedly(command_redis("SCRIPT", "FLUSH"), times=20, every_s=0.7)),
        ),
        is_faultless=True,
    ),
    Scenario(
        name="redis-file-torn",
        title="Redis killed in the middle of a write: half a command at the end of its file",
        steps=(
            At(at_s=6, action=kill_redis),
            At(at_s=6, action=tear_redis_file),
            At(at_s=7, action=start_redis),
        ),
    ),
    Scenario(
        name="redis-disk-full",
        title="the disk of Redis full for 12 s",
        layout=Layout(redis_on_small_disk=True),
        needs=(Need.TMPFS,),
        steps=(At(at_s=4, action=fill_disk), At(at_s=16, action=free_disk)),
    ),
    Scenario(
        name="redis-fails-over",
        title="Sentinel: the primary killed, a replica takes over (`REDIS_WAIT=replicas:1`)",
        layout=Layout(has_sentinel=True),
        settings={"REDIS_WAIT": "replicas:1"},
        steps=(At(at_s=6, action=fail_over),),
    ),
)
