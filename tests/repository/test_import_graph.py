"""
The search for imports, circles and broken laws, on small trees made for it.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.repository import layers
from tests.repository.import_graph import ImportGraph, circles, read_graph
from tests.repository.source_files import parse, python_paths, read


def graph_of(tree: Mapping[str, str], root: Path) -> ImportGraph:
    """The graph of a tree of files, written below a folder first."""
    for path, text in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    tops = sorted({path.partition("/")[0] for path in tree})
    return read_graph(read(path, root) for path in python_paths(*tops, root=root))


def arrows(graph: ImportGraph) -> set[tuple[str, str | None]]:
    """The arrows between modules."""
    return {(importer, imported.module) for importer, imported in graph.arrows()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import service.store.calls", "service.store.calls"),
        ("import service.store.calls as stored", "service.store.calls"),
        ("from service.store import calls", "service.store.calls"),
        ("from service.store.calls import Record", "service.store.calls"),
        ("from service.store import Store", "service.store"),
        ("from service.store import *", "service.store"),
        ("from .store import calls", "service.store.calls"),
        ("from . import store", "service.store"),
        ("def f():\n    from service.store import Store", "service.store"),
        ("if TYPE_CHECKING:\n    from service.store import Store", "service.store"),
        ("import redis.asyncio", None),
        ("from json import loads", None),
        ("from service.store_of_others import a", "service"),
    ],
)
def test_import_is_of_a_module(text: str, expected: str | None, tmp_path: Path) -> None:
    """The module that a name comes from is found, however and wherever it is imported."""
    tree = {
        "service/__init__.py": "",
        "service/store/__init__.py": "",
        "service/store/calls.py": "",
        "service/app.py": text,
    }
    modules = [module for _, module in arrows(graph_of(tree, tmp_path))]
    assert [expected] == (modules or [None])


@pytest.mark.parametrize(
    ("arrows_between", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}}, [["a", "b", "c"]]),
        ({"a": {"b"}, "b": {"a"}, "c": {"a", "d"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
    ],
)
def test_circles(arrows_between: dict[str, set[str]], expected: list[list[str]]) -> None:
    """Who reach one another are a circle; who only lead to one are not in it."""
    assert expected == circles(arrows_between)


def test_lazy_import_closes_a_circle(tmp_path: Path) -> None:
    """An import in a function or for types makes a circle of files like any other."""
    tree = {
        "workers/outcomes/decide.py": "from workers.outcomes import notes",
        "workers/outcomes/notes.py": "def f():\n    from workers.outcomes.decide import decide",
    }
    graph = graph_of(tree, tmp_path)
    assert [["workers.outcomes.decide", "workers.outcomes.notes"]] == layers.file_circles(graph)
    assert [] == layers.unit_circles(graph)


def test_circle_of_units_needs_no_circle_of_files(tmp_path: Path) -> None:
    """Units of one layer that import one another are found by their units."""
    tree = {
        "workers/jobs/deliver.py": "import workers.maintenance.pump",
        "workers/jobs/planner.py": "",
        "workers/maintenance/pump.py": "",
        "workers/maintenance/sweep.py": "import workers.jobs.planner",
    }
    graph = graph_of(tree, tmp_path)
    assert [] == layers.file_circles(graph)
    assert [["workers.jobs", "workers.maintenance"]] == layers.unit_circles(graph)


@pytest.mark.parametrize(
    ("module", "unit", "vendor"),
    [
        ("service.sources", "service.sources", None),
        ("service.sources.base", "service.sources.base", None),
        ("service.sources.common.jwt", "service.sources.common", None),
        ("service.sources.zoom", "service.sources.zoom", "zoom"),
        ("service.sources.zoom.events", "service.sources.zoom", "zoom"),
        ("service.store.rate_limit.permits", "service.store", None),
        ("service.storeroom", None, None),
    ],
)
def test_unit_of_a_module(module: str, unit: str | None, vendor: str | None) -> None:
    """The innermost unit counts, and each vendor is one."""
    assert unit == layers.unit_of(module)
    assert vendor == layers.vendor_of(module)


def test_layers_count_from_the_lowest() -> None:
    """Vendors are above what they share and below the registry that names them."""
    modules = ["service.sources.base", "service.sources.zoom.events", "service.sources"]
    depths = [layers.layer_of(module) or 0 for module in modules]
    assert sorted(set(depths)) == depths
    assert layers.layer_of("service.storeroom") is None


@pytest.mark.parametrize(
    ("importer", "imported", "is_wrong"),
    [
        ("service/events.py", "service.store.calls", True),
        ("service/store/calls.py", "service.events", False),
        ("service/sources/__init__.py", "service.sources.zoom.source", False),
        ("service/sources/zoom/source.py", "service.sources", True),
        ("service/sources/common/ids.py", "service.sources.base", True),
        ("service/store/calls.py", "workers.calls.fold", True),
        ("workers/delivery/plan.py", "workers.jobs.planner", True),
        ("workers/matching/match.py", "workers.outcomes.decide", False),
        ("workers/cli/run.py", "workers.local.run", False),
    ],
)
def test_import_against_the_layers(
    importer: str, imported: str, is_wrong: bool, tmp_path: Path
) -> None:
    """Imports go down or stay on their layer; the place is named by file and line."""
    tree = {importer: f"\nimport {imported}", f"{imported.replace('.', '/')}.py": ""}
    places = layers.imports_against_layers(graph_of(tree, tmp_path))
    assert [f"{importer}:2: imports {imported}"][: int(is_wrong)] == places


@pytest.mark.parametrize(
    ("importer", "imported", "is_wrong"),
    [
        ("workers/process/main.py", "service.receiver.server", True),
        ("workers/cli/run.py", "service.receiver.server", False),
        ("service/receiver/app.py", "service.receiver.server", False),
        ("workers/process/main.py", "workers.sandbox.app", True),
        ("workers/local/run.py", "workers.sandbox.app", False),
        ("workers/cli/run.py", "workers.sandbox.app", False),
        ("workers/sandbox/app.py", "workers.local.run", True),
        ("workers/subscriptions/api.py", "workers.buildr.client", True),
        ("workers/delivery/send.py", "workers.buildr.client", False),
        ("service/store/calls.py", "workers.calls.fold", True),
    ],
)
def test_import_of_a_restricted_unit(
    importer: str, imported: str, is_wrong: bool, tmp_path: Path
) -> None:
    """A restricted unit is imported by itself and its importers; some pairs never meet."""
    tree = {importer: f"import {imported}", f"{imported.replace('.', '/')}.py": ""}
    places = layers.imports_of_restricted_units(graph_of(tree, tmp_path))
    assert [f"{importer}:1: imports {imported}"][: int(is_wrong)] == places


@pytest.mark.parametrize(
    ("importer", "imported", "is_wrong"),
    [
        ("zoom", "twilio", True),
        ("signalwire", "twilio", False),
        ("twilio", "signalwire", True),
        ("zoom", "zoom", False),
        ("zoom", "common", False),
    ],
)
def test_import_between_vendors(
    importer: str, imported: str, is_wrong: bool, tmp_path: Path
) -> None:
    """Only a dialect may use its parent."""
    tree = {
        f"service/sources/{importer}/source.py": f"import service.sources.{imported}.events",
        f"service/sources/{imported}/events.py": "",
    }
    assert is_wrong == bool(layers.imports_between_vendors(graph_of(tree, tmp_path)))


@pytest.mark.parametrize(
    ("path", "text", "is_wrong"),
    [
        ("service/events.py", "from starlette.requests import Request", True),
        ("service/receiver/app.py", "from starlette.requests import Request", False),
        ("service/store/calls.py", "import redis.asyncio", False),
        ("workers/jobs/deliver.py", "import redis.asyncio", True),
        ("workers/jobs/deliver.py", "from redis.exceptions import RedisError", False),
        ("workers/calls/fold.py", "from redis.exceptions import RedisError", True),
        ("workers/http_client.py", "import httpx", False),
        ("workers/jobs/deliver.py", "import httpx", True),
        ("workers/jobs/deliver.py", "import redistribution", False),
    ],
)
def test_library_out_of_place(path: str, text: str, is_wrong: bool, tmp_path: Path) -> None:
    """A library is imported at home; of Redis the errors may be known more widely."""
    assert is_wrong == bool(layers.libraries_out_of_place(graph_of({path: text}, tmp_path)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("store.redis.get(key)", 1),
        ("self.store.keys.named('maps')", 1),
        ("keys.named('maps')", 1),
        ("name = store.keys.queue", 1),
        ("mapping.keys()", 0),
        ("source.keys(request)", 0),
        ("keys.message_key", 0),
        ("settings.named('twilio')", 0),
        ("settings.redis_url", 0),
    ],
)
def test_redis_out_of_place(text: str, count: int) -> None:
    """Keys and commands are found outside the store, and in it allowed."""
    assert count == len(layers.redis_out_of_place(parse(text, "workers/jobs/deliver.py")))
    assert [] == layers.redis_out_of_place(parse(text, "service/store/calls.py"))


def test_module_without_a_layer(tmp_path: Path) -> None:
    """A file in a unit that nobody wrote down is found, unless it is empty."""
    graph = graph_of({"service/__init__.py": "", "service/storeroom.py": "a = 1"}, tmp_path)
    assert ["service.storeroom"] == layers.modules_without_layer(graph, ["service"])


def test_test_that_imports_a_test(tmp_path: Path) -> None:
    """A helper may be imported by tests, a test module by nobody."""
    tree = {
        "tests/test_calls.py": "from tests.helpers import call",
        "tests/helpers.py": "",
        "tests/conftest.py": "from tests.test_calls import call",
    }
    places = layers.imported_test_modules(graph_of(tree, tmp_path))
    assert ["tests/conftest.py:1: imports tests.test_calls.call"] == places
