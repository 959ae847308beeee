"""
What a sender sees of the front door: whole requests over HTTP to the receiver and to its peers, in
turns in one run. `make bench-front-door` runs it.

Every message is unlike all others and signed beforehand. Afterwards everything that was answered
2xx must lie in Redis, or the run is void.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
from redis import Redis

from service.sources import SOURCES
from tests.benchmarks.front_door_load import (
    HOW_TO_GET_WRK,
    Load,
    LoadError,
    OwnLoad,
    has_wrk,
    run_wrk,
)
from tests.benchmarks.front_door_messages import messages
from tests.benchmarks.front_door_report import DOCS, RAW, Measured, Report
from tests.benchmarks.front_door_servers import PEERS, Candidate, Running, cpu_s, ours, running
from tests.benchmarks.report import machine
from tests.doubles.redis import RedisServer
from tests.e2e.harness import wait_for

CONNECTIONS: Final = 64
# More than any peer answers on the machines that this has run on.
MOST_PER_S: Final = 14_000
WARM_UP: Final = 300
MAIN_SOURCES: Final = ("twilio", "standard")
CURVE: Final = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The Redis of a run, and how load is made. `folder` is where files go."""

    redis: RedisServer
    folder: Path
    connections: int = CONNECTIONS
    warm_up: int = WARM_UP

    def measure(
        self, server: Running, source: str, pool: Sequence[bytes], *, seconds: float, round_: int
    ) -> Measured:
        """Load a server for a time. Raises `LoadError` for a run that does not count."""
        if self.redis.process is None:
            raise LoadError("there is no Redis")
        with Redis.from_url(self.redis.url) as client:
            client.flushall()
            warm_up = pool[: self.warm_up]
            self.check(server.candidate, client, self._own(server, warm_up, seconds=60))
            client.flushall()
            before = (server.cpu_s(), cpu_s(self.redis.process.pid))
            load = self._load(server, pool[len(warm_up) :], seconds=seconds)
            after = (server.cpu_s(), cpu_s(self.redis.process.pid))
            self.check(server.candidate, client, load)
        server_us, redis_us = (
            1e6 * (end - start) / load.taken for start, end in zip(before, after, strict=True)
        )
        return Measured(
            server=server.candidate.name,
            source=source,
            round=round_,
            rate=load.rate,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            server_us=server_us,
            redis_us=redis_us,
            load_us=1e6 * load.cpu_s / load.taken,
            resident_mb=max(server.resident_mb()),
            messages=load.taken,
        )

    def _load(self, server: Running, pool: Sequence[bytes], *, seconds: float) -> Load:
        if has_wrk() and seconds >= 1:
            return run_wrk(
                server.port,
                pool,
                connections=self.connections,
                seconds=round(seconds),
                folder=self.folder,
            )
        return self._own(server, pool, seconds=seconds)

    def _own(self, server: Running, pool: Sequence[bytes], *, seconds: float) -> Load:
        return OwnLoad(server.port, pool, self.connections, seconds).run()

    def check(self, candidate: Candidate, client: Redis | None, load: Load) -> None:
        """Raises `LoadError` unless all was answered 2xx, and is in Redis."""
        name = candidate.name
        if load.refused or load.broken or not load.taken:
            raise LoadError(f"{name}: {load.refused} refused, {load.broken} connections broken")
        count = candidate.count
        if count is None or client is None:
            return
        # What went to the spool, since Redis was slow, is in Redis soon.
        wait_for(lambda: count(client) >= load.taken, goal=f"{load.taken} messages of {name}")
        # What was under way when the load ended may have been stored without its answer.
        stored = count(client)
        if stored > load.taken + self.connections:
            raise LoadError(f"{name}: answered {load.taken} with 2xx, but {stored} are in Redis")


def compare_servers(bench: Bench, *, rounds: int, seconds: float) -> list[Measured]:
    """The receiver beside every peer that is installed, for both main kinds of messages."""
    candidates = [candidate for candidate in PEERS if candidate.is_installed]
    for candidate in PEERS:
        if candidate not in candidates:
            click.echo(f"{candidate.name}: left out, {candidate.module} is not installed", err=True)
    return _rounds(bench, [*candidates, ours()], MAIN_SOURCES, rounds=rounds, seconds=seconds)


def compare_sources(bench: Bench, *, rounds: int, seconds: float) -> list[Measured]:
    """The receiver beside the bare one for all other sources."""
    slugs = [slug for slug in sorted(SOURCES) if slug not in MAIN_SOURCES]
    return _rounds(bench, [PEERS[0], ours()], slugs, rounds=rounds, seconds=seconds)


def compare_processes(bench: Bench, *, rounds: int, seconds: float) -> list[Measured]:
    """The receiver with one process and with several."""
    candidates = [ours(processes) for processes in CURVE]
    return _rounds(bench, candidates, MAIN_SOURCES[:1], rounds=rounds, seconds=seconds)


def measure_memory(bench: Bench, *, rounds: int, seconds: float) -> list[Measured]:
    """One process through all rounds, between which Redis is emptied."""
    return _rounds(bench, [ours()], MAIN_SOURCES[1:], rounds=rounds, seconds=seconds)


PARTS: Final = {
    "servers": compare_servers,
    "sources": compare_sources,
    "processes": compare_processes,
    "memory": measure_memory,
}


def _rounds(
    bench: Bench,
    candidates: Sequence[Candidate],
    sources: Sequence[str],
    *,
    rounds: int,
    seconds: float,
) -> list[Measured]:
    """Every server under every kind of message, in turns, so that all have the same weather."""
    results = []
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(candidate, bench.redis.url, bench.folder))
            for candidate in candidates
        ]
        for round_ in range(rounds):
            for source in sources:
                count = WARM_UP + round(seconds * MOST_PER_S)
                # Signed now: some proofs are valid for minutes only.
                pool = messages(source, count)
                for server in servers:
                    result = bench.measure(server, source, pool, seconds=seconds, round_=round_)
                    results.append(result)
                    click.echo(f"{result.server}, {source}: {result.rate:.0f}/s", err=True)
    return results


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured.")
@click.option("--seconds", default=4.0, show_default=True, help="How long each time.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="A part of it.")
@click.option("--compare", is_flag=True, help="Print what has changed since docs/front-door.json.")
@click.option("--write/--no-write", default=True, help="Whether to write the docs.")
def main(rounds: int, seconds: float, only: tuple[str, ...], compare: bool, write: bool) -> None:
    """Measure the front door side by side with its peers."""
    if not has_wrk():
        click.echo(f"{HOW_TO_GET_WRK}: an own generator makes the load", err=True)
    where = machine()
    measured: dict[str, list[Measured]] = {}
    with TemporaryDirectory(prefix="bc-front-door-") as name:
        redis = RedisServer(Path(name))
        redis.start(appendfsync="always")
        bench = Bench(redis=redis, folder=Path(name))
        try:
            for part in only or PARTS:
                measured[part] = PARTS[part](bench, rounds=rounds, seconds=seconds)
        except LoadError as err:
            raise click.ClickException(f"void: {err}") from err
        finally:
            redis.kill()
    report = Report(machine=where, measured=measured)
    click.echo(report.text())
    if compare:
        click.echo(report.compared_with(Report.read(RAW)))
    elif write:
        report.write(DOCS)


if __name__ == "__main__":
    main()
