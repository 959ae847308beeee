"""
`buildr-calls version`: which version runs, and on what.
"""

import platform

import click

from workers.cli.output import echo, print_json
from workers.cli.program import PROGRAM, program_version


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(*, as_json: bool) -> None:
    """
    Print the version of this program and of Python.

    \b
    Example:
      buildr-calls version --json
    """
    versions = {
        PROGRAM: program_version(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        print_json(versions)
        return
    for name, value in versions.items():
        echo(f"{name} {value}")
