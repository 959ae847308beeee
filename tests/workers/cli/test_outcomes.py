"""
`buildr-calls outcomes test`: the map of outcomes, tried on the sample calls of the file.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.settings import Settings
from service.store.connection import open_store
from service.store.outcomes import StoredOutcomes
from tests.workers.cli.conftest import Run

FILE = """
[[rules]]
name = "short"
when = { result = "connected", talk_below_s = 20 }
outcome = "No Answer"

[[outcomes.tests]]
name = "short talk"
call = { result = "connected", talk_s = 12 }
outcome = "No Answer"

[[outcomes.tests]]
name = "long talk"
call = { result = "connected", talk_s = 120 }
outcome = "Connected"
"""
WRONG = """
[[outcomes.tests]]
call = { result = "failed" }
outcome = "Connected"
"""


def write(text: str) -> None:
    """The settings in the current folder."""
    Path("buildr-calls.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def account_has(redis_url: str, make_settings: Callable[..., Settings]) -> Callable[..., None]:
    """Store these names as the account's outcomes."""

    async def save(names: tuple[str, ...]) -> None:
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            pairs = tuple((name, str(number)) for number, name in enumerate(names, 786))
            stored = StoredOutcomes(names=pairs, read_at=datetime(2026, 11, 2, tzinfo=UTC))
            await store.outcomes.save(stored)

    return lambda *names: asyncio.run(save(names))


def test_samples_that_pass(run: Run, account_has: Callable[..., None]) -> None:
    """Each has its line with what decided, the last line sums them up, and the exit code is 0."""
    account_has("Connected", "No Answer")
    write(FILE)
    result = run("outcomes", "test")
    lines = result.stdout.splitlines()
    assert [
        ["ok", "short talk", "connected", "No Answer", "No Answer", 'rules[0] "short"'],
        ["ok", "long talk", "connected", "Connected", "Connected", "default.connected"],
    ] == [[cell.strip() for cell in line.split("  ") if cell] for line in lines[1:3]]
    assert "2 passed, 0 failed" == lines[-1]
    assert "" == result.stderr


def test_sample_that_fails_is_exit_code_1(run: Run, account_has: Callable[..., None]) -> None:
    """What was expected and what came out are side by side."""
    account_has("Connected", "No Answer")
    write(FILE + WRONG)
    lines = run("outcomes", "test", code=1).stdout.splitlines()
    assert ["FAIL", "outcomes.tests[2]", "failed", "Connected", "left alone", "default.failed"] == [
        cell.strip() for cell in lines[3].split("  ") if cell
    ]
    assert "2 passed, 1 failed" == lines[-1]


def test_json(run: Run, account_has: Callable[..., None]) -> None:
    """The same for programs, and the exit code is the same."""
    account_has("Connected", "No Answer")
    write(FILE + WRONG)
    written = json.loads(run("outcomes", "test", "--json", code=1).stdout)
    assert {"passed", "failed", "tests"} == set(written)
    assert (2, 1, [True, True, False]) == (
        written["passed"],
        written["failed"],
        [test["is_passed"] for test in written["tests"]],
    )
    assert {
        "place": "outcomes.tests[2]",
        "name": None,
        "call": {"result": "failed"},
        "expected": "Connected",
        "outcome": None,
        "rule": "default.failed",
        "is_passed": False,
    } == written["tests"][2]


def test_unknown_outcomes_are_reported_as_elsewhere(
    run: Run, account_has: Callable[..., None]
) -> None:
    """A name that the account lacks, in a rule or in a test, has its line with the account's."""
    account_has("Connected", "Busy")
    write(FILE)
    faults = run("outcomes", "test", code=1).stderr.splitlines()
    assert ['rules[0] "short"', 'outcomes.tests[0] "short talk"'] == [
        fault.split(": ")[1] for fault in faults
    ]
    assert all(fault.endswith("It has: Busy, Connected") for fault in faults)


def test_without_redis_only_names_are_not_checked(run: Run) -> None:
    """The tests run where nothing else runs, such as before a file is put in place."""
    write(FILE)
    result = run("outcomes", "test", REDIS_URL="redis://127.0.0.1:9/0")
    assert result.stdout.endswith("2 passed, 0 failed\n")
    assert "names are not checked" in result.stderr


def test_other_file(run: Run, tmp_path: Path) -> None:
    """`--config` tries a file that is not in place."""
    (tmp_path / "new.toml").write_text(FILE + WRONG, encoding="utf-8")
    assert run("outcomes", "test", "--config", "new.toml", code=1).stdout.endswith("1 failed\n")


def test_file_without_a_test(run: Run) -> None:
    """Nothing is wrong, and it says how to write one."""
    assert "There is no test: write [[outcomes.tests]]" in run("outcomes", "test").stdout
    assert {"passed": 0, "failed": 0, "tests": []} == json.loads(
        run("outcomes", "test", "--json").stdout
    )


def test_account(run: Run) -> None:
    """`--account` runs the tests of that account."""
    write(WRONG.replace("[[", "[[accounts.acme."))
    assert "There is no test" in run("outcomes", "test").stdout
    assert "0 passed, 1 failed" in run("outcomes", "test", "--account", "acme", code=1).stdout


def test_check_runs_the_tests(run: Run) -> None:
    """`check` fails where a sample does and names it; it reports no tests where there are none."""

    def findings(text: str) -> list[tuple[bool, str]]:
        write(text)
        lines = json.loads(run("check", "--json", code=1).stdout)
        return [
            (line["is_fine"], line["detail"]) for line in lines if line["what"] == "outcome tests"
        ]

    assert [(True, "all 2 pass")] == findings(FILE)
    assert [(False, "1 of 3 fail: outcomes.tests[2]; see: buildr-calls outcomes test")] == findings(
        FILE + WRONG
    )
    assert [] == findings("")
