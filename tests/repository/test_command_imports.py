"""
What commands of the terminal import, read from the source: their time is mostly that of imports.
"""

from collections.abc import Iterator

import pytest

from tests.repository.import_graph import ImportGraph, reached, read_graph
from tests.repository.source_files import PRODUCTION, python_paths, read
from workers.cli import failed
from workers.cli.command_table import PACKAGE, CommandEntry
from workers.cli.main import COMMANDS

STRUCTLOG = "structlog"
# It logs only where a log is set up: `explain` shows what a template makes.
LOGS_IF_SET_UP = "workers.outcomes.notes"


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    """The imports of service and workers, lazy ones too."""
    return read_graph(map(read, python_paths(*PRODUCTION)))


def _entries() -> Iterator[tuple[str, CommandEntry]]:
    yield from COMMANDS.items()
    for name, entry in failed.COMMANDS.items():
        yield f"failed {name}", entry


def test_commands_that_log_say_so(graph: ImportGraph) -> None:
    """Until it is set up, structlog prints to stdout, where a command's results are."""
    arrows: dict[str, set[str]] = {}
    for importer, imported in graph.arrows():
        arrows.setdefault(importer, set()).add(imported.module or "")
    for name, entry in _entries():
        start = f"{PACKAGE}.{entry.module}"
        modules = {start, *reached(start, arrows)} - {LOGS_IF_SET_UP}
        logs = any(_imports(graph, module, STRUCTLOG) for module in modules)
        # Processes that stay set up a log of their own.
        if entry.has_account:
            assert (name, entry.logs) == (name, logs)


def _imports(graph: ImportGraph, module: str, library: str) -> bool:
    return any(item.name.partition(".")[0] == library for item in graph.imports.get(module, ()))
