"""
The command `buildr-calls`: every command in one tuple.
"""

import sys
from typing import Final

import click

from service.errors import SettingsError
from workers.cli.calls import explain, stalled, status, unmatched
from workers.cli.checks import check, outcomes
from workers.cli.failed import failed
from workers.cli.links import links
from workers.cli.support import explained, load_settings
from workers.cli.trigger import trigger

@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="buildr-calls")
def cli() -> None:
    """Keep the calls in Buildr true."""


@cli.command()
def serve() -> None:
    r"""
    Start the receiver.

    \b
    Example:
      PORT=8000 buildr-calls serve
    """
    from service.server import serve as run
    try:
        run(load_settings())
    except SettingsError as err:
        raise explained(err) from err


@cli.command()
def work() -> None:
    r"""
    Start a worker.

    \b
    Example:
      buildr-calls work
    """
    from workers.main import run_worker
    try:
        run_worker(load_settings())
    except SettingsError as err:
        raise explained(err) from err


COMMANDS: Final = (explain, trigger, links, failed, unmatched, stalled, outcomes, status, check)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
