"""
The benchmark of starts measures what it says: commands that did their work, processes that were
ready. Nothing is timed here.
"""

import sys
from pathlib import Path

import pytest

from tests.benchmarks import command_start
from tests.benchmarks.command_start import (
    BEGIN,
    COMMANDS,
    EMPTY,
    END,
    PAGE,
    PROCESSES,
    Times,
    measure,
    report,
    write,
)
from tests.benchmarks.process_start import Spent, Start, StartError, measured
from tests.doubles.redis import RedisServer


@pytest.mark.slow
def test_a_short_run_measures_commands_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each: a command, one that fails as it should, the receiver and a worker."""
    commands = (EMPTY, *(start for start in COMMANDS if "explain" in start.arguments))
    monkeypatch.setattr(command_start, "COMMANDS", commands)
    redis = RedisServer(tmp_path)
    redis.start()
    try:
        times = measure(1, folder=tmp_path, python=sys.executable, redis_url=redis.url)
    finally:
        redis.kill()
    assert [*commands, *PROCESSES] == list(times)
    assert {1} == {len(spent) for spent in times.values()}
    assert all(start.title in report(times, where="here") for start in times)


@pytest.mark.parametrize("program", ["print('x')", "raise SystemExit(3)"])
def test_a_command_that_failed_is_not_measured(program: str) -> None:
    """Neither by its exit status nor by what it prints."""
    start = Start(title="x", arguments=("-c", program), output="y")
    with pytest.raises(StartError, match="x ended with"):
        measured(start, python=sys.executable, environment={})


def test_the_table_takes_the_least_of_all_rounds() -> None:
    """Beside the median by the clock, and in empty Pythons."""
    goal = Start(title="`x`", arguments=(), goal_ms=1500)
    times: Times = {
        EMPTY: [Spent(40, 50), Spent(50, 50), Spent(60, 50)],
        goal: [Spent(1_210, 1_300), Spent(1_200, 1_400), Spent(1_300, 1_600)],
    }
    assert "| `x` | 1,200 | 30.0 | 1,300 | 1,400 | 1,500 |" in report(times, where="here")


def test_the_page_has_a_place_for_it(tmp_path: Path) -> None:
    """What is between two comments is replaced, the rest stays."""
    page = tmp_path / PAGE.name
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write("the table", page)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    expected = f"{before}{BEGIN}\n\nthe table\n{END}{rest.partition(END)[2]}"
    assert expected == page.read_text(encoding="utf-8")
    page.write_text("no place", encoding="utf-8")
    with pytest.raises(ValueError, match="has no comment"):
        write("the table", page)
