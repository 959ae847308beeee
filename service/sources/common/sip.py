"""
What SIP response codes mean for a call that was not set up.

https://www.rfc-editor.org/rfc/rfc3261#section-21; 607 is of RFC 8197, 608 of RFC 8688. Several
vendors send the code beside a cause of their own; which of the two counts is decided by each
source.
"""

from collections.abc import Mapping
from typing import Final

from service.events import HangupCause

# These are more precise than any vendor's own cause.
DECISIVE: Final[Mapping[str, HangupCause]] = {
    "486": HangupCause.BUSY,
    "600": HangupCause.BUSY,
    "403": HangupCause.REJECTED,
    "603": HangupCause.REJECTED,
    "607": HangupCause.REJECTED,
    "608": HangupCause.REJECTED,
    "404": HangupCause.INVALID_NUMBER,
    "410": HangupCause.INVALID_NUMBER,
    "484": HangupCause.INVALID_NUMBER,
    "604": HangupCause.INVALID_NUMBER,
}
# Nobody answered in time, or could be reached.
NOT_REACHED: Final = frozenset({"408", "480"})
INVALID_NUMBER: Final = frozenset(
    code for code, cause in DECISIVE.items() if cause is HangupCause.INVALID_NUMBER
)
