"""
How soon commands end and processes are ready, beside an empty Python: `make bench-cli`.

It starts a Redis and the local Buildr of its own, and prints a table as docs/benchmarks.md has it,
between two comments; `--write` puts it there. Each round runs everything once, in turn.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.process_start import Part, Spent, Start, measure_process, measured
from tests.benchmarks.report import machine, table
from tests.doubles.redis import RedisServer
from tests.e2e.harness import COMMAND, INHERITED, System

ROUNDS: Final = 10
PAGE: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- start: written by make bench-cli -->"
END: Final = "<!-- start: end -->"
EMPTY: Final = Start(title="`python -c pass`", arguments=("-c", "pass"))
COMPLETION: Final = {
    "_BUILDR_CALLS_COMPLETE": "bash_complete",
    "COMP_WORDS": "buildr-calls expl",
    "COMP_CWORD": "1",
}
UNKNOWN: Final = "twilio:CA00000000000000000000000000000001"


def _command(*arguments: str, goal_ms: int | None = None) -> Start:
    return Start(
        title=f"`{' '.join(arguments)}`", arguments=(*COMMAND, *arguments), goal_ms=goal_ms
    )


COMMANDS: Final = (
    EMPTY,
    _command("--help", goal_ms=300),
    Start(title="completion of `expl`", arguments=COMMAND, variables=COMPLETION, output="explain"),
    Start(
        title="`explain` of an id that is not known",
        arguments=(*COMMAND, "explain", UNKNOWN),
        # By which it differs from a command that did not find Redis.
        output="nothing is known of a call",
        code=1,
        goal_ms=400,
    ),
    _command("calls", goal_ms=500),
    _command("failed", "list", goal_ms=500),
    _command("unmatched", "list", goal_ms=500),
    _command("status"),
    _command("links", "list"),
)
PROCESSES: Final = (
    Part(title="`serve`, until `/readyz` answers 200", command="serve", goal_ms=1500),
    Part(title="`work`, until it logs `worker.started`", command="work", goal_ms=1500),
)
Times = Mapping[Start | Part, Sequence[Spent]]


def report(times: Times, *, where: str) -> str:
    """The table in Markdown, by the least of the rounds, and where it was measured."""
    empty_ms = min(spent.cpu_ms for spent in times[EMPTY])
    rows = []
    for start, all_spent in times.items():
        cpu_ms = min(spent.cpu_ms for spent in all_spent)
        clocks_ms = [spent.clock_ms for spent in all_spent]
        rows.append(
            (
                start.title,
                f"{cpu_ms:,.0f}",
                f"{cpu_ms / empty_ms:.1f}",
                f"{min(clocks_ms):,.0f}",
                f"{statistics.median(clocks_ms):,.0f}",
                "" if start.goal_ms is None else f"{start.goal_ms:,}",
            )
        )
    columns = (
        "",
        "processor time, ms",
        "empty Pythons",
        "by the clock, ms",
        "median",
        "goal, ms",
    )
    rounds = len(times[EMPTY])
    return f"{table(columns, rows)}\n\nThe least of {rounds} rounds, and the median; {where}\n"


def measure(rounds: int, *, folder: Path, python: str, redis_url: str) -> Times:
    """Run everything so often, in turn, and once more before to warm up."""
    system = System(folder, redis_url, twilio_token="t" * 32, standard_secret="whsec_" + "c" * 32)
    # Only what they need: settings add to the time of those that read them.
    plain = {name: os.environ[name] for name in INHERITED if name in os.environ}
    plain["REDIS_URL"] = redis_url
    times: dict[Start | Part, list[Spent]] = {start: [] for start in (*COMMANDS, *PROCESSES)}
    system.start_sandbox()
    try:
        for number in range(rounds + 1):
            for start in COMMANDS:
                spent = measured(start, python=python, environment=plain)
                times[start] += [spent] * bool(number)
            for part in PROCESSES:
                spent = measure_process(part, python=python, system=system)
                times[part] += [spent] * bool(number)
    finally:
        system.stop()
    return times


def write(text: str, page: Path) -> None:
    """Put the table between the two comments of a page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    if not begin:
        raise ValueError(f"{page} has no comment {BEGIN}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often; default %(default)s")
    parser.add_argument("--python", default=sys.executable, help="of another environment")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md too")
    options = parser.parse_args()
    # Before anything runs: the load is what others do.
    where = machine().replace("appendfsync always", "an empty Redis")
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(Path(name))
        redis.start()
        try:
            times = measure(
                options.rounds, folder=Path(name), python=options.python, redis_url=redis.url
            )
        finally:
            redis.kill()
    text = report(times, where=where)
    sys.stdout.write(f"{text}\n")
    if options.write:
        write(text, PAGE)


if __name__ == "__main__":
    main()
