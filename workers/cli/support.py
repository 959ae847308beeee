"""
What all commands share: settings or plain words, and printing.
"""

import json
import os
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from service.errors import SettingsError
from service.settings import Settings, load

NARROWEST = 100


def load_settings(*, is_local: bool = False) -> Settings:
    """
    Read the settings.

    `is_local` fills what is not set with what a running `run` made up. Ends the command with every fault on a line of its own and exit code 1.
    """
    try:
        return load(os.environ, is_local=is_local)
    except SettingsError as err:
        raise explained(err) from err


def explained(err: SettingsError) -> click.ClickException:
    """Faults of the settings as click shows them."""
    return click.ClickException("\n  ".join(["the settings are wrong:", *err.faults]) if len(err.faults) > 1 else err.faults[0])


def console() -> Console:
    """Where results go; wide enough for tables when it is no terminal."""
    return Console(file=sys.stdout, soft_wrap=False, width=None if sys.stdout.isatty() else 200, emoji=False)


def error_console() -> Console:
    """Where progress goes."""
    return Console(file=sys.stderr, emoji=False)


def print_json(data: object) -> None:
    """Print JSON for programs."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print a table for people, or a sentence where it would be empty."""
    if not rows:
        click.echo(empty)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console().print(table, highlight=False)
