"""
The settings that a command works with, and the option `--account`.
"""

import os
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import click

from service.errors import SettingsError
from service.settings import Installation, Settings, load_installation
from workers.cli.failure import SettingsFault, WrongAccount
from workers.cli.output import echo
from workers.cli.program import PROGRAM

# The key of click's `meta`, which all contexts of one invocation share.
ACCOUNT: Final = f"{PROGRAM}.account"


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


def same_command(settings: Settings, **changes: str) -> str:
    """The command that runs, as it was typed, with some options changed."""
    ctx = click.get_current_context()
    words = ctx.command_path.split()[1:]
    for parameter in ctx.command.params:
        name = parameter.name or ""
        is_typed = ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        if is_typed and name in ctx.params and name not in changes:
            words += _words_of(parameter, ctx.params[name])
    for name, value in changes.items():
        words += [f"--{name}", value]
    return command_line(settings, shlex.join(words))


def _words_of(parameter: click.Parameter, value: object) -> list[str]:
    """How the value of an argument or an option is typed."""
    if isinstance(value, tuple):
        return [word for item in value for word in _words_of(parameter, item)]
    if isinstance(value, datetime):
        value = value.isoformat(timespec="seconds")
    if not isinstance(parameter, click.Option):
        return [str(value)]
    if parameter.is_flag:
        return [parameter.opts[0]]
    return [parameter.opts[0], str(value)]


def note_cut(settings: Settings, limit: int) -> None:
    """Print to stderr that a list was cut off after `limit` rows, and how to see more."""
    command = same_command(settings, limit=str(10 * limit))
    echo(f"{limit} are shown, there are more: {command}", is_error=True)
