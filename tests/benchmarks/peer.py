"""
The same backlog as a plain arq project takes it: one job for each event, nothing put together,
arq's own tries.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arq.connections import RedisSettings, create_pool
from redis import Redis

from tests.benchmarks.fleet import (
    fleet,
    right_calls,
    state,
    watch,
)
from tests.benchmarks.theory import Limit
from tests.benchmarks.workload import (
    Case,
    Put,
    patch_of,
    shuffled,
)

ARQ_QUEUE: Final = "arq:queue"
ARQ_TRIES: Final = 5
ENDLESS_TRIES: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """
    What a run came to; `tries` is arq's `max_tries`, `written` counts the events that Buildr took.
    """

    tries: int
    workers: int
    calls: int
    events: int
    took_s: float
    is_over: bool
    requests: int
    refused: int
    most: int
    written: int
    left: int
    right: int

    @property
    def lost(self) -> int:
        """Events that are neither written nor still queued: arq has given them up."""
        return self.events - self.written - self.left


def run_peer(
    cases: Sequence[Case], *, workers: int, limit: Limit, tries: int, limit_s: float
) -> PeerRun:
    """
    Enqueue a job for each event, start the workers, and wait until the queue is empty or the time
    is over.
    """
    puts = shuffled(cases)
    with fleet(limit, mode="window") as system, Redis.from_url(system.redis_url) as redis:
        asyncio.run(_enqueue(system.redis_url, puts))
        api = f"{system.sandbox_url}/api/2023-01"
        started_at = time.monotonic()
        for number in range(workers):
            program = ("-m", "tests.benchmarks.peer_worker")
            system.start(
                f"peer{number}",
                program=program,
                PEER_REDIS=system.redis_url,
                PEER_API=api,
                PEER_MAX_TRIES=str(tries),
            )
        is_over = watch(lambda: redis.zcard(ARQ_QUEUE) == 0, limit_s=limit_s)
        took_s = time.monotonic() - started_at
        for number in range(workers):
            system.kill(f"peer{number}")
        counts = state(system)
        return PeerRun(
            tries=tries,
            workers=workers,
            calls=len(cases),
            events=len(puts),
            took_s=took_s,
            is_over=is_over,
            requests=int(counts["by_method"].get("PATCH", 0)),
            refused=int(counts["rate_limited"]),
            most=int(counts["most_in_a_window"][0]["most"]),
            written=int(counts["by_status"].get("200", 0)),
            left=int(redis.zcard(ARQ_QUEUE)),
            right=right_calls(system, cases),
        )


async def _enqueue(redis_url: str, puts: Sequence[Put]) -> None:
    pool = await create_pool(RedisSettings.from_dsn(redis_url))
    try:
        for put in puts:
            await pool.enqueue_job("patch_event", put.case.buildr_call_id, patch_of(put.event))
    finally:
        await pool.aclose()
