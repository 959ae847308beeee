"""
Output without tables: texts and JSON, with every character escaped that could steer a terminal.
"""

import json
import sys
from typing import IO

import click

from service.logs.control_characters import escape_controls, escape_json


def echo(text: str = "", *, is_error: bool = False) -> None:
    """
    Print a text to stdout, or to stderr if it is no result. Its line feeds stay; every other
    character that could steer a terminal is shown as an escape.
    """
    write_escaped(text, sys.stderr if is_error else sys.stdout)


def print_json(value: object) -> None:
    """Print a value as JSON to stdout."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(escape_json(text))


def write_escaped(text: str, stream: IO[str]) -> None:
    """Print a text to a stream; its line feeds stay."""
    click.echo(escape_controls(text, has_lines=True), file=stream)
