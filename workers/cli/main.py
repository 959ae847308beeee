"""
The command line `buildr-calls`: every command, named here once.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from service.logs.setup import configure_logging
from workers.cli.backfill import backfill, reconcile
from workers.cli.call_lists import stalled, unmatched
from workers.cli.check import check
from workers.cli.expected import expect, expected
from workers.cli.explain import explain
from workers.cli.failed import failed
from workers.cli.forget import forget
from workers.cli.link_url import link_url
from workers.cli.links import links
from workers.cli.outcomes import outcomes
from workers.cli.output import PROGRAM, Commands, account_option
from workers.cli.phonebook import phonebook
from workers.cli.preview import preview_outcomes
from workers.cli.replay import replay_calls
from workers.cli.run import run, sandbox, work
from workers.cli.serve import serve
from workers.cli.sources import sources
from workers.cli.status import status
from workers.cli.subscriptions import subscriptions
from workers.cli.trigger import trigger

COMMANDS: Final[tuple[click.Command, ...]] = (
    run,
    serve,
    work,
    sandbox,
    trigger,
    explain,
    links,
    link_url,
    expect,
    expected,
    phonebook,
    failed,
    replay_calls,
    forget,
    unmatched,
    stalled,
    outcomes,
    subscriptions,
    backfill,
    reconcile,
    status,
    sources,
    check,
)
# These are of the whole installation; every other command is of one account's records.
OF_ALL_ACCOUNTS: Final = frozenset({"run", "serve", "work", "sandbox"})


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "not installed"


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(_version(), prog_name=PROGRAM)
def cli() -> None:
    """
    Keep the calls in Buildr true.

    Telephony webhooks become the right call outcome in Buildr, once, within Buildr's rate limit.

    \b
    Examples:
      buildr-calls run
      buildr-calls explain twilio:CA00000000000000000000000000000001
    """


def _add_account_option(command: click.Command) -> None:
    """Add `--account` to a command, or to all commands of a group."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _add_account_option(subcommand)
    elif not any(parameter.name == "account" for parameter in command.params):
        command.params.append(account_option())


outcomes.add_command(preview_outcomes)
for _command in COMMANDS:
    cli.add_command(_command)
    if _command.name not in OF_ALL_ACCOUNTS:
        _add_account_option(_command)


def main() -> None:
    """Run the command line; the process ends with 0, 1 (it did not work) or 2 (wrong usage)."""
    # What a library of ours logs on the way has no place in a command's output; processes that log
    # set this up for themselves.
    configure_logging(fmt="pretty", level="error", stream=sys.stderr)
    cli(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
