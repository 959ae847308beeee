"""
Quick dataclasses are as frozen, and as strict, as those of the standard library.
"""

import dataclasses
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest

from service.quick_dataclass import quick, replace
from service.sources.base import RetryPolicy


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One field of each kind."""

    name: str
    note: str | None = None
    values: dict[str, int] = field(default_factory=dict)


def test_fields_have_their_values_and_defaults() -> None:
    """A factory makes a new value each time; one that is given counts."""
    first = Sample(name="a")
    second = Sample(name="b", note="c", values={"d": 1})
    assert ("a", None, {}) == (first.name, first.note, first.values)
    assert ("b", "c", {"d": 1}) == (second.name, second.note, second.values)
    assert first.values is not Sample(name="a").values


def test_copy_has_the_changes_and_all_else() -> None:
    """The original stays as it was."""
    sample = Sample(name="a", values={"d": 1})
    copy = replace(sample, note="c")
    assert copy == dataclasses.replace(sample, note="c")
    assert (None, Sample) == (sample.note, type(copy))


def test_object_is_frozen() -> None:
    """One that was made as well as a copy."""
    samples: list[Any] = [Sample(name="a"), replace(Sample(name="a"), note="b")]
    for sample in samples:
        with pytest.raises(FrozenInstanceError):
            sample.name = "c"


def test_unknown_and_missing_fields_are_refused() -> None:
    """And classes that are not quick, and values without the name of their field."""
    untyped: Any = Sample
    with pytest.raises(TypeError):
        untyped()
    with pytest.raises(TypeError):
        untyped("a")
    with pytest.raises(TypeError):
        untyped(name="a", other=1)
    other: dict[str, Any] = {"other": 1}
    with pytest.raises(TypeError, match="no field other"):
        replace(Sample(name="a"), **other)
    with pytest.raises(TypeError, match="not a quick dataclass"):
        replace(RetryPolicy(response_timeout_s=1), response_timeout_s=2)
