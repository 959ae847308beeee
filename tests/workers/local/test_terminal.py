"""
What `run` shows of the processes' lines.
"""

import io
import json

import pytest
from rich.console import Console

from workers.local.terminal import (
    LastingConsole,
    Screen,
    read_line,
    render,
)


def _entry(**fields: object) -> str:
    return json.dumps({"timestamp": "2026-11-02T10:00:05.123456Z", "level": "info", **fields})


def test_entry_is_one_line_for_an_operator() -> None:
    """Time, part, what happened, and the rest by name; empty fields are left out."""
    line = read_line(
        "receiver",
        _entry(
            event="message.accepted",
            logger="service.webhooks",
            status_code=204,
            reason=None,
            source="twilio",
        ),
    )
    assert (
        "10:00:05 receiver | message.accepted  status_code=204 source=twilio" == render(line).plain
    )


@pytest.mark.parametrize(
    "text", ["plain words", "[1, 2]", '{"no": "event"}', '{"event": 7}', "{", "", "[" * 100_000]
)
def test_anything_else_is_shown_as_it_is(text: str) -> None:
    """A line that is no log entry is shown whole, behind the part's name."""
    assert f"worker   | {text}" == render(read_line("worker", text)).plain


def test_nothing_steers_the_terminal() -> None:
    """Control characters in a line do not reach the terminal."""
    for text in (
        "\x1b]0;title\x07",
        _entry(event="message.rejected", reason="\x1b[2J", exception="Traceback\n\x1b[2J"),
    ):
        shown = render(read_line("receiver", text)).plain
        assert all(char.isprintable() or char == "\n" for char in shown)


def test_traceback_keeps_its_lines() -> None:
    """A traceback is shown line by line, each behind the part's name."""
    shown = render(
        read_line(
            "worker", _entry(event="job.broken", level="error", exception="Traceback:\n  line 1")
        )
    ).plain
    assert 3 == len(shown.splitlines())
    assert all("worker   | " in row for row in shown.splitlines())


@pytest.mark.parametrize(
    ("least", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)]
)
def test_least_level_holds(least: str, count: int) -> None:
    """Lines below the least level are not shown."""
    out = io.StringIO()
    screen = Screen(console=Console(file=out), least=least)
    for level in ("debug", "info", "warning"):
        screen.show(read_line("worker", _entry(event="job.done", level=level)))
    assert count == len(out.getvalue().splitlines())


def test_raw_lines_stay_json() -> None:
    """Where JSON is asked for, lines are printed as they came."""
    out = io.StringIO()
    text = _entry(event="job.done", note="[bold]x[/bold] " * 30)
    Screen(console=Console(file=out, width=40), is_raw=True).show(read_line("worker", text))
    assert text == out.getvalue().rstrip("\n")


class _Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_terminal_that_is_gone_is_no_error() -> None:
    """A closed terminal or pipe ends no run."""
    screen = Screen(console=LastingConsole(file=_Gone()))
    for _ in range(2):
        screen.say("anything")
