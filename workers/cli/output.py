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
from service.settings import Installation, Settings, load_installation
from workers.cli.plain_output import echo, print_json, write_escaped
from workers.cli.program import PROGRAM
from workers.cli.tables import print_fact, print_table, terminal_width
from workers.local.data_folder import LocalRunError

if TYPE_CHECKING:
    from rich.console import Console

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
    # Loaded for bars alone: it takes as long as many commands take for all of their work.
    from rich.console import Console

    # The stream is named, since rich would keep the one that was stderr when it was first asked.
    return Console(file=sys.stderr, highlight=False)


def utc_text(at: datetime | None) -> str:
    """A moment for tables, in UTC to the second; empty for none."""
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"
