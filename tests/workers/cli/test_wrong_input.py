"""
Input that is wrong in ways that people and scripts get it wrong: one line, and the right exit code.
"""

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli import expected_import
from workers.cli.failure import Failure, failure_of
from workers.cli.output import print_table
from workers.cli.receiver_answer import answer_text


def test_what_names_no_call_is_none(run: Run, seed: Seed) -> None:
    """An id that a script has left empty must not mean whichever call there is."""
    seed(ended("CA1"))
    run("replay", "", code=2)
    assert "nothing is known" in run("replay", "twilio:", code=1).stderr
    assert "nothing is known" in run("explain", "twilio:", code=1).stderr
    # What deletes takes no part of a name either.
    for name in ("twilio:", "twilio:CA"):
        assert "nothing is stored" in run("forget", name, "--yes", code=1).stderr
    assert "  twilio:CA1\n" in run("forget", "twilio:CA1", "--dry-run").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("trigger", "twilio", "answered", "--url", "http://[::1"),
        ("listen", "--forward-from", ".", "--to", "http://[::1"),
        ("init", "twilio", "--no-ask", "--redis-url", "redis://[x"),
        ("calls", "--json", "--csv"),
        ("sandbox", "--outcome", " "),
        ("sandbox", "--outcome", "12="),
    ],
)
def test_wrong_usage_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    """Behind click's own two; addresses that cannot be read among them."""
    result = run(*arguments, code=2)
    assert ("", 1) == (result.stdout, result.stderr.partition("Error: ")[2].count("\n"))


def test_an_address_that_only_looks_local_is_remote(run: Run) -> None:
    """Nothing is sent to a host whose name begins as this machine's number does."""
    result = run("listen", "--forward-from", ".", "--to", "http://127.0.0.1.example.test", code=1)
    assert "is another machine" in result.stderr


def test_a_request_file_that_is_no_text_is_one_line(run: Run, tmp_path: Path) -> None:
    """As other commands say it."""
    (tmp_path / "request.json").write_bytes(b"\xff\xfe\x00")
    result = run("trigger", "twilio", "--file", "request.json", code=1)
    assert "request.json: cannot be read: not a text file" in result.stderr


def test_a_list_that_was_cut_names_the_same_list_with_more(run: Run) -> None:
    """With all that was typed, also where a program reads the list."""
    for call in ("CA1", "CA2"):
        run("links", "set", "twilio", call, "110")
        run("expect", f"11{call[-1]}", "--number", "+15005550006")
    more = "1 are shown, there are more: buildr-calls"
    for arguments in (
        ("links", "list", "--source", "twilio", "--json"),
        ("expected", "list", "--json"),
    ):
        stderr = run(*arguments, "--limit", "1").stderr
        assert f"{more} {' '.join(arguments)} --limit 10\n" == stderr
        assert "" == run(*arguments, "--limit", "2").stderr


def test_a_row_that_is_refused_when_it_is_set_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its line, although it was right by itself: the clock of Redis decides."""
    monkeypatch.setattr(expected_import, "utc_now", lambda: datetime(2020, 1, 1, tzinfo=UTC))
    (tmp_path / "calls.csv").write_text("id,phone,day\n110,+15005550006,2020-01-02\n")
    stderr = run("expect", "import", "calls.csv", code=1).stderr
    assert "line 2, day: " in stderr
    assert "skipped: 1" in stderr
    report = run("expect", "import", "calls.csv", "--json", code=1).stdout
    assert '"rows": 1,\n  "valid": 0,\n  "invalid": 1' in report


@pytest.mark.parametrize("body", ["{", "[]", '{"other": 1}'])
def test_an_answer_that_is_not_a_receivers_is_read(body: str) -> None:
    """Something else may listen there."""
    headers = {"content-type": "application/json"}
    assert "" == answer_text(httpx.Response(500, content=body, headers=headers))


def test_output_that_goes_nowhere_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stdout closed (`>&-`) nothing is printed; a full disk is one line."""
    monkeypatch.setattr(sys, "stdout", None)
    print_table(("id",), [("1",)], empty="")
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(failure, Failure)
    assert "cannot write: No space left on device" == failure.message
    assert failure_of(OSError(errno.ENOENT, "")) is None


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["links", "--help"], ["--version"], ["version"]])
def test_output_onto_a_full_disk_is_one_line(arguments: list[str], unbuffered: str) -> None:
    """Help or not, and whether Python keeps output until the end or not."""
    command = [sys.executable, "-m", "workers.cli.main", *arguments]
    with Path("/dev/full").open("w") as full:
        ended_command = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (1, "buildr-calls: cannot write: No space left on device\n") == (
        ended_command.returncode,
        ended_command.stderr,
    )
