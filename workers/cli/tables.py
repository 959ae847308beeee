"""
Tables and facts for people: with blanks between the columns, and with nothing cut off.

Not rich's tables: to import it takes longer than most commands take for their work.
"""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import IO, Final

import click

from service.logs.control_characters import one_line
from workers.cli.plain_output import echo, masked

# Blanks between columns; the last column, which is of sentences, may be as narrow as that.
GAP: Final = 2
LEAST_LAST: Final = 24
# Of an East Asian character that takes two columns, see Unicode's annex 11.
WIDE: Final = ("W", "F")
# Marks that are drawn over the character before them, and joiners.
NO_WIDTH: Final = ("Mn", "Me", "Cf")


def print_fact(name: str, value: str, *, width: int = 12, style: str = "bold") -> None:
    """
    Print one value, as it is, behind its name, which is padded to `width`; in one line, which is
    wrapped between words on a terminal. `style` is `bold` or a colour of click's.
    """
    title = f"{one_line(name):<{width}}"
    text = masked(one_line(value))
    columns = terminal_width()
    lines = [text]
    if columns is not None:
        lines = _wrapped(text, columns - len(title) - 1)
    _print_styled(title, style, f" {lines[0]}")
    for line in lines[1:]:
        click.echo(f"{'':<{len(title)}} {line}", file=sys.stdout)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """
    Print rows under their headings, or a sentence if there are none.

    Off a terminal the columns are padded with blanks and nothing is cut. On one that is too narrow
    each row is some lines, since a table would break ids and commands.
    """
    if not rows:
        echo(empty)
        return
    # They hold texts of vendors: an escape sequence among them could rewrite the terminal.
    cells = [[masked(one_line(cell)) for cell in row] for row in rows]
    width = terminal_width()
    widths = [max(map(_width, column)) for column in zip(columns, *cells, strict=True)]
    # A program that reads the table could not undo what was cut or wrapped.
    if width is None:
        for row in (columns, *cells):
            click.echo(_row(row, widths), file=sys.stdout)
    elif _least_width(widths, [row[-1] for row in cells]) > width:
        _print_cards(columns, cells)
    else:
        _print_table(columns, cells, widths, width)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)
    )
    return (" " * GAP).join(padded).rstrip()


def _least_width(widths: Sequence[int], last_column: Sequence[str]) -> int:
    """The columns of a terminal that a table needs; the last one is broken between words."""
    *fixed, last = widths
    longest_word = max(_width(part) for cell in last_column for part in (cell.split() or [""]))
    return sum(fixed) + GAP * len(fixed) + max(longest_word, min(LEAST_LAST, last))


def _print_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], width: int
) -> None:
    _print_styled(_row(columns, widths), "bold", "")
    room = width - sum(widths[:-1]) - GAP * len(widths[:-1])
    for row in cells:
        first, *others = _wrapped(row[-1], room)
        click.echo(_row((*row[:-1], first), widths), file=sys.stdout)
        for line in others:
            click.echo(" " * (width - room) + line, file=sys.stdout)


def _print_cards(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a row under another, since a table would break ids and commands."""
    width = max(map(len, columns))
    for number, row in enumerate(cells):
        if number:
            click.echo(file=sys.stdout)
        for column, cell in zip(columns, row, strict=True):
            if cell:
                # The terminal breaks a line that is too long, and copying joins it.
                click.echo(f"{column:<{width}}  {cell}", file=sys.stdout)


def _print_styled(text: str, style: str, rest: str) -> None:
    """Print a text in a style, where the terminal has styles, and the rest without it."""
    if not _has_styles():
        click.echo(f"{text}{rest}".rstrip(), file=sys.stdout)
        return
    colour = None if style == "bold" else style
    # click would take the style out off a terminal, also where FORCE_COLOR asks for it.
    line = f"{click.style(text, fg=colour, bold=True)}{rest}".rstrip()
    click.echo(line, file=sys.stdout, color=True)


def _wrapped(text: str, width: int) -> list[str]:
    """A text in lines that are broken between words alone; at least one line."""
    lines = textwrap.wrap(
        text, max(width, LEAST_LAST), break_long_words=False, break_on_hyphens=False
    )
    return lines or [""]


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_character_widths(text))


def _character_widths(text: str) -> Iterator[int]:
    for character in text:
        if unicodedata.category(character) in NO_WIDTH:
            yield 0
        elif unicodedata.east_asian_width(character) in WIDE:
            yield 2
        else:
            yield 1


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None if it is none."""
    if not is_terminal(sys.stdout):
        return None
    return shutil.get_terminal_size().columns


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream is one, or is to be taken for one: FORCE_COLOR is set."""
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _has_styles() -> bool:
    """Whether stdout shows weights and colours: see https://no-color.org."""
    has_none = os.environ.get("TERM") in ("dumb", "unknown") or os.environ.get("NO_COLOR")
    return is_terminal(sys.stdout) and not has_none
