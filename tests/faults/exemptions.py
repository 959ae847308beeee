"""
Messages that a fault takes from their senders whatever the service does, each kind with its reason.
"""

from typing import TYPE_CHECKING, Final

from tests.faults.http_client import Ending
from tests.faults.scenario import Exemption

if TYPE_CHECKING:
    from tests.faults.stage import Stage
    from tests.faults.traffic import SentMessage

# From the signal to the moment at which the kernel has reset the connections.
RESET_WITHIN_S: Final = 1.0


def _was_in_hands(message: "SentMessage", stage: "Stage") -> bool:
    last = message.attempts[-1]
    return last.ending is Ending.BROKEN and any(
        last.began_at <= blow + RESET_WITHIN_S and last.ended_at >= blow - RESET_WITHIN_S
        for blow in stage.blows
    )


def _was_while_down(message: "SentMessage", stage: "Stage") -> bool:
    last = message.attempts[-1]
    is_within = stage.blows and stage.blows[0] <= last.ended_at <= stage.fault_ended_at + 1
    return bool(is_within) and last.ending in (Ending.NOT_CONNECTED, Ending.BROKEN)


def _was_refused_with_503(message: "SentMessage", stage: "Stage") -> bool:
    del stage
    return message.attempts[-1].ending is Ending.REFUSED_5XX


IN_HANDS: Final = Exemption(
    reason=(
        "requests that were in the killed process's hands, unanswered: their connections are reset"
    ),
    covers=_was_in_hands,
)
WHILE_DOWN: Final = Exemption(
    reason="requests while the only receiver was dead and nobody held its socket",
    covers=_was_while_down,
)
NO_ROOM: Final = Exemption(
    reason="refused with 503 and Retry-After, since neither Redis nor the spool had room",
    covers=_was_refused_with_503,
)
