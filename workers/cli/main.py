"""
The command line `buildr-calls`: every command, named here once.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

import click

from workers.cli.calls import explain, stalled, status, unmatched
from workers.cli.checks import check, outcomes
from workers.cli.failed import failed
from workers.cli.links import links
from workers.cli.processes import run, sandbox, serve, work
from workers.cli.support import PROGRAM, Commands
from workers.cli.trigger import trigger

COMMANDS: Final[tuple[click.Command, ...]] = (
    run,
    serve,
    work,
    sandbox,
    trigger,
    explain,
    links,
    failed,
    unmatched,
    stalled,
    outcomes,
    status,
    check,
)


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "not installed"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
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


for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command line; the process ends with 0, 1 (it did not work) or 2 (wrong usage)."""
    cli(prog_name=PROGRAM)


if __name__ == "__main__":
    main()
