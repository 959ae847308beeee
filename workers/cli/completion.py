"""
`buildr-calls completion`: the script with which a shell completes commands, options and words.
"""

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from workers.cli.output import echo
from workers.cli.program import PROGRAM

SHELLS: Final[dict[str, type[ShellComplete]]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}
# The variable by which the script asks the program; click makes the same of the program's name.
VARIABLE: Final = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(sorted(SHELLS)))
def completion(shell: str) -> None:
    """
    Print the script that completes commands, options, sources and states by TAB.

    \b
    Examples:
      source <(buildr-calls completion bash)                  # in ~/.bashrc, for all shells to come
      source <(buildr-calls completion zsh)                   # in ~/.zshrc, after compinit
      buildr-calls completion fish > ~/.config/fish/completions/buildr-calls.fish
    """
    script = SHELLS[shell](click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    # Not its own `source`: that of bash starts a bash, to ask for its version.
    echo(ShellComplete.source(script))
