"""
Tables and facts on a terminal and off it.
"""

import io
import re
import sys

import pytest

from workers.cli.output import print_fact, print_table

STYLES = re.compile(r"\x1b\[[0-9;]*m")
BOLD = "\x1b[1m"
RED = "\x1b[31m"
ROWS = [("日本", "a sentence of some words that is longer than its column is wide"), ("x", "")]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """As it says."""
        return True


def _terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stdout as a terminal of 40 columns with styles."""
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return out


def _plain_lines(terminal: Terminal) -> list[str]:
    """What was printed, without styles and the blanks that rich pads lines with."""
    return [line.rstrip() for line in STYLES.sub("", terminal.getvalue()).splitlines()]


def test_a_table_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last column alone; a character that takes two columns counts as two."""
    terminal = _terminal(monkeypatch)
    print_table(("id", "detail"), ROWS, empty="")
    assert [
        "id    detail",
        "日本  a sentence of some words that is",
        "      longer than its column is wide",
        "x",
    ] == _plain_lines(terminal)
    assert terminal.getvalue().startswith(f"{BOLD}id")


def test_a_fact_is_wrapped_below_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the style that is asked for, and in none where NO_COLOR is set."""
    terminal = _terminal(monkeypatch)
    print_fact("because", "a sentence that is too long for one line", width=8, style="red")
    assert [
        "because  a sentence that is too long for",
        "         one line",
    ] == _plain_lines(terminal)
    assert terminal.getvalue().startswith(f"{RED}because")
    monkeypatch.setenv("NO_COLOR", "1")
    print_fact("e\u0301", "x", width=2, style="red")
    assert terminal.getvalue().endswith("e\u0301  x\n")


def test_off_a_terminal_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are padded with blanks; no rows are a sentence."""
    print_table(("id", "detail"), ROWS, empty="")
    print_table(("id",), [], empty="Nothing.")
    assert [
        "id    detail",
        f"日本  {ROWS[0][1]}",
        "x",
        "Nothing.",
    ] == capsys.readouterr().out.splitlines()
