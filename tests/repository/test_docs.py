"""
The docs agree with the code: settings, commands, links between pages.
"""

import re
from pathlib import Path

import click
import pytest

from service.settings import Settings, names
from service.sources import SETTINGS
from tests.repository.docs_tables import PARTS, filled
from workers.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


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
    about = (
        Settings.model_fields[name.lower()].description if setting is None else setting.description
    )
    return f"| `{name}` | {about}"


def test_every_setting_has_its_row() -> None:
    """docs/settings.md holds each setting with the description that the code gives."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in names() if name != "CONFIG" and _row(name) not in page]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that exists."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
