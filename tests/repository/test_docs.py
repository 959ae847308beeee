"""
The docs agree with the code: settings and commands.
"""

from pathlib import Path

import click
import pytest

from service.settings import names
from service.sources import SETTINGS
from tests.repository.docs_tables import PARTS, filled
from tests.repository.reference import setting_row
from workers.cli.main import cli

ROOT = Path(__file__).parents[2]


def _commands(group: click.Group, prefix: str = "") -> list[str]:
    result = []
    for name, command in group.commands.items():
        result += (
            _commands(command, f"{prefix}{name} ")
            if isinstance(command, click.Group)
            else [f"{prefix}{name}"]
        )
    return result


def _row(name: str) -> str:
    setting = SETTINGS.get(name.lower())
    if setting is None:
        return setting_row(name.lower())
    return f"| `{name}` | {setting.description}"


def test_every_setting_has_its_row() -> None:
    """docs/settings.md holds each setting with the description and default that the code has."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [_row(name) for name in names() if name != "CONFIG"]
    missing = [row for row in rows if row not in page]
    assert missing == []
    assert "| `CONFIG` |" in page
    assert "| `ENV_FILE` |" in page


@pytest.mark.parametrize("path", sorted({page for page, _ in PARTS}))
def test_parts_that_follow_from_the_registry_are_up_to_date(path: str) -> None:
    """What `make docs` writes is written."""
    text = (ROOT / path).read_text(encoding="utf-8")
    assert filled(path, text) == text, "run: make docs"


def test_every_command_is_described() -> None:
    """docs/cli.md has a heading for each command, and each command's help ends with an example."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [] == [command for command in _commands(cli) if f"buildr-calls {command}" not in page]


@pytest.mark.parametrize("command", _commands(cli))
def test_help_shows_an_example(command: str) -> None:
    """Nobody has to guess how a command is written."""
    result: click.Command = cli
    for part in command.split():
        assert isinstance(result, click.Group)
        result = result.commands[part]
    assert "buildr-calls " in (result.help or "")
