"""
What commands print on the pages has the form of what they print.
"""

import re
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.e2e.harness import wait_for
from tests.repository.docs_commands.data import write_files
from tests.repository.docs_commands.system import shown_system
from tests.repository.site import ROOT
from workers.cli import status
from workers.cli.program import PROGRAM
from workers.cli.tail_follow import Follower

CALL: Final = "CA00000000000000000000000000000001"
BLOCK: Final = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COLUMNS: Final = re.compile(r"  +")
# The last form is that of a text, not of a column.
TIME: Final = re.compile(r"\b\d\d:\d\d:\d\d\b")
MESSAGE_ID: Final = re.compile(r"\bm[0-9a-f]{24}\b")


def block_of(page: str, start: str) -> list[str]:
    """The lines of the block of a page that begins so."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (block,) = [block for block in BLOCK.findall(text) if block.lstrip().startswith(start)]
    return str(block).splitlines()


def labels(lines: list[str]) -> list[str]:
    """The first column of a table."""
    return [COLUMNS.split(line.strip())[0] for line in lines if line.strip()]


def form(line: str) -> list[str]:
    """The columns of a line, without what differs in each run."""
    return COLUMNS.split(MESSAGE_ID.sub("ID", TIME.sub("TIME", line)).strip())


def test_tail_prints_lines_as_the_page_shows_them(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page leaves lines out between the first and the last one."""

    async def poll_once(self: Follower, *, poll_s: float = 0) -> None:
        await self.poll()
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    write_files(PROGRAM, tmp_path)
    monkeypatch.setattr(Follower, "run", poll_once)
    with shown_system(tmp_path, redis_url, {}) as system:
        system.run_line(f"trigger twilio answered --set call_id={CALL} --set buildr_call_id=110")
        system.wait_for_rest()
        printed = system.run_line("tail --since 1h").output.splitlines()
    shown = block_of("cli.md", "10:00:31  twilio")
    assert len(shown) == len({*map(str, map(form, shown))})
    assert [] == [line for line in map(form, shown) if line not in [*map(form, printed)]]


def test_status_has_the_rows_that_the_page_shows(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Buildr is away, in this order; the rows of a strict Buildr exist in the command."""
    monkeypatch.chdir(tmp_path)
    write_files(PROGRAM, tmp_path)
    with shown_system(tmp_path, redis_url, {}) as system:
        fault = {"kind": "status", "status": 503, "times": 1000}
        httpx.post(f"{system.sandbox_url}/_sandbox/faults", json=fault).raise_for_status()
        for number in range(110, 118):
            system.run_line(f"trigger twilio answered --set buildr_call_id={number}")
        wait_for(
            lambda: "away since" in system.run_line("status").output, goal="the outage to be seen"
        )
        printed = system.run_line("status").output.splitlines()
    shown = labels(block_of("delivery.md", "what "))
    assert "Buildr" in shown
    rows = labels(printed)
    # The budget of the page is another one.
    assert [re.sub(r"in \d+ s", "in", row) for row in shown] == [
        re.sub(r"in \d+ s", "in", row) for row in rows[: len(shown)]
    ]
    source = Path(status.__file__).read_text(encoding="utf-8")
    for label in labels(block_of("delivery.md", "calls waiting for Buildr  31")):
        assert re.sub(r"in \d+ s", "in", label).strip() in source, label
