"""
What the phone book takes of Redis, and how long reading a number takes.

`make bench-phonebook` runs it. Every variant is put into an empty Redis of its own. Exit code 1 if
one takes more than it may.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from redis import Redis

from service.settings import load_installation
from service.store.connection import Store, open_store
from service.store.phone_book import Origin, PhoneBookEntry
from tests.benchmarks.report import machine, table
from tests.benchmarks.theory import percentile
from tests.doubles.redis import RedisServer

MB: Final = 1_000_000
MOST_MB: Final = 150
MOST_MS: Final = 1.0
LOOKUPS: Final = 5000
FIRST_NUMBER: Final = 12_000_000_000
NUMBER_COUNT: Final = 8_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a book is made: every `shared_every`-th number has `people` people."""

    name: str
    people: int = 1
    shared_every: int = 1
    has_both_origins: bool = False


VARIANTS: Final = (
    Variant(name="one contact each"),
    Variant(name="every 10th number shared by 5", people=5, shared_every=10),
    Variant(name="one contact each, imported and synchronised", has_both_origins=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    One variant: bytes of Redis, entries, seconds to write, and milliseconds of each look-up and of
    each PING, which is the least that asking Redis takes.
    """

    variant: Variant
    entries: int
    used_bytes: int
    put_s: float
    lookups_ms: list[float]
    pings_ms: list[float]

    def faults(self) -> list[str]:
        """What is more than it may be."""
        faults = []
        if self.used_bytes > MOST_MB * MB:
            faults.append(f"{self.used_bytes / MB:.0f} MB")
        if percentile(self.lookups_ms, 50) > MOST_MS:
            faults.append(f"a look-up takes {percentile(self.lookups_ms, 50):.2f} ms")
        return faults


def numbers_of(total: int, *, seed: int = 20) -> list[str]:
    """So many different numbers of North America, at random."""
    chosen = random.Random(seed).sample(range(NUMBER_COUNT), total)
    return [f"+{FIRST_NUMBER + number}" for number in chosen]


def entries_of(variant: Variant, numbers: list[str]) -> Iterator[PhoneBookEntry]:
    """The entries of a variant; ids have seven digits and, of companies and projects, six."""
    origins = [Origin.IMPORT]
    if variant.has_both_origins:
        origins.append(Origin.SYNC)
    contact_id = 1_000_000
    for index, number in enumerate(numbers):
        people = 1
        if index % variant.shared_every == 0:
            people = variant.people
        for _ in range(people):
            contact_id += 1
            for origin in origins:
                yield PhoneBookEntry(
                    number=number,
                    contact_id=str(contact_id),
                    company_id=str(100_000 + contact_id // 10),
                    project_id=str(500_000 + contact_id // 100),
                    origin=origin,
                )


async def used_bytes_of(store: Store) -> int:
    """The memory that Redis has in use."""
    memory = await store.redis.info("memory")
    return int(memory["used_memory"])


async def measure(store: Store, variant: Variant, numbers: list[str]) -> Measured:
    """Fill an empty Redis and look numbers up, one after the other, half of them not listed."""
    empty_bytes = await used_bytes_of(store)
    started_at = time.perf_counter()
    batch = await store.phone_book.begin()
    await store.phone_book.put(entries_of(variant, numbers), batch=batch)
    put_s = time.perf_counter() - started_at
    used_bytes = await used_bytes_of(store) - empty_bytes
    counts = await store.phone_book.count()
    lookups_ms = []
    pings_ms = []
    for number in random.Random(1).choices(numbers + numbers_of(len(numbers), seed=21), k=LOOKUPS):
        started_at = time.perf_counter()
        await store.phone_book.find(number)
        lookups_ms.append((time.perf_counter() - started_at) * 1000)
        started_at = time.perf_counter()
        await store.redis.ping()
        pings_ms.append((time.perf_counter() - started_at) * 1000)
    return Measured(
        variant=variant,
        entries=counts.imported + counts.synchronised,
        used_bytes=used_bytes,
        put_s=put_s,
        lookups_ms=lookups_ms,
        pings_ms=pings_ms,
    )


async def run(variant: Variant, numbers: list[str], *, packed: bool = True) -> Measured:
    """Measure one variant; without `packed` Redis packs no hash, as where it is set up so."""
    folder = Path(tempfile.mkdtemp(prefix="bc-phonebook-"))
    server = RedisServer(folder)
    server.start()
    settings = load_installation({"REDIS_URL": server.url}).default
    try:
        if not packed:
            with Redis(unix_socket_path=str(server.socket)) as client:
                client.config_set("hash-max-listpack-entries", "0")
        async with open_store(settings, role="worker") as store:
            return await measure(store, variant, numbers)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def row_of(measured: Measured, *, name: str) -> tuple[object, ...]:
    """A line of the table."""
    lookups = measured.lookups_ms
    return (
        name,
        f"{measured.entries:,}",
        f"{measured.used_bytes / MB:.1f}",
        f"{percentile(lookups, 50):.3f}",
        f"{percentile(lookups, 99):.3f}",
        f"{percentile(measured.pings_ms, 50):.3f}",
        f"{measured.put_s:.0f}",
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--numbers", "total", default=1_000_000, show_default=True, help="So many numbers.")
def main(total: int) -> None:
    """Print a table in Markdown."""
    numbers = numbers_of(total)
    runs = [(variant.name, asyncio.run(run(variant, numbers))) for variant in VARIANTS]
    unpacked = asyncio.run(run(VARIANTS[0], numbers, packed=False))
    runs.append(("one contact each, no hash packed", unpacked))
    columns = (
        f"{total:,} numbers",
        "entries",
        "MB",
        "look-up p50, ms",
        "p99, ms",
        "PING p50, ms",
        "put in, s",
    )
    click.echo(table(columns, [row_of(measured, name=name) for name, measured in runs]))
    click.echo(f"\n{machine()}")
    faults = [f"{name}: {fault}" for name, measured in runs for fault in measured.faults()]
    for fault in faults:
        click.echo(f"more than it may be: {fault}", err=True)
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
