"""
Output without tables: texts and JSON, with every character escaped that could steer a terminal.
"""

import json
import sys
from collections.abc import Callable
from typing import IO, Final

import click

from service.logs.control_characters import escape_controls, escape_json
from service.logs.phone_masking import mask_numbers

# The key of click's `meta`, which all contexts of one invocation share.
MASKS: Final = "buildr-calls.mask"


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


def print_json_line(value: object) -> None:
    """Print a value as JSON in one line to stdout."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, default=str)))


def echo_escaped(line: str) -> None:
    """Print a line whose parts were escaped one by one, with styles between them."""
    click.echo(masked(line))


def write_escaped(text: str, stream: IO[str]) -> None:
    """Print a text to a stream; its line feeds stay."""
    click.echo(masked(escape_controls(text, has_lines=True)), file=stream)


def mask_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--mask` to a command, for a screenshot or a ticket."""

    def choose(ctx: click.Context, _: click.Parameter, is_chosen: bool) -> None:
        ctx.meta[MASKS] = is_chosen

    option = click.option(
        "--mask",
        is_flag=True,
        expose_value=False,
        callback=choose,
        help="Hide telephone numbers, as for a screenshot; not in --json.",
    )
    return option(command)


def masked(text: str) -> str:
    """The text as it is, without its telephone numbers where `--mask` was given."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not ctx.meta.get(MASKS):
        return text
    return mask_numbers(text)
