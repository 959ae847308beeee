"""
What commands print: texts, facts, tables and JSON, with every character escaped that could steer a
terminal.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Final

import click

from service.logs.control_characters import escape_controls, escape_json, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.status import Status
    from rich.table import Table

# Blanks between columns; the last column, which is of sentences, may be as narrow as that.
GAP: Final = 2
LEAST_LAST: Final = 24
# Columns of a terminal on which no table would have to be wrapped.
UNBOUND: Final = 1_000_000
# The key of click's `meta`, which all contexts of one invocation share.
MASKS: Final = "buildr-calls.mask"


def echo(text: str = "", *, is_error: bool = False) -> None:
    """
    Print a text to stdout, or to stderr if it is no result. Its line feeds stay; every other
    character that could steer a terminal is shown as an escape.
    """
    write_escaped(text, sys.stderr if is_error else sys.stdout)


def print_json(value: object) -> None:
    """Print a value as JSON to stdout."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(escape_json(text))


def print_json_line(value: object) -> None:
    """Print a value as JSON in one line to stdout."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, default=str)))


def echo_escaped(line: str) -> None:
    """Print a line whose parts were escaped one by one, with styles between them."""
    click.echo(masked(line))


def write_escaped(text: str, stream: IO[str]) -> None:
    """Print a text to a stream; its line feeds stay."""
    click.echo(masked(escape_controls(text, has_lines=True)), file=stream)


def mask_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--mask` to a command, for a screenshot or a ticket."""

    def choose(ctx: click.Context, _: click.Parameter, is_chosen: bool) -> None:
        ctx.meta[MASKS] = is_chosen

    option = click.option(
        "--mask",
        is_flag=True,
        expose_value=False,
        callback=choose,
        help="Hide telephone numbers, as for a screenshot; not in --json.",
    )
    return option(command)


def masked(text: str) -> str:
    """The text as it is, without its telephone numbers where `--mask` was given."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not ctx.meta.get(MASKS):
        return text
    # Its patterns are compiled for a mask alone.
    from service.logs.phone_masking import mask_numbers

    return mask_numbers(text)


def status_line() -> "Status":
    """A line on stderr that says what is waited for; nothing off a terminal."""
    return _console(sys.stderr).status("")


def progress(*columns: "ProgressColumn", is_transient: bool = False) -> "Progress":
    """Bars on stderr, whose texts are ours; nothing off a terminal. `is_transient`: they go."""
    from rich.progress import Progress

    out = _console(sys.stderr)
    return Progress(*columns, console=out, transient=is_transient, disable=not out.is_terminal)


def print_fact(name: str, value: str, *, width: int = 12, style: str = "bold") -> None:
    """
    Print one value, as it is, behind its name, which is padded to `width`; in one line, which is
    wrapped on a terminal. `style` is one of rich's.
    """
    title = one_line(name)
    text = masked(one_line(value))
    if not is_terminal(sys.stdout):
        echo(f"{title:<{width}} {text}".rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    fact = Table.grid(padding=(0, 1, 0, 0))
    fact.add_column(min_width=width, no_wrap=True, style=style)
    fact.add_column(overflow="fold")
    # A `Text`, since rich would read `[/x]` in a string as markup.
    fact.add_row(Text(title), Text(text))
    _console(sys.stdout).print(fact)


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
    if not is_terminal(sys.stdout):
        _print_padded((columns, *cells))
        return
    table = _table(columns, cells)
    out = _console(sys.stdout)
    if _least_width(out, table) <= out.width:
        out.print(table)
    else:
        _print_cards(columns, cells)


def _print_padded(rows: Sequence[Sequence[str]]) -> None:
    # rich's tables are wrapped at some width, and take three seconds for a thousand rows.
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        echo((" " * GAP).join(padded).rstrip())


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> "Table":
    """A table whose last column alone may be narrower than its texts are."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    widths = [max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)]
    for column, width in zip(columns[:-1], widths[:-1], strict=True):
        table.add_column(column, min_width=width, no_wrap=True)
    table.add_column(columns[-1], min_width=min(LEAST_LAST, widths[-1]), overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _least_width(out: "Console", table: "Table") -> int:
    """The columns of a terminal that a table needs; the last one is broken between words."""
    from rich.measure import Measurement

    return Measurement.get(out, out.options.update(width=UNBOUND), table).minimum


def _print_cards(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a row under another, since a table would break ids and commands."""
    width = max(map(len, columns))
    for number, row in enumerate(cells):
        if number:
            echo()
        for column, cell in zip(columns, row, strict=True):
            if cell:
                # The terminal breaks a line that is too long, and copying joins it.
                echo(f"{column:<{width}}  {cell}")


def _console(stream: IO[str]) -> "Console":
    # Loaded for terminals alone: it takes as long as many commands do for all their work.
    from rich.console import Console

    # The stream is named, since rich would keep the one that was stdout when it was first asked.
    return Console(file=stream, highlight=False)


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None if it is none."""
    if not is_terminal(sys.stdout):
        return None
    return _console(sys.stdout).width


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is one, or is to be taken for one: FORCE_COLOR is set. None if closed."""
    if stream is None:
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def utc_text(at: datetime | None) -> str:
    """A moment for tables, in UTC to the second; empty for none."""
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"
