"""
What became of a genuine message: kept, spooled, or known already.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from service.logs.events import LogEvent


class Acceptance(IntEnum):
    """What became of a message; false for one that was kept before."""

    REPEATED = 0
    KEPT = 1
    SPOOLED = 2

    @property
    def log_event(self) -> LogEvent:
        """The name of its log line."""
        return _LOG_EVENTS[self]


_LOG_EVENTS: Final[Mapping[Acceptance, LogEvent]] = {
    Acceptance.KEPT: LogEvent.MESSAGE_ACCEPTED,
    Acceptance.REPEATED: LogEvent.MESSAGE_DUPLICATE,
    Acceptance.SPOOLED: LogEvent.MESSAGE_SPOOLED,
}
