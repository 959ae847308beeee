"""
Time in a test's hands: what the scripts in Redis and the workers take for the present.
"""

from dataclasses import dataclass


@dataclass
class Skew:
    """Milliseconds to add to the clock of Redis."""

    ms: int = 0

    def __call__(self) -> int:
        """The skew now."""
        return self.ms
