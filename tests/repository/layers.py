"""
The layers of this repository, and the rules of import between them, as data.

A layer is a list of units, and a unit is a package or a module. A module imports from its own layer
and from those before it, and the units of one layer never import one another in a circle.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tests.repository.import_graph import Import, ImportGraph, circles, is_within
from tests.repository.source_files import SourceFile

# `.*` is each package or module right below: `service.sources.*` are the vendors, as many units.
LAYERS: Final = (
    (
        "service.errors",
        "service.clock",
        "service.cancelling",
        "service.collector",
        "service.phone_numbers",
        "service.buildr_ids",
        "service.plain_values",
        "service.counts",
    ),
    ("service.events", "service.logs", "service.listed_numbers"),
    ("service.sources.request", "service.sources.settings"),
    ("service.sources.common",),
    ("service.sources.base",),
    ("service.sources.*",),
    ("service.sources",),
    ("service.webhook_urls",),
    ("service.settings",),
    ("service.error_reports", "service.sentry_client"),
    ("service.store",),
    ("service.spool",),
    ("service.receiver",),
    ("workers.clock", "workers.http_client", "workers.calls"),
    ("workers.matching", "workers.outcomes", "workers.buildr", "workers.subscriptions"),
    ("workers.delivery",),
    ("workers.jobs", "workers.maintenance", "workers.contacts", "workers.alerts"),
    ("workers.replay", "workers.backfill"),
    ("workers.process", "workers.console", "workers.dial", "workers.metrics"),
    ("workers.sandbox", "workers.simulator"),
    ("workers.local",),
    ("workers.cli",),
)
# Units that only these units may import; every unit may import itself.
IMPORTED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "service.receiver": ("workers.cli", "workers.console", "workers.dial", "workers.metrics"),
    "workers.console": ("workers.cli", "workers.dial"),
    "workers.dial": ("workers.cli",),
    "workers.metrics": ("workers.cli",),
    "workers.local": ("workers.cli",),
    "workers.sandbox": ("workers.cli", "workers.local"),
    "workers.simulator": ("workers.cli", "workers.local"),
}
# The first never imports the second, whatever the order of layers.
FORBIDDEN: Final = (
    ("service", "workers"),
    ("workers.subscriptions", "workers.buildr"),
    ("workers.calls", "service.store"),
    ("workers.sandbox", "workers.buildr"),
    ("workers.sandbox", "service.store"),
    ("workers.simulator", "service.store"),
)
# A source that speaks the dialect of another one, which it may import.
DIALECTS: Final[Mapping[str, str]] = {"signalwire": "twilio"}
# A library, or a part of one, and the only places that import it.
LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "arq": ("service/store/", "workers/process/"),
    "click": ("workers/cli/",),
    "httpx": (
        "workers/http_client.py",
        "workers/buildr/",
        "workers/subscriptions/",
        "workers/backfill/",
        "workers/local/",
        "workers/cli/",
    ),
    "redis": ("service/store/", "workers/local/embedded_redis.py"),
    "redis.exceptions": (
        "service/store/",
        "service/receiver/",
        "workers/subscriptions/",
        "workers/backfill/",
        "workers/jobs/",
        "workers/maintenance/",
        "workers/process/",
        "workers/local/",
        "workers/cli/",
    ),
    "rich": ("workers/local/", "workers/cli/"),
    "starlette": (
        "service/receiver/",
        "workers/console/",
        "workers/dial/",
        "workers/metrics/",
        "workers/sandbox/",
    ),
    "opentelemetry": ("workers/process/tracing.py",),
    "sentry_sdk": ("service/sentry_client.py",),
    "mcp": ("workers/cli/agent_server.py",),
    "prometheus_client": ("workers/metrics/",),
    "uvicorn": (
        "service/receiver/server.py",
        "service/receiver/receiver_server.py",
        "service/receiver/connection_table.py",
        "service/receiver/exchange.py",
        "service/receiver/protocol.py",
        "workers/sandbox/",
    ),
    "httptools": ("service/receiver/exchange.py", "service/receiver/protocol.py"),
}
# Only there are Redis keys built and Redis commands called.
STORE: Final = "service/store/"


def unit_of(module: str, layers: Iterable[Iterable[str]] = LAYERS) -> str | None:
    """The unit of a module: of several that it lies in, the innermost; None if there is none."""
    units = [unit for layer in layers for entry in layer for unit in _units_of_entry(entry, module)]
    return max(units, key=len, default=None)


def layer_of(module: str, layers: Iterable[Iterable[str]] = LAYERS) -> int | None:
    """The layer of a module, counted from the lowest, 0; None if it has none."""
    layers = list(layers)
    unit = unit_of(module, layers)
    if unit is None:
        return None
    names = {unit, f"{unit.rpartition('.')[0]}.*"}
    exact = [depth for depth, layer in enumerate(layers) if unit in layer]
    return (exact or [depth for depth, layer in enumerate(layers) if names & set(layer)])[0]


def _units_of_entry(entry: str, module: str) -> Iterator[str]:
    parent = entry.removesuffix(".*")
    if not is_within(module, parent):
        return
    if parent == entry:
        yield entry
    elif module != parent:
        child = module.removeprefix(f"{parent}.").partition(".")[0]
        yield f"{parent}.{child}"


def modules_without_layer(graph: ImportGraph, empty: Iterable[str] = ()) -> list[str]:
    """The modules that no layer names, but for those that are `empty`."""
    return sorted({module for module in graph.paths if layer_of(module) is None} - set(empty))


def imports_against_layers(graph: ImportGraph) -> list[str]:
    """Imports of a module on a higher layer."""
    return [graph.place(*arrow) for arrow in graph.arrows() if _is_upward(*arrow)]


def _is_upward(importer: str, imported: Import) -> bool:
    lower = layer_of(importer)
    upper = layer_of(imported.module or "")
    return lower is not None and upper is not None and upper > lower


def file_circles(graph: ImportGraph) -> list[list[str]]:
    """Modules that import one another, directly or through others."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for importer, imported in graph.arrows():
        arrows[importer].add(imported.module or "")
    return circles(arrows)


def unit_circles(graph: ImportGraph) -> list[list[str]]:
    """Units that import one another, directly or through others."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for importer, imported in graph.arrows():
        start = unit_of(importer)
        end = unit_of(imported.module or "")
        if start and end and start != end:
            arrows[start].add(end)
    return circles(arrows)


def imports_of_restricted_units(graph: ImportGraph) -> list[str]:
    """Imports of a restricted unit from outside, and those that are forbidden pair by pair."""
    return [
        graph.place(*arrow)
        for arrow in graph.arrows()
        if _is_of_restricted_unit(*arrow) or _is_forbidden(*arrow)
    ]


def _is_of_restricted_unit(importer: str, imported: Import) -> bool:
    for unit, importers in IMPORTED_BY.items():
        allowed = (unit, *importers)
        if is_within(imported.module or "", unit):
            return not any(is_within(importer, allowed_importer) for allowed_importer in allowed)
    return False


def _is_forbidden(importer: str, imported: Import) -> bool:
    return any(
        is_within(importer, start) and is_within(imported.module or "", end)
        for start, end in FORBIDDEN
    )


def imports_between_vendors(graph: ImportGraph) -> list[str]:
    """Imports of one vendor's folder by another's, but for a dialect."""
    places = []
    for importer, imported in graph.arrows():
        start = vendor_of(importer)
        end = vendor_of(imported.module or "")
        if start and end and end not in (start, DIALECTS.get(start)):
            places.append(graph.place(importer, imported))
    return places


def vendor_of(module: str) -> str | None:
    """The vendor in whose folder a module lies."""
    unit = unit_of(module)
    if unit is None or not is_within(unit, "service.sources") or _is_shared(unit):
        return None
    return unit.rpartition(".")[2]


def _is_shared(unit: str) -> bool:
    return any(unit in layer for layer in LAYERS)


def libraries_out_of_place(graph: ImportGraph) -> list[str]:
    """Imports of a library by a module that has no business with it."""
    places = []
    for importer, imports in graph.imports.items():
        for imported in imports:
            homes = _homes(imported.name)
            if homes is not None and not graph.paths[importer].as_posix().startswith(homes):
                places.append(graph.place(importer, imported))
    return places


def _homes(name: str) -> tuple[str, ...] | None:
    parts = [part for part in LIBRARIES if is_within(name, part)]
    if not parts:
        return None
    return LIBRARIES[max(parts, key=len)]


def redis_out_of_place(file: SourceFile) -> list[str]:
    """
    Places outside the store that build a Redis key or call Redis.

    Such are `….keys.<name>`, `keys.named(…)`, `….redis.<command>`.
    """
    if file.path.as_posix().startswith(STORE):
        return []
    return [
        f"{file.path}:{attribute.lineno}: {ast.unparse(attribute)}"
        for attribute in file.all(ast.Attribute)
        if _owner_name(attribute) in {"keys", "redis"} or _is_key_built(attribute)
    ]


def _owner_name(attribute: ast.Attribute) -> str | None:
    """The `b` of `a.b.c`; a bare `b.c` has none, since a local may have any name."""
    if isinstance(attribute.value, ast.Attribute):
        return attribute.value.attr
    return None


def _is_key_built(attribute: ast.Attribute) -> bool:
    return ast.unparse(attribute) == "keys.named"


def imported_test_modules(graph: ImportGraph) -> list[str]:
    """Imports of a test module by another module: what tests share lies elsewhere."""
    return [
        graph.place(importer, imported)
        for importer, imported in graph.arrows()
        if (imported.module or "").rpartition(".")[2].startswith("test_")
    ]
