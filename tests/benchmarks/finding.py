"""
What the index of calls takes of Redis, and how long a page of calls takes to read.

`make bench-finding` runs it. Exit code 1 if a page takes longer than it may.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import click

from service.clock import utc_now
from service.settings import load_installation
from service.store.call_listing import CallQuery
from service.store.call_parties import CallParties
from service.store.call_update import CallUpdate
from service.store.connection import Store, open_store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from tests.benchmarks.phone_book import used_bytes_of
from tests.benchmarks.report import machine, table
from tests.benchmarks.theory import percentile
from tests.doubles.redis import RedisServer

MOST_MS: Final = 500.0
DAYS: Final = 30
AT_ONCE: Final = 100
PAGES: Final = 20
AGENTS: Final = 50
LINES: Final = 20
FIRST_NUMBER: Final = 12_000_000_000
RESULTS: Final = ("connected", "no_answer", "busy", "voicemail_left")
RARE: Final = "Ines Rara"
UNMATCHED_EVERY: Final = 20


def record_of(index: int, total: int, now: datetime, rng: random.Random) -> DeliveryRecord:
    """
    One of so many calls of 30 days: seven customers in ten have one call, the others several; one
    call in twenty is unmatched, and one agent has ten calls.
    """
    at = now - timedelta(days=DAYS) * (1 - index / total)
    number = index
    if rng.random() > 0.7:
        number = rng.randrange(total // 10)
    agent = f"agent-{rng.randrange(AGENTS)}@example.com"
    if index % (total // 10) == 0:
        agent = RARE
    line = f"+1500555{rng.randrange(LINES):04}"
    ref = f"twilio:CA{rng.getrandbits(128):032x}"
    return call_of(
        index,
        at=at,
        ref=ref,
        customer=f"+{FIRST_NUMBER + number * 7919}",
        line=line,
        agent=agent,
        result=rng.choice(RESULTS),
        buildr_call_id=str(1_000_000 + index),
    )


def call_of(
    index: int,
    *,
    at: datetime,
    ref: str,
    customer: str,
    line: str,
    agent: str,
    result: str,
    buildr_call_id: str,
) -> DeliveryRecord:
    """The record of the call of a place, written to Buildr or unmatched."""
    parties = CallParties(
        direction="outbound", customer=customer, line=line, agent=agent, started_at=at
    )
    call = DeliveryRecord(
        ref=ref, first_received_at=at, last_received_at=at, result=result, parties=parties
    )
    if index % UNMATCHED_EVERY == 0:
        return call.to_unmatched("No message and no link names the Buildr call.")
    matched = call.matched(buildr_call_id)
    return matched.to_patched(at, f"call {matched.buildr_call_id}: Connected (call_outcome_id)")


def questions_of(total: int, now: datetime) -> dict[str, CallQuery]:
    """What people ask, by its description."""
    middle = total // 2 + 1
    return {
        "all": CallQuery(),
        "a customer's number": CallQuery(number=f"+{FIRST_NUMBER + middle * 7919}"),
        "a number of ours": CallQuery(number="+15005550007"),
        "a Buildr call": CallQuery(buildr_call_id=str(1_000_000 + middle)),
        "an agent": CallQuery(agent="agent-7@example.com"),
        "an agent with ten calls": CallQuery(agent=RARE),
        "a part of an agent's name": CallQuery(agent="agent-7"),
        "a result": CallQuery(result="busy"),
        "unmatched": CallQuery(state=DeliveryState.UNMATCHED.value),
        "a day, two weeks ago": CallQuery(
            since=now - timedelta(days=15), until=now - timedelta(days=14)
        ),
        "what no call has": CallQuery(outcome="Nothing"),
    }


async def fill(store: Store, total: int, now: datetime) -> None:
    """Commit the calls, as jobs do."""
    rng = random.Random(7)
    records: Iterator[DeliveryRecord] = (
        record_of(index, total, now, rng) for index in range(total)
    )
    for _ in range(0, total, AT_ONCE):
        batch = [record for record, _ in zip(records, range(AT_ONCE), strict=False)]
        await asyncio.gather(
            *(store.calls.commit(CallUpdate(record=record, version=0)) for record in batch)
        )


async def index_bytes(store: Store) -> int:
    """What the index takes: the memory that is free without it."""
    before = await used_bytes_of(store)
    names = [key.decode() async for key in store.redis.scan_iter(match="*calls_by:*", count=1000)]
    for name in (store.keys.named("calls"), *names):
        await store.redis.delete(name)
    return before - await used_bytes_of(store)


async def measure(store: Store, total: int) -> tuple[list[tuple[object, ...]], float, list[str]]:
    """The rows of the table, the bytes of the index per call, and what is more than it may be."""
    now = utc_now()
    await fill(store, total, now)
    rows: list[tuple[object, ...]] = []
    faults = []
    for name, query in questions_of(total, now).items():
        times_ms = []
        for _ in range(PAGES):
            started_at = time.perf_counter()
            page = await store.listing.page(query, limit=20)
            times_ms.append((time.perf_counter() - started_at) * 1000)
        longest = percentile(times_ms, 95)
        median = percentile(times_ms, 50)
        rows.append(
            (name, len(page.calls), f"{page.looked_at:,}", f"{median:.1f}", f"{longest:.1f}")
        )
        if median > MOST_MS:
            faults.append(f"{name}: {median:.0f} ms")
    return rows, await index_bytes(store) / total, faults


async def run(total: int) -> tuple[list[tuple[object, ...]], float, list[str]]:
    """Measure with an empty Redis of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bc-finding-"))
    server = RedisServer(folder)
    server.start()
    settings = load_installation({"REDIS_URL": server.url}).default
    try:
        async with open_store(settings, role="worker") as store:
            return await measure(store, total)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--calls", "total", default=200_000, show_default=True, help="So many calls.")
def main(total: int) -> None:
    """Print a table in Markdown."""
    rows, per_call, faults = asyncio.run(run(total))
    columns = (f"{total:,} calls; a page of 20", "shown", "read", "p50, ms", "p95, ms")
    click.echo(table(columns, rows))
    click.echo(f"\nThe index takes {per_call:.0f} bytes per call.\n\n{machine()}")
    for fault in faults:
        click.echo(f"slower than it may be: {fault}", err=True)
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
