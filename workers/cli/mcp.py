"""
`buildr-calls mcp`: the service for agents, by the Model Context Protocol over stdin and stdout.
"""

from importlib.util import find_spec

import click

from workers.cli.accounts import load_accounts
from workers.cli.failure import Failure

PACKAGE = "mcp"


@click.command()
@click.option(
    "--allow-replay",
    "allows_replay",
    is_flag=True,
    help="Let the agent replay calls; without, it changes nothing.",
)
@click.option(
    "--numbers", "shows_numbers", is_flag=True, help="Show telephone numbers whole, not masked."
)
def mcp(*, allows_replay: bool, shows_numbers: bool) -> None:
    """
    Serve the Model Context Protocol on stdin and stdout: search calls, explain one, list what
    failed, propose a replay.

    \b
    Examples:
      buildr-calls mcp
      buildr-calls mcp --allow-replay --numbers
    """
    if find_spec(PACKAGE) is None:
        raise Failure("the package mcp is not installed: pip install 'buildr-calls[mcp]'")
    from workers.cli.agent_server import make_server
    from workers.cli.agent_tools import AgentTools

    tools = AgentTools(installation=load_accounts(is_local=True), shows_numbers=shows_numbers)
    make_server(tools, allows_replay=allows_replay).run()
