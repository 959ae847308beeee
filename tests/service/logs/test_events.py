"""
The names of log lines: each comes from one list, is used, and is in the docs.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.logs.events import LogEvent

ROOT = Path(__file__).parents[3]
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
MODULES = sorted(
    path
    for folder in ("service", "workers")
    for path in (ROOT / folder).rglob("*.py")
    if "structlog.get_logger" in path.read_text(encoding="utf-8")
)
# Written about elsewhere, or seen by nobody who operates the service.
ELSEWHERE = ("sandbox.",)


def logged_texts(tree: ast.AST) -> Iterator[str]:
    """The literals that are the first argument of a call like `log.info(...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[ast.Constant() | ast.JoinedStr() as event, *_],
            ) if level in LEVELS:
                yield ast.unparse(event)


def documented() -> set[str]:
    """The names in the tables of the pages about operation, `.short` ones written out."""
    names: set[str] = set()
    for page in ("operating.md", "subscriptions.md"):
        for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
            cell = line.partition("|")[2].partition("|")[0]
            part = ""
            for name in re.findall(r"`([a-z_]*\.[a-z_]+)`", cell):
                part = name.partition(".")[0] or part
                names.add(f"{part}.{name.partition('.')[2]}")
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_log_lines_take_their_names_from_the_list(path: Path) -> None:
    """No module writes the name of a log line out."""
    assert [] == list(logged_texts(ast.parse(path.read_text(encoding="utf-8"))))


def test_every_name_is_used() -> None:
    """A name of the list is logged somewhere, by itself or by its ending."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("service", "workers")
        for path in (ROOT / folder).rglob("*.py")
    )
    unused = [
        event
        for event in LogEvent
        if f"LogEvent.{event.name}" not in code and f'"{event.partition(".")[2]}"' not in code
    ]
    assert [] == unused


@pytest.mark.parametrize("event", list(LogEvent))
def test_every_name_is_in_the_docs(event: LogEvent) -> None:
    """An operator who finds a line in the log finds its name on a page."""
    assert event.startswith(ELSEWHERE) or event in documented()
