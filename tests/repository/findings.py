"""
What a check reports: a kind and a place.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.repository.source_files import SourceFile


class Kind(StrEnum):
    """What can be found in a file, named as `--list` takes it."""

    CONDITIONAL = "conditional"
    NESTED_CONDITIONAL = "nested-conditional"
    COMPREHENSION_FILTERS = "comprehension-filters"
    FILTER_WALRUS = "filter-walrus"
    TUPLE_ASSIGNMENT = "tuple-assignment"
    LONG_LINE = "long-line"
    CONTENTLESS_NAME = "contentless-name"
    BRANCHES = "branches"
    LONG_FUNCTION = "long-function"
    LONG_MODULE = "long-module"
    WORD = "word"
    NOQA = "noqa"
    TYPE_IGNORE = "type-ignore"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place; `line` counts from 1, `text` says what is there."""

    kind: Kind
    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.text}"


def finding(kind: Kind, file: SourceFile, line: int, *, text: str = "") -> Finding:
    """A finding in a file; without a `text` it shows the line itself."""
    return Finding(kind, file.path, line, text or file.lines[line - 1].strip())
