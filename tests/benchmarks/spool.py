"""
What a message costs that goes to the spool, and how fast the spool is emptied: measured with a
Redis that is killed and comes back. `make bench-spool` runs it.

Prints a table; asserts nothing, since the time that something takes is the machine's affair.
"""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import load_installation
from service.sources.request import WebhookRequest
from service.spool.files import MEGABYTE, SpoolLimits
from service.spool.spool import Spool
from service.store.connection import open_store
from service.store.messages import Message, message_id
from tests.doubles.redis import RedisServer
from tests.doubles.waiting import until

MESSAGES: Final = 10_000
# As many connections send at a time, each the next message once the last one is answered.
SENDERS: Final = 64
LIMITS: Final = InboxLimits(
    dedupe_h=96, keep_failed_d=30, max_pending=10**6, accept_timeout_s=3, keep_messages_d=7
)
BODY: Final = b"CallSid=CA00000000000000000000000000000001&CallStatus=completed&CallDuration=49" * 6

Rates = list[tuple[str, float, list[float]]]


async def _timed(accept: Callable[[int], Awaitable[object]]) -> tuple[float, list[float]]:
    """Messages per second, and the seconds until each was answered."""
    numbers = iter(range(MESSAGES))
    answered_s: list[float] = []

    async def send() -> None:
        for number in numbers:
            started = time.perf_counter()
            await accept(number)
            answered_s.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    return MESSAGES / (time.perf_counter() - started), answered_s


def _message(prefix: str, number: int) -> Message:
    return Message(
        message_id=message_id("twilio", f"{prefix}{number}"),
        source="twilio",
        source_call_id=f"CA{number}",
        received_at=datetime.now(UTC),
        request=WebhookRequest(
            method="POST", url="https://hooks.example.test/webhooks/twilio", body=BODY
        ),
    )


async def _measure(server: RedisServer, folder: Path) -> tuple[Rates, float, float]:
    """Rates with Redis and without, seconds to empty the spool, and its megabytes."""
    rates: Rates = []
    settings = load_installation({"REDIS_URL": server.url}).default
    async with open_store(settings, role="receiver") as store:
        plain = Inbox(store, LIMITS)
        rates.append(
            ("Redis, no spool", *await _timed(lambda number: plain.accept(_message("p", number))))
        )
        await plain.close()
        spool = Spool(folder / "spool", SpoolLimits(512 * MEGABYTE))
        await spool.open()
        inbox = Inbox(store, LIMITS, spool)
        inbox.open()
        rates.append(
            ("Redis, spool idle", *await _timed(lambda number: inbox.accept(_message("i", number))))
        )
        server.kill()
        rates.append(
            ("spool, Redis away", *await _timed(lambda number: inbox.accept(_message("s", number))))
        )
        size_mb = sum(path.stat().st_size for path in (folder / "spool").iterdir()) / MEGABYTE
        await asyncio.to_thread(server.start, appendfsync="always")
        started = time.perf_counter()

        async def is_drained() -> bool:
            return not spool.depth("default").messages

        await until(is_drained, goal="the spool to be empty")
        drained_s = time.perf_counter() - started
        await inbox.close()
        await spool.close()
    return rates, drained_s, size_mb


def main() -> None:
    """Measure and print."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="bc-bench-"))
    server = RedisServer(folder)
    server.start(appendfsync="always")
    try:
        rates, drained_s, size_mb = asyncio.run(_measure(server, folder))
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    table = Table(f"{SENDERS} senders, each write synced", "messages/s", "p50 ms", "p99 ms")
    for name, rate, answered_s in rates:
        cuts = statistics.quantiles(answered_s, n=100)
        table.add_row(name, f"{rate:.0f}", f"{1000 * cuts[49]:.1f}", f"{1000 * cuts[98]:.1f}")
    console.print(table)
    console.print(
        f"{MESSAGES} spooled messages took {size_mb:.1f} MB, and were in Redis {drained_s:.1f} s "
        f"after its return ({MESSAGES / drained_s:.0f}/s)"
    )


if __name__ == "__main__":
    main()
