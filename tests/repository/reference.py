"""
The reference of the command line and the tables of settings, as the code has them.
"""

import re
from collections.abc import Iterator
from typing import Final

import click
from pydantic.fields import FieldInfo

from service.settings import Settings
from workers.cli.main import cli
from workers.cli.program import PROGRAM

# What click prints for its own types is no word of ours.
PLAIN_TYPES: Final = {
    "TEXT": "TEXT",
    "INTEGER": "N",
    "INTEGER RANGE": "N",
    "FLOAT": "N",
    "FLOAT RANGE": "N",
    "FILE": "FILE",
    "PATH": "PATH",
}
# Shown as it is meant, not as it is held.
DEFAULTS: Final = {
    "public_url": "the request's own address",
    "redis_url": "the private Redis of `run`",
    "spool_dir": "`spool` in `DATA_DIR`",
    "settle_s": "`2`",
    "buildr_budgets": "`10/10s`",
}
SETTING_ROW: Final = re.compile(r"^\| `([A-Z_]+)` \|.*\|$", re.MULTILINE)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, in the order of `--help`; groups before their own."""
    yield from _commands(cli, PROGRAM)


def command_reference() -> str:
    """A heading for each command: what it does, its arguments and options, examples."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def setting_names() -> list[str]:
    """The settings of the service itself, in lower case."""
    return [name for name, field in Settings.model_fields.items() if not field.exclude]


def setting_row(name: str) -> str:
    """The row of a setting: its description and its default."""
    field = Settings.model_fields[name]
    return f"| `{name.upper()}` | {field.description} | {_setting_default(name, field)} |"


def with_setting_rows(text: str) -> str:
    """The text of a page whose rows of settings are those of the code."""
    names = set(setting_names())

    def row(match: re.Match[str]) -> str:
        name = match[1].lower()
        return setting_row(name) if name in names else match[0]

    return SETTING_ROW.sub(row, text)


def _commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix} {name}")


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    about, examples = _help(command)
    parts = [f"## {name.removeprefix(f'{PROGRAM} ')}", about, f"```text\n{name} {usage}\n```"]
    options = [line for line in map(_option, command.params) if line]
    if options:
        parts.append("\n".join(["| option | does | default |", "|---|---|---|", *options]))
    if examples:
        parts.append(f"```sh\n{examples}\n```")
    return "\n\n".join(parts)


def _help(command: click.Command) -> tuple[str, str]:
    """What a command's help says, as Markdown; and its examples."""
    text = re.sub(r"^    ", "", command.help or "", flags=re.MULTILINE).strip()
    paragraphs = []
    examples = ""
    for paragraph in text.split("\n\n"):
        lines = paragraph.lstrip("\b\n").split("\n")
        if re.fullmatch(r"Examples?:", lines[0].strip()):
            examples = "\n".join(line.strip() for line in lines[1:])
        elif paragraph.startswith("\b"):
            paragraphs.append("```text\n{}\n```".format("\n".join(lines)))
        else:
            paragraphs.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(paragraphs), examples


def _option(parameter: click.Parameter) -> str:
    """The row of an option; empty for an argument, which the usage shows."""
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return ""
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    if not parameter.is_flag and not parameter.count:
        names = f"{names} {_value_name(parameter)}"
    about = (parameter.help or "").replace("|", "\\|")
    return f"| `{names}` | {about} | {_option_default(parameter)} |"


def _value_name(option: click.Option) -> str:
    if option.metavar is not None:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(map(str, option.type.choices))
    name = option.type.name.upper()
    return PLAIN_TYPES.get(name, name)


def _option_default(option: click.Option) -> str:
    value = option.to_info_dict()["default"]
    if option.is_flag or value is None or value in ([], ()):
        return ""
    return f"`{value}`"


def _setting_default(name: str, field: FieldInfo) -> str:
    if name in DEFAULTS:
        return DEFAULTS[name]
    value = field.default
    if value is None or value in ((), ""):
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{', '.join(map(str, value))}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"
