"""
Who may import whom, read from the source; the order itself is in `layers.py`.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.repository import layers
from tests.repository.import_graph import ImportGraph, is_within, module_name, read_graph
from tests.repository.source_files import PRODUCTION, TESTS, SourceFile, python_paths, read

PATHS = python_paths(*PRODUCTION)


@cache
def production() -> tuple[SourceFile, ...]:
    """The files of service and workers."""
    return tuple(map(read, PATHS))


@cache
def graph() -> ImportGraph:
    """The imports of service and workers."""
    return read_graph(production())


def test_every_module_has_a_layer() -> None:
    """A new unit is written into the order of layers; files without a line need none."""
    empty = [module_name(file.path) for file in production() if not file.tree.body]
    assert [] == layers.modules_without_layer(graph(), empty)


def test_every_unit_exists() -> None:
    """The order names no unit or vendor that is gone."""
    units = {unit.removesuffix(".*") for layer in layers.LAYERS for unit in layer}
    units.update(layers.IMPORTED_BY, *layers.IMPORTED_BY.values(), *layers.FORBIDDEN)
    modules = set(graph().paths)
    assert set() == {unit for unit in units if not any(is_within(name, unit) for name in modules)}
    vendors = {layers.vendor_of(module) for module in modules}
    assert set() == {*layers.DIALECTS, *layers.DIALECTS.values()} - vendors


def test_every_home_of_a_library_exists() -> None:
    """The places that may import a library are there, and one of them does."""
    paths = [path.as_posix() for path in PATHS]
    homes = {home for places in layers.LIBRARIES.values() for home in places}
    assert set() == {home for home in homes if not any(path.startswith(home) for path in paths)}
    imported = {entry.name for entries in graph().imports.values() for entry in entries}
    libraries = layers.LIBRARIES
    unused = [name for name in libraries if not any(is_within(entry, name) for entry in imported)]
    assert [] == unused


def test_imports_go_one_way() -> None:
    """No module imports one from a higher layer."""
    assert [] == layers.imports_against_layers(graph())


def test_no_files_import_one_another() -> None:
    """There is no circle of files, lazy imports and those for types included."""
    assert [] == layers.file_circles(graph())


def test_no_units_import_one_another() -> None:
    """There is no circle of units, not even on one layer."""
    assert [] == layers.unit_circles(graph())


def test_restricted_units_are_imported_by_few_only() -> None:
    """What runs on a developer's machine, and the receiver, are no part of a worker."""
    assert [] == layers.imports_of_restricted_units(graph())


def test_vendors_are_apart() -> None:
    """No vendor's folder imports another's, but for a dialect of it."""
    assert [] == layers.imports_between_vendors(graph())


def test_libraries_stay_in_their_units() -> None:
    """HTTP, arq, Redis and the terminal are each known in few places."""
    assert [] == layers.libraries_out_of_place(graph())


def test_redis_is_called_by_the_store_only() -> None:
    """Outside the store Redis is an error to catch; keys are built and commands sent in it."""
    assert [] == [place for file in production() for place in layers.redis_out_of_place(file)]


def test_no_test_module_is_imported() -> None:
    """What tests share lies in doubles, helpers and conftest."""
    tests = read_graph(map(read, python_paths(*TESTS)))
    assert [] == layers.imported_test_modules(tests)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_module_says_what_it_is_for(path: Path) -> None:
    """Every module that holds anything opens with a docstring."""
    tree = read(path).tree
    assert not tree.body or ast.get_docstring(tree)
