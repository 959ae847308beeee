"""
How well calls get to Buildr, measured against the sandbox beside the theoretical time and a plain
arq project.

`make bench-delivery` runs it. Prints a report in Markdown; ends with exit code 1 if something that
is required was missed.
"""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, get_args

import click

from tests.benchmarks import report
from tests.benchmarks.drain import Drained, drain
from tests.benchmarks.latency import Latency, measure_latency
from tests.benchmarks.peer import (
    ARQ_TRIES,
    ENDLESS_TRIES,
    PeerRun,
    run_peer,
)
from tests.benchmarks.recovery import Recovery, measure_recovery
from tests.benchmarks.theory import Limit, Reading
from tests.benchmarks.waiting import measure_waiting
from tests.benchmarks.workload import make_cases

PARTS: Final = ("drain", "latency", "recovery", "peer", "waiting")
MODES: Final[tuple[Reading, ...]] = get_args(Reading)
PEER_WORKERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is measured, and how much of it."""

    calls: int
    workers: tuple[int, ...]
    window_s: float
    realtime_calls: int
    latency_calls: int
    kills: int
    peer_limit_s: float
    waiting_calls: int
    idle_s: float

    @property
    def limit(self) -> Limit:
        """The limit of the faster clock."""
        return Limit(window_s=self.window_s)


@dataclass(slots=True)
class Bench:
    """Runs parts and prints each as soon as it is measured."""

    options: Options
    drains: list[Drained] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)

    def run(self, part: str) -> None:
        """Measure one part."""
        parts: dict[str, Callable[[], str]] = {
            "drain": self.drain,
            "latency": self.latency,
            "recovery": self.recovery,
            "peer": self.peer,
            "waiting": self.waiting,
        }
        click.echo(parts[part]())

    def drain(self) -> str:
        """Every number of workers in both readings, and one run by the real clock."""
        cases = make_cases(self.options.calls)
        for mode in MODES:
            for workers in self.options.workers:
                self._say(f"drain: {mode}, {workers} workers")
                self.drains.append(
                    drain(cases, workers=workers, mode=mode, limit=self.options.limit)
                )
        if self.options.realtime_calls:
            self._say("drain: by the real clock")
            real = make_cases(self.options.realtime_calls)
            self.drains.append(drain(real, workers=PEER_WORKERS, mode="window", limit=Limit()))
        return report.drain_section(self.drains)

    def latency(self) -> str:
        """With one worker and with four."""
        for workers in (1, PEER_WORKERS):
            self._say(f"latency: {workers} workers")
            self.latencies.append(
                measure_latency(calls=self.options.latency_calls, workers=workers)
            )
        return report.latency_section(self.latencies)

    def recovery(self) -> str:
        """Workers killed, stopped and restarted."""
        self._say("recovery")
        self.recoveries.append(measure_recovery(kills=self.options.kills))
        return report.recovery_section(self.recoveries[-1])

    def peer(self) -> str:
        """
        Plain arq with tries without end and with its default, beside our own run in the same
        window.
        """
        cases = make_cases(self.options.calls)
        limit = self.options.limit
        ours = [
            run
            for run in self.drains
            if run.mode == "window" and run.workers == PEER_WORKERS and run.limit == limit
        ]
        if not ours:
            self._say("peer: our own run, to stand beside it")
            ours = [drain(cases, workers=PEER_WORKERS, mode="window", limit=limit)]
        runs: list[PeerRun] = []
        for tries in (ARQ_TRIES, ENDLESS_TRIES):
            self._say(f"peer: plain arq, max_tries={tries}")
            runs.append(
                run_peer(
                    cases,
                    workers=PEER_WORKERS,
                    limit=limit,
                    tries=tries,
                    limit_s=self.options.peer_limit_s,
                )
            )
        return report.peer_section(runs, ours)

    def waiting(self) -> str:
        """A great many calls without budget."""
        self._say(f"waiting: {self.options.waiting_calls} calls")
        limit_s = 60 + self.options.waiting_calls / 100
        result = measure_waiting(
            calls=self.options.waiting_calls,
            workers=PEER_WORKERS,
            idle_s=self.options.idle_s,
            limit_s=limit_s,
        )
        return report.waiting_section(result)

    def _say(self, text: str) -> None:
        click.echo(f"... {text}", err=True)


@click.command()
@click.option(
    "--only",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this part; may be given several times.",
)
@click.option(
    "--calls",
    type=click.IntRange(1, 20_000),
    default=600,
    show_default=True,
    help="Calls of drain and peer.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 4, 16),
    show_default=True,
    help="Worker processes of drain.",
)
@click.option(
    "--window-s",
    type=click.FloatRange(0.5, 60),
    default=2.5,
    show_default=True,
    help="Window of 10 requests: the faster clock.",
)
@click.option(
    "--realtime-calls",
    type=click.IntRange(0, 2000),
    default=120,
    show_default=True,
    help="Calls of the run at 10 requests in 10 s; 0 for none.",
)
@click.option(
    "--latency-calls",
    type=click.IntRange(1, 5000),
    default=300,
    show_default=True,
    help="Calls of latency.",
)
@click.option(
    "--kills",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="Workers that recovery kills and stops.",
)
@click.option(
    "--peer-limit-s",
    type=click.FloatRange(1, 3600),
    default=400,
    show_default=True,
    help="Longest that one run of plain arq may take.",
)
@click.option(
    "--waiting-calls",
    type=click.IntRange(100, 200_000),
    default=100_000,
    show_default=True,
    help="Calls of waiting.",
)
@click.option(
    "--idle-s",
    type=click.FloatRange(1, 600),
    default=30,
    show_default=True,
    help="Seconds for which waiting calls are watched.",
)
def main(*, parts: tuple[str, ...], **options: object) -> None:
    r"""
    Measure delivery and print a report; exit code 1 if something required was missed.

    \b
    Examples:
      make bench-delivery
      make bench-delivery ARGS="--only drain --calls 100 --workers 4 --realtime-calls 0"
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    bench = Bench(Options(**options))  # type: ignore[arg-type] # click has checked them
    click.echo(f"# Delivery\n\n{report.machine()}\n")
    for part in PARTS:
        if not parts or part in parts:
            bench.run(part)
    text, is_passed = report.verdicts(bench.drains, bench.latencies, bench.recoveries)
    click.echo(text)
    sys.exit(0 if is_passed else 1)


def _end(number: int, _: FrameType | None) -> None:
    """End in the ordinary way, so that everything that was started is ended too."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
