"""
How dense a line, a name and a function may be, and in which words: held for every file.
"""

from pathlib import Path

import pytest

from tests.repository import style
from tests.repository.findings import Kind
from tests.repository.source_files import PRODUCTION, TESTS, python_paths

PATHS = {"production": python_paths(*PRODUCTION), "tests": python_paths(*TESTS)}
ALL_PATHS = (*PATHS["production"], *PATHS["tests"])


@pytest.mark.parametrize("path", ALL_PATHS, ids=str)
def test_file_keeps_the_style(path: Path) -> None:
    """Nothing that is forbidden altogether: see `style.FORBIDDEN`."""
    findings = style.style_of(path).findings
    assert [] == [str(finding) for finding in findings if finding.kind in style.FORBIDDEN]


@pytest.mark.parametrize("part", PATHS)
def test_conditional_expressions_are_few(part: str) -> None:
    """At most 10 per 1,000 lines: statements and named functions read better."""
    rate = style.figures_of(PATHS[part]).conditionals_per_1000_lines
    assert rate <= style.MAX_CONDITIONALS_PER_1000_LINES


@pytest.mark.parametrize("part", PATHS)
def test_names_have_content(part: str) -> None:
    """At most 4 of 1,000 locals and parameters are named as if they could hold anything."""
    rate = style.figures_of(PATHS[part]).contentless_per_1000_names
    assert rate <= style.MAX_CONTENTLESS_PER_1000_NAMES


def test_comments_say_why() -> None:
    """One line of code in 36 or more has a comment, outside tests; one in twenty is the aim."""
    assert style.MIN_COMMENTS_PER_LINE <= style.figures_of(PATHS["production"]).comments_per_line


def test_ruff_is_seldom_silenced() -> None:
    """At most 12 times in the whole repository."""
    assert style.figures_of(ALL_PATHS).counts[Kind.NOQA] <= style.MAX_NOQA
