"""
Tables and facts on a terminal and off it.
"""

import io
import sys

import pytest

from workers.cli.tables import print_fact, print_table

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


def test_a_table_is_wrapped_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last column alone; a character that takes two columns counts as two."""
    terminal = _terminal(monkeypatch)
    print_table(("id", "detail"), ROWS, empty="")
    assert [
        "\x1b[1mid    detail\x1b[0m",
        "日本  a sentence of some words that is",
        "      longer than its column is wide",
        "x",
    ] == terminal.getvalue().splitlines()


def test_a_fact_is_wrapped_below_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the style that is asked for, and in none where NO_COLOR is set."""
    terminal = _terminal(monkeypatch)
    print_fact("because", "a sentence that is too long for one line", width=8, style="red")
    assert [
        "\x1b[31m\x1b[1mbecause \x1b[0m a sentence that is too long for",
        "         one line",
    ] == terminal.getvalue().splitlines()
    monkeypatch.setenv("NO_COLOR", "1")
    print_fact("e\u0301", "x", width=2)
    assert terminal.getvalue().endswith("e\u0301 x\n")


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
