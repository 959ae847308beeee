"""
Who imports whom, read from the source: lazy imports and those under `TYPE_CHECKING` count too.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from tests.repository.source_files import SourceFile


@dataclass(frozen=True, slots=True)
class Import:
    """
    One imported name, `service.events.CallEvent`, and the line that imports it.

    `module` is the project's module that it comes from, None if it is from somewhere else.
    """

    name: str
    line: int
    module: str | None


@dataclass(frozen=True, slots=True)
class ImportGraph:
    """The modules of a tree with their imports; `paths` are relative to the tree."""

    paths: Mapping[str, Path]
    imports: Mapping[str, tuple[Import, ...]]

    def arrows(self) -> Iterator[tuple[str, Import]]:
        """Every import of one module of the project by another."""
        for importer, imports in self.imports.items():
            for imported in imports:
                if imported.module is not None and imported.module != importer:
                    yield importer, imported

    def place(self, importer: str, imported: Import) -> str:
        """Where an import is written, for a message."""
        return f"{self.paths[importer]}:{imported.line}: imports {imported.name}"


def read_graph(files: Iterable[SourceFile]) -> ImportGraph:
    """The graph of these files."""
    by_name = {module_name(file.path): file for file in files}
    paths = {name: file.path for name, file in by_name.items()}
    imports = {name: tuple(_imports(file, paths)) for name, file in by_name.items()}
    return ImportGraph(paths, imports)


def module_name(path: Path) -> str:
    """The dotted name of a module; a package's own file has the name of the package."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def is_within(module: str, prefix: str) -> bool:
    """Whether a module is the package or module `prefix`, or lies in it."""
    return module == prefix or module.startswith(f"{prefix}.")


def circles(arrows: Mapping[str, AbstractSet[str]]) -> list[list[str]]:
    """The groups of two or more that reach one another, each sorted."""
    all_reached = {start: reached(start, arrows) for start in arrows}
    groups = {
        tuple(sorted(end for end in ends if start in all_reached.get(end, ())))
        for start, ends in all_reached.items()
    }
    return sorted(list(group) for group in groups if group)


def reached(start: str, arrows: Mapping[str, AbstractSet[str]]) -> set[str]:
    """Whatever an arrow or several lead to; `start` itself only if it lies on a circle."""
    ends: set[str] = set()
    waiting = [start]
    while waiting:
        for end in arrows.get(waiting.pop(), ()):
            if end not in ends:
                ends.add(end)
                waiting.append(end)
    return ends


def _imports(file: SourceFile, modules: Mapping[str, Path]) -> Iterator[Import]:
    for statement in file.all(ast.Import):
        for alias in statement.names:
            yield _import(alias.name, statement.lineno, modules)
    for source in file.all(ast.ImportFrom):
        package = _package(file.path, source)
        for alias in source.names:
            yield _import(f"{package}.{alias.name}", source.lineno, modules)


def _import(name: str, line: int, modules: Mapping[str, Path]) -> Import:
    """The import of a name, which is a module or something that a module defines."""
    module = name
    while module and module not in modules:
        module = module.rpartition(".")[0]
    return Import(name, line, module or None)


def _package(path: Path, statement: ast.ImportFrom) -> str:
    """What a `from` names, absolute also where it is written with dots."""
    if statement.level == 0:
        return statement.module or ""
    parent = ".".join(path.parts[: len(path.parts) - statement.level])
    return ".".join(filter(None, (parent, statement.module)))
