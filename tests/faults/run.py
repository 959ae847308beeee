"""
Every fault that is known of, on this machine: `make faults`.

    python -m tests.faults.run                   all scenarios; writes docs/reliability.md
    python -m tests.faults.run --only NAME       one or several, by a part of their names
    python -m tests.faults.run --list            their names

Each scenario is a process of its own with real processes below it. Exit status 1 if a row is not
as required.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.faults.catalogue import GROUPS, SCENARIOS
from tests.faults.judge import Row
from tests.faults.report import summary, write_report
from tests.faults.scenario import Scenario
from tests.faults.stage import unmount

ROOT: Final = Path(__file__).parents[2]
# Beside the time that the traffic and the recovery of a scenario may take.
SPARE_S: Final = 180
# Scenarios wait most of the time.
AT_ONCE: Final = 3


class Runner:
    """Runs scenarios, some of them side by side, and prints a line for each."""

    def __init__(self, at_once: int, *, keeps_logs: bool) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._keeps_logs = keeps_logs
        self._finished = 0
        self._began = time.monotonic()

    async def run(self, scenarios: Sequence[Scenario]) -> list[Row]:
        """The rows of all scenarios, in order; those that need the machine alone come last."""
        # The longest first, so that none of them is left for the end.
        shared = sorted(
            (scenario for scenario in scenarios if not scenario.is_alone),
            key=longest_s,
            reverse=True,
        )
        alone = [scenario for scenario in scenarios if scenario.is_alone]
        total = len(scenarios)
        rows = list(await asyncio.gather(*(self._run_one(item, total) for item in shared)))
        rows += [await self._run_one(scenario, total) for scenario in alone]
        by_name = {row.name: row for row in rows}
        return [by_name[scenario.name] for scenario in scenarios]

    async def _run_one(self, scenario: Scenario, total: int) -> Row:
        async with self._places:
            row = await self._trial(scenario)
        self._finished += 1
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        sys.stdout.write(f"[{minutes:2}:{seconds:02} {self._finished}/{total}] {summary(row)}\n")
        sys.stdout.flush()
        return row

    async def _trial(self, scenario: Scenario) -> Row:
        folder = Path(tempfile.mkdtemp(prefix="bc-faults-"))
        try:
            return await self._run_in(folder, scenario)
        finally:
            if self._keeps_logs:
                sys.stdout.write(f"{scenario.name}: {folder}\n")
            else:
                remove(folder)

    async def _run_in(self, folder: Path, scenario: Scenario) -> Row:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.trial", scenario.name, str(folder), "--watched"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        output = b""
        try:
            async with asyncio.timeout(longest_s(scenario)):
                if process.stdout is not None:
                    output = await process.stdout.read()
                await process.wait()
        except TimeoutError:
            return broken(scenario, f"not over after {longest_s(scenario):.0f} s")
        finally:
            # Whatever it has started is of its group, and ends with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode != 0 or not output:
            return broken(scenario, f"the trial broke, status {process.returncode}")
        return Row(**json.loads(output))


def remove(folder: Path) -> None:
    """Remove a folder, and what may be mounted in it."""
    unmount(folder / "redis")
    shutil.rmtree(folder, ignore_errors=True)


def longest_s(scenario: Scenario) -> float:
    """When a scenario is given up."""
    last_step_at_s = max((step.at_s for step in scenario.steps), default=0)
    steps_s = last_step_at_s + scenario.last_step_s
    return SPARE_S + scenario.traffic.over_s + steps_s + 2 * scenario.recovery_s


def broken(scenario: Scenario, reason: str) -> Row:
    """The row of a scenario that could not be judged."""
    return Row(scenario.name, scenario.title, faults=[reason])


def chosen(parts: Iterable[str]) -> list[Scenario]:
    """
    The scenarios with one of these parts in their name, a whole name before others; all if there
    are no parts.
    """
    wanted_names = list(parts)
    if not wanted_names:
        return list(SCENARIOS.values())
    scenarios = []
    for name, scenario in SCENARIOS.items():
        if any(part == name or (part not in SCENARIOS and part in name) for part in wanted_names):
            scenarios.append(scenario)
    return scenarios


async def until_stopped(runner: Runner, scenarios: Sequence[Scenario]) -> list[Row]:
    """The rows; SIGTERM ends everything in order, as Ctrl-C does."""
    task = asyncio.ensure_future(runner.run(scenarios))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog='make faults ARGS="..."',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of it")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="scenarios side by side")
    parser.add_argument("--list", action="store_true", dest="is_listing", help="names and titles")
    parser.add_argument("--keep", action="store_true", help="leave the folders with the logs")
    parser.add_argument("--write", action="store_true", help="the page, though not all are run")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    scenarios = chosen(options.only)
    if options.is_listing:
        for scenario in scenarios:
            sys.stdout.write(f"{scenario.name:28} {scenario.title}\n")
        return
    if not scenarios:
        parser.error("no scenario has such a name: see --list")
    runner = Runner(options.at_once, keeps_logs=options.keep)
    try:
        rows = asyncio.run(until_stopped(runner, scenarios))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped before the end: nothing is written")
    if options.json is not None:
        text = json.dumps([row.as_json() for row in rows], indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.write or len(scenarios) == len(SCENARIOS):
        write_report(ROOT, GROUPS, rows)
    red = [row for row in rows if row.faults]
    for row in red:
        sys.stdout.write(f"RED {row.name}: {'; '.join(row.faults)}; {row.endings}\n")
        for example in row.examples:
            sys.stdout.write(f"    {example}\n")
    sys.exit(bool(red))


if __name__ == "__main__":
    main()
