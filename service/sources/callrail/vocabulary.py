"""
The values of CallRail's fields and what they mean.

Kinds of message: https://support.callrail.com/hc/en-us/articles/5711246459149-Webhooks. Fields:
https://apidocs.callrail.com/#calls.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from service.events import Direction

PRE_CALL: Final = "pre-call"
POST_CALL: Final = "post-call"
MODIFIED: Final = "modified"


class MessageKind(Struct, frozen=True):
    """
    What a message of a kind reports: whether the call is over, and its place among the messages of
    the call.
    """

    is_over: bool
    sequence: int


# `kind` in the URL that is entered at CallRail.
KINDS: Final[Mapping[str, MessageKind]] = {
    PRE_CALL: MessageKind(is_over=False, sequence=0),
    "routing-complete": MessageKind(is_over=False, sequence=1),
    POST_CALL: MessageKind(is_over=True, sequence=2),
    MODIFIED: MessageKind(is_over=True, sequence=3),
}
# `type`, which messages of inbound calls lack.
TYPES: Final[Mapping[str, str]] = {"outboundpostcall": POST_CALL}
# `direction`.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `call_type`; it only counts where the flags do not tell enough, since CallRail does not publish
# all its values.
ABANDONED: Final = frozenset({"abandoned", "(abandoned)"})
MISSED: Final = "missed"
# `answered` and `voicemail` of a form.
FLAGS: Final[Mapping[str, bool]] = {"true": True, "false": False}
# `resource_id` of a call; others are of text messages and forms.
CALL_ID_PREFIX: Final = "CAL"
