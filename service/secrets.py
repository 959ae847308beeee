"""
The secrets of one source, as its module gets them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one source, newest first; `named` holds those that the sender picks by an id of its own."""

    values: tuple[str, ...] = field(default=(), repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.values or self.named)
