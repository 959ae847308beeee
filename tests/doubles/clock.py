"""
Time in a test's hands: what the scripts in Redis and the workers take for the present.
"""

import time
from dataclasses import dataclass


@dataclass
class Skew:
    """Milliseconds to add to the clock of Redis."""

    ms: int = 0
    stopped_at: float | None = None

    def stop(self) -> None:
        """From now on the clock moves only when `ms` changes, whatever time passes."""
        self.stopped_at = time.monotonic()

    def __call__(self) -> int:
        """The skew now."""
        if self.stopped_at is None:
            return self.ms
        return self.ms - int((time.monotonic() - self.stopped_at) * 1000)
