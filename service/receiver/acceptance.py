"""
What became of a genuine message: kept, spooled, or known already.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from service.errors import QueueUnavailable
from service.logs.events import LogEvent
from service.store.accept_scripts import AcceptResult

# Seconds after which a sender tries again while too many messages wait for workers.
FULL_RETRY_AFTER_S: Final = 30


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
# To ask the class takes longer than this.
_OF_RESULTS: Final[Mapping[AcceptResult, Acceptance]] = {
    AcceptResult.KEPT: Acceptance.KEPT,
    AcceptResult.REPEATED: Acceptance.REPEATED,
}


def acceptance_of(result: AcceptResult) -> Acceptance:
    """What the answer of Redis means. Raises `QueueUnavailable` if it did not keep the message."""
    if result is AcceptResult.FULL:
        raise QueueUnavailable(
            "too many messages wait to be read", retry_after_s=FULL_RETRY_AFTER_S
        )
    return _OF_RESULTS[result]
