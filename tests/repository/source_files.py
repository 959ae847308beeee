"""
Python files as the checks of this folder read them: text, syntax tree and comments. Nothing is run.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

ROOT: Final = Path(__file__).parents[2]
PRODUCTION: Final = ("service", "workers")
TESTS: Final = ("tests",)

_END: Final = 1_000_000  # behind the last column of any line

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment: its line, counted from 1, and its text from the `#` on."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """
    One Python file; `path` is relative to the repository.

    `nodes` are all nodes of the syntax tree by their type. `owners` are those inside a function,
    with the innermost function that they belong to.
    """

    path: Path
    lines: tuple[str, ...]
    tree: ast.Module
    nodes: Mapping[type[ast.AST], list[ast.AST]]
    owners: Mapping[ast.AST, Function]
    comments: tuple[Comment, ...]

    @property
    def is_test(self) -> bool:
        """Whether the file lies below `tests/`."""
        return self.path.parts[0] in TESTS

    def all(self, *types: type[Node]) -> Iterator[Node]:
        """All nodes of exactly these types."""
        for node_type in types:
            for node in self.nodes.get(node_type, ()):
                assert isinstance(node, node_type)
                yield node


def parse(text: str, path: str | Path = "service/example.py") -> SourceFile:
    """A file of this text at this path. Raises `SyntaxError` if the text is no Python."""
    tree = ast.parse(text)
    lines = tuple(text.splitlines())
    nodes: dict[type[ast.AST], list[ast.AST]] = defaultdict(list)
    owners: dict[ast.AST, Function] = {}
    for node, owner in _walk(tree):
        nodes[type(node)].append(node)
        if owner is not None:
            owners[node] = owner
    file = SourceFile(Path(path), lines, tree, nodes, owners, comments=())
    return replace(file, comments=tuple(_comments(file)))


def _walk(tree: ast.Module) -> Iterator[tuple[ast.AST, Function | None]]:
    """All nodes, each with the innermost function around it; a class inside one has none."""
    waiting: list[tuple[ast.AST, Function | None]] = [(tree, None)]
    while waiting:
        node, owner = waiting.pop()
        yield node, owner
        if isinstance(node, ast.Name | ast.Constant):
            continue  # most nodes are these two, and neither has a node inside that is read
        if isinstance(node, Function):
            owner = node
        elif isinstance(node, ast.ClassDef):
            owner = None
        waiting.extend((child, owner) for child in ast.iter_child_nodes(node))


def read(path: Path, root: Path = ROOT) -> SourceFile:
    """The file at `path`, which is relative to `root`."""
    return parse((root / path).read_text(encoding="utf-8"), path)


def python_paths(*tops: str, root: Path = ROOT) -> tuple[Path, ...]:
    """The Python files below these folders, or the files themselves; sorted, without `root`."""
    paths: set[Path] = set()
    for top in tops:
        place = root / top
        if place.is_dir():
            paths.update(place.rglob("*.py"))
        else:
            paths.add(place)
    return tuple(sorted(path.relative_to(root) for path in paths))


def functions(file: SourceFile) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    yield from file.all(ast.FunctionDef)
    yield from file.all(ast.AsyncFunctionDef)


def _comments(file: SourceFile) -> Iterator[Comment]:
    """
    The comments of a file, by the `#` that lie in no string.

    `tokenize` finds the same ones, but takes longer than everything else in these checks.
    """
    strings = _strings_by_line(file)
    for number, line in enumerate(file.lines, start=1):
        if "#" in line and (start := _comment_start(line, strings.get(number, []))) is not None:
            yield Comment(number, line[start:])


def _comment_start(line: str, strings: list[tuple[int, int]]) -> int | None:
    for column, character in enumerate(line):
        if character != "#":
            continue
        at_byte = len(line[:column].encode())  # the columns of a syntax tree count bytes
        if not any(start <= at_byte < end for start, end in strings):
            return column
    return None


def _strings_by_line(file: SourceFile) -> dict[int, list[tuple[int, int]]]:
    """For each line that holds a string or a part of one: from which column (in bytes) to which."""
    strings: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for node in (*file.all(ast.JoinedStr), *_string_constants(file)):
        first = node.lineno
        last = node.end_lineno or first
        for number in range(first, last + 1):
            strings[number].append((0, _END))
        strings[first][-1] = (node.col_offset, strings[first][-1][1])
        strings[last][-1] = (strings[last][-1][0], node.end_col_offset or _END)
    return strings


def _string_constants(file: SourceFile) -> Iterator[ast.Constant]:
    for node in file.all(ast.Constant):
        if isinstance(node.value, str | bytes):
            yield node
