"""
How fast messages get in, and how soon a PATCH follows: measured side by side with plain arq in one
run. `make bench` runs it.

Prints a table; asserts nothing, since the time that something takes is the machine's affair.
"""

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.table import Table

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import load_installation
from service.sources.request import WebhookRequest
from service.store.connection import open_store
from service.store.messages import Message, message_id
from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, wait_for

MESSAGES = 6000
AT_ONCE = 64
CALLS = 200


async def _timed(work: Callable[[int], Awaitable[object]]) -> tuple[float, list[float]]:
    """Messages per second, and the seconds that each took."""
    numbers = iter(range(MESSAGES))
    took: list[float] = []

    async def worker() -> None:
        for number in numbers:
            started_at = time.perf_counter()
            await work(number)
            took.append(time.perf_counter() - started_at)

    started_at = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return MESSAGES / (time.perf_counter() - started_at), took


async def _intake(redis_url: str) -> list[tuple[str, float, list[float]]]:
    body = b"CallSid=CA00000000000000000000000000000001&CallStatus=completed&CallDuration=49" * 6
    request = WebhookRequest(
        method="POST", url="https://hooks.example.test/webhooks/twilio", body=body
    )
    results = []
    async with open_store(
        load_installation({"REDIS_URL": redis_url}).default, role="worker"
    ) as store:
        inbox = Inbox(
            store,
            InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=10**6, accept_timeout_s=10),
        )

        async def ours(number: int) -> None:
            key = message_id("twilio", str(number))
            await inbox.accept(
                Message(
                    message_id=key,
                    source="twilio",
                    source_call_id=f"CA{number}",
                    received_at=datetime.now(UTC),
                    request=request,
                )
            )

        async def plain(number: int) -> None:
            await store.pool.enqueue_job(
                "deliver", body.decode(), _job_id=f"plain{number}", _queue_name="plain"
            )

        for name, work in (("arq's enqueue_job", plain), ("buildr-calls' inbox", ours)):
            results.append((name, *await _timed(work)))
        await inbox.close()
    return results


def _end_to_end(redis_url: str, folder: Path) -> list[float]:
    """
    Seconds from a final event's request to the arrival of its PATCH, budget free and settle 0.
    """
    extra = {"BUILDR_BUDGETS": "100000/1s", "SETTLE_S": "0"}
    system = System(
        folder,
        redis_url,
        TWILIO_TOKEN,
        STANDARD_SECRET,
        extra,
        ("--auto-create", "--limit-mode", "off"),
    )
    try:
        system.start_all()
        took = []
        for number in range(CALLS):
            form = {
                "CallSid": f"CA{number:032x}",
                "CallStatus": "completed",
                "Direction": "outbound-api",
                "From": "+15005550006",
                "To": "+15005550001",
            }
            started_at = time.time()
            system.twilio(form, query=f"buildr_call_id={number + 1}")
            wait_for(partial(_has_more_than, system, number), goal="the PATCH")
            took.append(
                datetime.fromisoformat(str(system.patches()[-1]["at"])).timestamp() - started_at
            )
        return took
    finally:
        system.stop()


def _has_more_than(system: System, number: int) -> bool:
    return len(system.patches()) > number


def main() -> None:
    """Measure and print."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="bc-bench-"))
    server = RedisServer(folder)
    server.start(appendfsync="always")
    try:
        table = Table("way in (fsync always)", "messages/s", "p50 ms", "p99 ms", "ratio")
        results = asyncio.run(_intake(server.url))
        for name, rate, took in results:
            table.add_row(
                name,
                f"{rate:.0f}",
                *(f"{1000 * value:.2f}" for value in _percentiles(took)),
                f"{rate / results[0][1]:.2f}",
            )
        console.print(table)
        with Redis.from_url(server.url) as client:
            client.flushall()
        took = _end_to_end(server.url, folder)
        p50, p99 = _percentiles(took)
        console.print(
            f"final event in to PATCH at the sandbox, {CALLS} calls: p50 {1000 * p50:.0f} ms, p99 "
            f"{1000 * p99:.0f} ms"
        )
        console.print_json(json.dumps({name: round(rate) for name, rate, _ in results}))
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _percentiles(took: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(took, n=100)
    return cuts[49], cuts[98]


if __name__ == "__main__":
    main()
