"""
When the time of an answered challenge is written to Redis: rarely, since anybody may send one that
is not signed.
"""

import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct, field

NOTE_S: Final = 60.0


class HandshakeNotes(Struct):
    """The challenges that a process has noted; `monotonic_s` is its clock."""

    monotonic_s: Callable[[], float] = time.monotonic
    _noted_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_due(self, account: str, slug: str) -> bool:
        """Whether to note a challenge of a source now: at most once a minute."""
        now_s = self.monotonic_s()
        noted_at = self._noted_at.get((account, slug))
        if noted_at is not None and now_s - noted_at < NOTE_S:
            return False
        self._noted_at[account, slug] = now_s
        return True
