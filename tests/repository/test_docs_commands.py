"""
Every command line of `buildr-calls` and every target of `make` in the pages exists, with the
options that it is shown with, also where a page leaves a value open. test_docs_commands_run.py runs
the others.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from tests.repository.docs_commands.lines import BLOCK, IN_TEXT
from tests.repository.site import ROOT, pages
from workers.cli.main import cli
from workers.cli.program import PROGRAM

# A command in a block begins a line, maybe behind an assignment, sudo or a prompt. It ends at a
# comment, a pipe or another command.
IN_BLOCK: Final = re.compile(
    rf"^[^#\n`]*?(?<![\w/=:-]){PROGRAM}(?![\w-])( +[^#\n|;&>]*)?", re.MULTILINE
)
TARGET: Final = re.compile(r"\bmake ([a-z][a-z-]+)")
# What was true once, and what is made from the commands themselves.
LEFT_OUT: Final = ("CHANGELOG.md", "decisions", "reference-cli.md", "architecture.md")
# A word in place of a value, like SOURCE, and what a page leaves open.
PLACEHOLDER: Final = re.compile(r"^[A-Z][A-Z_]+$|…|\.\.\.")


def _pages() -> list[Path]:
    return [page for page in pages().values() if not any(name in str(page) for name in LEFT_OUT)]


def _commands(text: str) -> Iterator[str]:
    for block in BLOCK.findall(text):
        joined = block.replace("\\\n", " ")
        for arguments in IN_BLOCK.findall(joined):
            yield _without_substitution(arguments)
    yield from IN_TEXT.findall(BLOCK.sub("", text))


def _without_substitution(arguments: str) -> str:
    """The arguments without the end of `<( )` around their command."""
    if arguments.count("(") < arguments.count(")"):
        return arguments.rstrip().removesuffix(")")
    return arguments


def _fault(arguments: list[str]) -> str | None:
    """What is wrong with a command line; None for one that the program understands."""
    command: click.Command = cli
    context = click.Context(cli, info_name=PROGRAM)
    while isinstance(command, click.Group) and arguments and arguments[0][0] != "-":
        name = arguments.pop(0)
        subcommand = command.get_command(context, name)
        if subcommand is None:
            # `expect 110` is short for `expect call 110`.
            subcommand = command.get_command(context, "call")
            arguments.insert(0, name)
        if subcommand is None:
            return f"there is no command {name}"
        command = subcommand
        context = click.Context(command, info_name=name, parent=context)
    options = {option for parameter in command.params for option in _options(parameter)}
    unknown = {argument for argument in arguments if argument.startswith("--")} - options
    if unknown:
        return f"there is no {', '.join(sorted(unknown))}"
    return _wrong_value(command, arguments)


def _wrong_value(command: click.Command, arguments: list[str]) -> str | None:
    """What the command itself says of its values; None where a page leaves one open."""
    if any(PLACEHOLDER.search(argument) for argument in arguments):
        return None
    try:
        command.make_context(command.name, list(arguments))
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        # A file of the reader's, and a command that is only named.
        if not arguments or "does not exist" in error.message:
            return None
        return error.message
    return None


def _options(parameter: click.Parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_exists(page: Path) -> None:
    """Whoever copies one from a page has one that runs."""
    faults = []
    for line in _commands(page.read_text(encoding="utf-8")):
        try:
            arguments = shlex.split(line)
        except ValueError:
            # An open quotation mark: the command goes on in a part that was cut off.
            continue
        fault = _fault(arguments)
        if fault is not None:
            faults.append(f"{PROGRAM}{line}: {fault}")
    assert [] == faults


def test_every_target_of_make_exists() -> None:
    """The same for make."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]+):", makefile, re.MULTILINE))
    for page in _pages():
        text = page.read_text(encoding="utf-8")
        shown = "\n".join([*BLOCK.findall(text), *re.findall(r"`(make [a-z-]+)", text)])
        assert set(TARGET.findall(shown)) <= targets, page
