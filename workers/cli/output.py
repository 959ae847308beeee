"""
What all commands share: settings with their faults in plain lines, output for people and for
programs, errors in one line.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final

import click

from service.errors import QueueUnavailable, SettingsError
from service.logs.control_characters import one_line
from service.settings import Installation, Settings, load_installation
from workers.cli.plain_output import echo, masked, print_json, write_escaped
from workers.cli.program import PROGRAM
from workers.local.data_folder import LocalRunError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "PROGRAM",
    "Failure",
    "SettingsFault",
    "WrongAccount",
    "account_names",
    "account_option",
    "add_account_option",
    "chosen_account",
    "command_line",
    "echo",
    "failure_of",
    "load_accounts",
    "load_settings",
    "load_whole",
    "narrowed",
    "print_fact",
    "print_json",
    "print_table",
    "progress_console",
    "terminal_width",
    "utc_text",
]

FAILED: Final = 1
WRONG_USAGE: Final = 2
# Blanks between columns; the last column, which is of sentences, may be as narrow as that.
GAP: Final = 2
LEAST_LAST: Final = 24
# Columns of a terminal on which no table would have to be wrapped.
UNBOUND: Final = 1_000_000
# The key of click's `meta`, which all contexts of one invocation share.
ACCOUNT: Final = f"{PROGRAM}.account"


class SettingsFault(click.ClickException):
    """The settings are not usable; shown as one line per fault."""

    exit_code = FAILED

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults: Final = tuple(faults)

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the faults to stderr."""
        for fault in self.faults:
            write_escaped(f"{PROGRAM}: {fault}", file or sys.stderr)


class Failure(click.ClickException):
    """Something could not be done; shown as one line."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line to stderr."""
        write_escaped(f"{PROGRAM}: {self.format_message()}", file or sys.stderr)


class WrongAccount(Failure):
    """
    An account was named that is not there, or none where one has to be; shown as one line that
    lists them.
    """

    exit_code = WRONG_USAGE


def failure_of(err: Exception) -> click.ClickException | None:
    """How a command ends after an error that says what to do; None for any other error."""
    if isinstance(err, SettingsError):
        return SettingsFault(err.faults)
    if isinstance(err, LocalRunError | QueueUnavailable):
        return Failure(str(err))
    return None


def load_settings(*, is_local: bool, overrides: Mapping[str, str] | None = None) -> Settings:
    """
    The settings of the account that `--account` names, the default one without it; the rest as for
    `load_accounts`.
    """
    return load_accounts(is_local=is_local, overrides=overrides).default


def load_accounts(*, is_local: bool, overrides: Mapping[str, str] | None = None) -> Installation:
    """
    The settings of this machine, of all accounts, or of the one that `--account` names;
    `overrides` are variables that options have set.

    `is_local` fills what is not set from what `run` generated. Ends the command with one line per
    fault.
    """
    return narrowed(load_whole(is_local=is_local, overrides=overrides))


def load_whole(*, is_local: bool, overrides: Mapping[str, str] | None = None) -> Installation:
    """The same, of all accounts whatever `--account` names."""
    try:
        return load_installation({**os.environ, **(overrides or {})}, is_local=is_local)
    except SettingsError as err:
        raise SettingsFault(err.faults) from err


def narrowed(installation: Installation) -> Installation:
    """An installation of the account that `--account` names alone, of all without it."""
    account = chosen_account()
    if account is None:
        return installation
    try:
        return installation.narrowed_to(account)
    except SettingsError as err:
        raise WrongAccount(f"--account: {err}") from err


def account_option() -> click.Option:
    """The option `--account`, which sets whose records a command is for."""

    def choose(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[ACCOUNT] = value

    return click.Option(
        ["--account"],
        metavar="NAME",
        expose_value=False,
        callback=choose,
        help="The account, if not the default one.",
    )


def add_account_option(command: click.Command) -> None:
    """Add `--account` to a command, or to all commands of a group."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            add_account_option(subcommand)
    elif not any(parameter.name == "account" for parameter in command.params):
        command.params.append(account_option())


def chosen_account() -> str | None:
    """The account that the option `--account` names, or None."""
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return None
    return ctx.meta.get(ACCOUNT)


def account_names(installation: Installation) -> str:
    """The accounts that there are, for a message."""
    return ", ".join(installation.account_names)


def command_line(settings: Settings, command: str) -> str:
    """
    A command to be typed next, for the account that this one is for: `buildr-calls explain ...
    --account acme`.
    """
    if settings.is_default:
        return f"{PROGRAM} {command}"
    return f"{PROGRAM} {command} --account {settings.account}"


def progress_console() -> "Console":
    """For progress bars only, on stderr: their texts are ours."""
    return _console(sys.stderr)


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


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream is one, or is to be taken for one: FORCE_COLOR is set."""
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def utc_text(at: datetime | None) -> str:
    """A moment for tables, in UTC to the second; empty for none."""
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"
