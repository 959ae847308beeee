"""
pydantic's `TypeAdapter`, built at its first use: a process pays for the records that it reads, and
a command of the terminal reads few of them.
"""

from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import TypeAdapter

__all__ = ["LazyAdapter"]

T = TypeVar("T")

if TYPE_CHECKING:
    LazyAdapter = TypeAdapter
else:

    class LazyAdapter(Generic[T]):
        """In the place of `TypeAdapter(...)`, with the methods that are used here."""

        METHODS = ("validate_json", "validate_python", "dump_json", "dump_python")

        def __init__(self, described_type: type[T]) -> None:
            self._described_type = described_type

        def __getattr__(self, name: str) -> object:
            # Only while the instance has no such attribute: from then on its methods are found as
            # quickly as those of pydantic's own.
            adapter = TypeAdapter(self._described_type)
            for method in self.METHODS:
                setattr(self, method, getattr(adapter, method))
            return getattr(adapter, name)
