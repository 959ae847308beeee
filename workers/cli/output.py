"""
What all commands share: settings with their faults in plain lines, output for people and for
programs, errors in one line.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.errors import QueueUnavailable, SettingsError
from service.settings import Installation, Settings, load_installation
from workers.cli.plain_output import echo, masked, print_json, write_escaped
from workers.cli.program import PROGRAM
from workers.local.data_folder import LocalRunError
from workers.local.terminal import printable

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


def progress_console() -> Console:
    """For progress bars only, on stderr: their texts are ours."""
    return _console(sys.stderr)


def print_fact(name: str, value: str, *, width: int = 12, style: str = "bold") -> None:
    """Print one value, as it is and in one line, behind its name, which is padded to `width`."""
    # A `Text`, since rich would read `[/x]` in a string as markup.
    _console(sys.stdout).print(
        Text.assemble((f"{printable(name):<{width}}", style), " ", masked(printable(value)))
    )


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
    cells = [[masked(printable(cell)) for cell in row] for row in rows]
    out = _console(sys.stdout)
    # rich would cut or wrap to 80 columns, which a program that reads the table could not undo.
    if not out.is_terminal:
        _print_padded((columns, *cells))
    elif _least_width((columns, *cells)) > out.width:
        _print_cards(out, columns, cells)
    else:
        _print_table(out, columns, cells)


def _print_padded(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _least_width(rows: Sequence[Sequence[str]]) -> int:
    """The columns of a terminal that a table needs; the last one is broken between words."""
    *columns, last = zip(*rows, strict=True)
    longest_word = max(len(part) for cell in last for part in (cell.split() or [""]))
    widths = [max(map(len, column)) for column in columns]
    sentences = min(LEAST_LAST, max(map(len, last)))
    return sum(widths) + GAP * len(columns) + max(longest_word, sentences)


def _print_table(out: Console, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    out.print(table)


def _print_cards(out: Console, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a row under another, since a table would break ids and commands."""
    width = max(map(len, columns))
    for number, row in enumerate(cells):
        if number:
            out.print()
        for column, cell in zip(columns, row, strict=True):
            if cell:
                # soft_wrap: the terminal breaks a line that is too long, and copying joins it.
                out.print(Text(f"{column:<{width}}  {cell}"), soft_wrap=True)


def _console(stream: IO[str]) -> Console:
    # Named here, because rich would otherwise keep the stream that was stdout when it was first
    # asked.
    made = Console(file=stream, highlight=False)
    if not made.is_terminal:
        made.soft_wrap = True
    return made


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None if it is none."""
    out = _console(sys.stdout)
    if not out.is_terminal:
        return None
    return out.width


def utc_text(at: datetime | None) -> str:
    """A moment for tables, in UTC to the second; empty for none."""
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"
