"""
Who may import whom, and how large a module may grow; read from the source, never run.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for top in ("service", "workers") for path in (ROOT / top).rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

# A module may import from its own layer and from those above it in this list.
LAYERS: list[set[str]] = [
    {"service.events", "service.errors", "service.clock"},
    {"service.secrets", "service.phones", "service.numbers"},
    {"service.masking", "service.outcome_rules", "service.legs"},
    {"service.parties"},
    {"service.results"},
    {"service.calls", "service.sources", "service.logs"},
    {"service.addresses"},
    {"service.settings"},
    {"service.store"},
    {"service.queue", "service.requests", "service.problems"},
    {"service.accounts", "service.bearer"},
    {"service.webhooks", "service.health", "service.admin", "service.expected"},
    {"service.app"},
    {"service.server"},
]
# What the workers may know of the service.
OPEN_TO_WORKERS = {
    "accounts",
    "addresses",
    "calls",
    "clock",
    "errors",
    "events",
    "logs",
    "numbers",
    "outcome_rules",
    "phones",
    "queue",
    "secrets",
    "settings",
    "sources",
    "store",
}
ONLY_THERE = {
    "starlette": (
        "service/webhooks.py",
        "service/app.py",
        "service/health.py",
        "service/admin.py",
        "service/bearer.py",
        "service/expected.py",
        "service/problems.py",
        "workers/sandbox/",
    ),
    "httpx": ("workers/buildr/", "workers/cli/", "workers/demo.py", "workers/subscriptions/", "workers/supervisor.py"),
    "arq": ("service/store/connection.py", "service/store/client.py", "workers/main.py"),
    "redis": (
        "service/store/",
        "service/queue.py",
        "service/bearer.py",
        "workers/jobs.py",
        "workers/loops.py",
        "workers/main.py",
        "workers/subscriptions/upkeep.py",
        "workers/subscriptions/watch.py",
        "workers/cli/session.py",
        "workers/embedded_redis.py",
    ),
    "uvicorn": ("service/server.py", "workers/sandbox/"),
}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _layer(name: str) -> int | None:
    for depth, layer in enumerate(LAYERS):
        if any(name == each or name.startswith(f"{each}.") for each in layer):
            return depth
    return None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """The service never imports the workers, and nothing imports from a layer below its own."""
    own = _layer(_name(path))
    for imported in _imports(path):
        if _name(path).startswith("service"):
            assert not imported.startswith("workers"), imported
        depth = _layer(imported)
        if own is not None and depth is not None:
            assert depth <= own, f"{_name(path)} imports {imported}"


@pytest.mark.parametrize("path", [path for path in MODULES if "workers" in path.parts], ids=lambda path: str(path.relative_to(ROOT)))
def test_workers_know_little_of_the_service(path: Path) -> None:
    """Workers never reach into the receiver; only the command line starts it."""
    for imported in _imports(path):
        parts = imported.split(".")
        if parts[0] == "service" and len(parts) > 1 and not ("cli" in path.parts and parts[1] == "server"):
            assert parts[1] in OPEN_TO_WORKERS, imported


@pytest.mark.parametrize("library", ONLY_THERE)
def test_library_stays_in_its_room(library: str) -> None:
    """HTTP, arq and Redis are each known in few places."""
    users = {str(path.relative_to(ROOT)) for path in MODULES if any(each.split(".")[0] == library for each in _imports(path))}
    assert {user for user in users if not user.startswith(ONLY_THERE[library])} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    """No module above 400 lines, no function above 60."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_are_for(path: Path) -> None:
    """Every module that holds anything opens with a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree)
