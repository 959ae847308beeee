"""
The repository's figures of style, as a table and as places.

    python -m tests.repository.style                     the figures
    python -m tests.repository.style --list branches     where (a kind, or `all`)
    python -m tests.repository.style --list all service/store workers/main.py

Conditional expressions are counted per 1,000 physical lines, blank ones and docstrings included;
comments per line of code, without blank lines and docstrings.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.repository import density, wording
from tests.repository.findings import Finding, Kind
from tests.repository.source_files import PRODUCTION, TESTS, SourceFile, python_paths, read

CHECKS: Final[tuple[Callable[[SourceFile], Iterator[Finding]], ...]] = (
    density.conditionals,
    density.comprehensions,
    density.tuple_assignments,
    density.long_lines,
    density.contentless_names,
    density.branches,
    density.lengths,
    density.suppressions,
    wording.words,
)
# Kinds that may not occur at all; the others have a rate or a number.
FORBIDDEN: Final = (
    Kind.NESTED_CONDITIONAL,
    Kind.COMPREHENSION_FILTERS,
    Kind.FILTER_WALRUS,
    Kind.TUPLE_ASSIGNMENT,
    Kind.LONG_LINE,
    Kind.BRANCHES,
    Kind.LONG_FUNCTION,
    Kind.LONG_MODULE,
    Kind.WORD,
)
MAX_CONDITIONALS_PER_1000_LINES: Final = 10.0
MAX_CONTENTLESS_PER_1000_NAMES: Final = 4.0
MIN_COMMENTS_PER_LINE: Final = 0.05
MAX_NOQA: Final = 12


@dataclass(frozen=True, slots=True)
class FileStyle:
    """What was counted in one file and found in it; `names` is the number of names bound."""

    lines: int
    code_lines: int
    names: int
    comments: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """The sums over several files."""

    lines: int
    code_lines: int
    names: int
    comments: int
    counts: Counter[Kind]

    @property
    def conditionals_per_1000_lines(self) -> float:
        """Conditional expressions per 1,000 lines, 0 where there is no line."""
        return _rate(self.counts[Kind.CONDITIONAL], self.lines) * 1000

    @property
    def contentless_per_1000_names(self) -> float:
        """Contentless names per 1,000 names bound, parameters included."""
        return _rate(self.counts[Kind.CONTENTLESS_NAME], self.names) * 1000

    @property
    def comments_per_line(self) -> float:
        """Lines with a comment for readers per line of code."""
        return _rate(self.comments, self.code_lines)


def measure(file: SourceFile) -> FileStyle:
    """Run all checks over one file."""
    findings = [finding for check in CHECKS for finding in check(file)]
    return FileStyle(
        lines=len(file.lines),
        code_lines=density.code_lines(file),
        names=sum(1 for _ in density.assigned_names(file)),
        comments=density.comment_lines(file),
        findings=tuple(sorted(findings, key=lambda finding: (finding.kind, finding.line))),
    )


@cache
def style_of(path: Path) -> FileStyle:
    """The style of a file of this repository, read once."""
    return measure(read(path))


def add_up(styles: Iterable[FileStyle]) -> Figures:
    """The figures of several files together."""
    styles = list(styles)
    return Figures(
        lines=sum(style.lines for style in styles),
        code_lines=sum(style.code_lines for style in styles),
        names=sum(style.names for style in styles),
        comments=sum(style.comments for style in styles),
        counts=Counter(finding.kind for style in styles for finding in style.findings),
    )


def figures_of(paths: Iterable[Path]) -> Figures:
    """The figures of files of this repository."""
    return add_up(style_of(path) for path in paths)


def _rate(count: int, total: int) -> float:
    if total == 0:
        return 0.0
    return count / total


def _table(paths: Sequence[Path]) -> Iterator[str]:
    """The table, line by line: a column for each top folder and one for service and workers."""
    columns = {top: _below(paths, top) for top in (*PRODUCTION, *TESTS)}
    columns["both"] = _below(paths, *PRODUCTION)
    order = (*PRODUCTION, "both", *TESTS)
    figures = [figures_of(columns[name]) for name in order]
    yield _row("", [*order, "limit"])
    yield _row("files", [str(len(columns[name])) for name in order])
    for title, value, limit in _rows():
        yield _row(title, [*(value(figure) for figure in figures), limit])
    yield "* for service and workers"


def _rows() -> Iterator[tuple[str, Callable[[Figures], str], str]]:
    """The title of each row, its value and its limit."""
    yield "lines", lambda figures: f"{figures.lines:,}", ""
    yield "lines of code", lambda figures: f"{figures.code_lines:,}", ""
    yield (
        "conditionals per 1,000 lines",
        lambda figures: f"{figures.conditionals_per_1000_lines:.1f}",
        f"{MAX_CONDITIONALS_PER_1000_LINES:.0f}",
    )
    yield (
        "contentless per 1,000 names",
        lambda figures: f"{figures.contentless_per_1000_names:.1f}",
        f"{MAX_CONTENTLESS_PER_1000_NAMES:.0f}",
    )
    yield (
        "comments per line",
        lambda figures: f"{figures.comments_per_line:.3f}",
        f">= {MIN_COMMENTS_PER_LINE} *",
    )
    for kind in Kind:
        yield kind.value, _count_of(kind), _limit(kind)


def _count_of(kind: Kind) -> Callable[[Figures], str]:
    return lambda figures: str(figures.counts[kind])


def _limit(kind: Kind) -> str:
    if kind is Kind.NOQA:
        return f"{MAX_NOQA} in all"
    if kind in FORBIDDEN:
        return "0"
    return ""


def _row(title: str, cells: Sequence[str]) -> str:
    return f"{title:30}" + "".join(f"{cell:>11}" for cell in cells)


def _below(paths: Iterable[Path], *tops: str) -> list[Path]:
    return [path for path in paths if path.parts[0] in tops]


def _places(paths: Iterable[Path], kind: str) -> Iterator[str]:
    for path in paths:
        for finding in style_of(path).findings:
            if kind in (finding.kind, "all"):
                yield str(finding)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or with `--list` the places."""
    parser = argparse.ArgumentParser(prog="python -m tests.repository.style")
    parser.add_argument("paths", nargs="*", default=[*PRODUCTION, *TESTS])
    parser.add_argument("--list", dest="kind", choices=[*(kind.value for kind in Kind), "all"])
    options = parser.parse_args(arguments)
    paths = python_paths(*options.paths)
    lines = _table(paths)
    if options.kind is not None:
        lines = _places(paths, options.kind)
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
