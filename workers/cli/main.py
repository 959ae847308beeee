"""
The command line `buildr-calls`: every command, named here once.
"""

import os
import sys
from io import TextIOWrapper
from typing import Final

import click

from service.collector import pause_collector
from workers.cli.command_table import CommandEntry, CommandTable, LazyCommands
from workers.cli.module_on_use import PRINTERS, load_on_use, without
from workers.cli.program import PROGRAM, program_version

# In the order in which they are listed. Those without an account are of the whole installation;
# every other command is of one account's records.
COMMANDS: Final = {
    "init": CommandEntry(
        module="init",
        function="init",
        help="Write the settings of a new installation.",
        has_account=False,
    ),
    "run": CommandEntry(
        module="run",
        function="run",
        help="Run all of it on this machine and simulate a call.",
        has_account=False,
    ),
    "serve": CommandEntry(
        module="serve", function="serve", help="Run the receiver.", has_account=False
    ),
    "work": CommandEntry(module="run", function="work", help="Run a worker.", has_account=False),
    "sandbox": CommandEntry(
        module="run", function="sandbox", help="Run the local Buildr alone.", has_account=False
    ),
    "check": CommandEntry(
        module="check",
        function="check",
        help="Check everything that has to be right.",
        logs=True,
    ),
    "status": CommandEntry(
        module="status", function="status", help="Show what waits, what failed, what is used."
    ),
    "sources": CommandEntry(
        module="sources",
        function="sources",
        help="Show every telephony system: off, ready, silent.",
    ),
    "calls": CommandEntry(
        module="calls", function="calls", help="Find calls by number, agent, time and more."
    ),
    "tail": CommandEntry(
        module="tail", function="tail", help="Follow messages and deliveries as they happen."
    ),
    "explain": CommandEntry(
        module="explain", function="explain", help="Explain a call: what came, what was decided."
    ),
    "failed": CommandEntry(
        module="failed", function="failed", help="See what was given up on, and replay it."
    ),
    "unmatched": CommandEntry(
        module="call_lists",
        function="unmatched",
        help="See calls that no Buildr call is known for.",
    ),
    "stalled": CommandEntry(
        module="call_lists", function="stalled", help="See calls whose final event never came."
    ),
    "refused": CommandEntry(
        module="refused", function="refused", help="See requests that were refused, and why."
    ),
    "alerts": CommandEntry(
        module="alerts", function="alerts", help="See which alerts are open, and try where they go."
    ),
    "replay": CommandEntry(
        module="replay",
        function="replay_calls",
        help="Replay known calls, with today's links, rules and outcomes.",
        logs=True,
    ),
    "links": CommandEntry(
        module="links", function="links", help="Tell which Buildr call a telephone call is."
    ),
    "link-url": CommandEntry(
        module="link_url",
        function="link_url",
        help="Print the address to put into a telephony system.",
    ),
    "expect": CommandEntry(
        module="expected",
        function="expect",
        help="Say that a Buildr call will be a call with a number.",
    ),
    "expected": CommandEntry(
        module="expected", function="expected", help="See the calls that are expected."
    ),
    "dial-token": CommandEntry(
        module="dial_token",
        function="dial_token",
        help="Say who may call from the dial page: a personal link for each.",
    ),
    "phonebook": CommandEntry(
        module="phonebook",
        function="phonebook",
        help="Know who called, by telephone number.",
        logs=True,
    ),
    "outcomes": CommandEntry(
        module="outcomes",
        function="outcomes",
        help="See outcomes, and try the map of outcomes.",
        logs=True,
    ),
    "subscriptions": CommandEntry(
        module="subscriptions",
        function="subscriptions",
        help="See and correct the webhook subscriptions at vendors.",
        logs=True,
    ),
    "backfill": CommandEntry(
        module="backfill",
        function="backfill",
        help="Read in calls of a telephony system's own call log.",
        logs=True,
    ),
    "reconcile": CommandEntry(
        module="backfill",
        function="reconcile",
        help="Compare a telephony system's own call log with what is stored.",
        logs=True,
    ),
    "trigger": CommandEntry(
        module="trigger", function="trigger", help="Send a realistic call to your own receiver."
    ),
    "listen": CommandEntry(
        module="listen",
        function="listen",
        help="Try a running instance's messages on this machine.",
    ),
    "forget": CommandEntry(
        module="forget",
        function="forget",
        help="Delete what is stored about a number or a call.",
        logs=True,
    ),
    "completion": CommandEntry(
        module="completion",
        function="completion",
        help="Print the script that completes commands by TAB.",
        has_account=False,
    ),
    "mcp": CommandEntry(
        module="mcp",
        function="mcp",
        help="Let an agent look at calls, over stdin and stdout.",
        logs=True,
    ),
    "version": CommandEntry(
        module="version", function="version", help="Print the version.", has_account=False
    ),
}


def _print_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if not is_asked or ctx.resilient_parsing:
        return
    from workers.cli.output import echo

    echo(f"{PROGRAM}, version {program_version()}")
    ctx.exit()


@click.group(
    cls=LazyCommands,
    commands=CommandTable(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """
    Write the outcome of every telephone call into Buildr.

    Telephony webhooks become the right call outcome, once, within Buildr's rate limit.

    \b
    Examples:
      buildr-calls run
      buildr-calls explain twilio:CA00000000000000000000000000000001
    """


def _log_errors_only() -> None:
    with without(*PRINTERS):
        from service.logs.setup import configure_logging

    configure_logging(fmt="pretty", level="error", stream=sys.stderr)


def main() -> None:
    """Run the command line; the process ends with 0, 1 (it did not work) or 2 (wrong usage)."""
    pause_collector()
    # A terminal or a file that cannot hold a name of a vendor's gets it in escapes.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # It would read the metadata of every package that is installed, which takes longer than many
    # commands do, to find plugins, of which none is used here. Whoever wants one sets it empty.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # redis-py imports PyJWT, which imports cryptography where that is installed: together up to a
    # fifth of a command's time. It needs them for tokens of Entra ID, which no setting asks for.
    load_on_use("jwt")
    cli(prog_name=PROGRAM, obj=_log_errors_only)


if __name__ == "__main__":
    main()
