"""
The values of Vonage's fields and what they mean:
https://developer.vonage.com/en/voice/voice-api/webhook-reference.
"""

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct

from service.events import AnsweredBy, Direction, EventType, HangupCause

# `record` in the URL, which the author of the NCCO sets: the recording is a caller's message.
RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"
# `vendor_status` of a transfer, which has no status.
TRANSFER: Final = "transfer"
COMPLETED: Final = "completed"
# `disconnected_by` of `completed`: the far end of the leg hung up. The other value, `platform`, may
# be the end of the NCCO, the API or another leg.
USER: Final = "user"


class StatusSpec(Struct, frozen=True):
    """
    What a status means for its leg; `sequence` is its place among the statuses of the leg.

    Every call that was not rejected gets a `completed` beside its failure, in either order.
    """

    event_type: EventType
    sequence: int
    cause: HangupCause | None = None
    answered_by: AnsweredBy | None = None


# `status`.
STATUSES: Final[Mapping[str, StatusSpec]] = {
    "started": StatusSpec(EventType.CREATED, 0),
    "ringing": StatusSpec(EventType.RINGING, 1),
    "answered": StatusSpec(EventType.ANSWERED, 2),
    "human": StatusSpec(EventType.ANSWERED_BY, 3, answered_by=AnsweredBy.HUMAN),
    "machine": StatusSpec(EventType.ANSWERED_BY, 3, answered_by=AnsweredBy.MACHINE),
    "busy": StatusSpec(EventType.ENDED, 4, HangupCause.BUSY),
    "timeout": StatusSpec(EventType.ENDED, 4, HangupCause.NO_ANSWER),
    "unanswered": StatusSpec(EventType.ENDED, 4, HangupCause.NO_ANSWER),
    "cancelled": StatusSpec(EventType.ENDED, 4, HangupCause.CANCELLED),
    # By Vonage or the carrier, before it reached anybody, unless `detail` tells that the callee
    # did.
    "rejected": StatusSpec(EventType.ENDED, 4, HangupCause.FAILED),
    "failed": StatusSpec(EventType.ENDED, 4, HangupCause.FAILED),
    # Its cause follows from how long the leg lasted; the last of all, so that talk is never taken
    # back.
    COMPLETED: StatusSpec(EventType.ENDED, 5),
}
# A WebSocket was closed; keys or words were taken in.
IGNORED_STATUSES: Final = frozenset({"disconnected", "input"})
# `detail` of a leg that nobody answered, more precise than its status.
DETAILS: Final[Mapping[str, HangupCause]] = {
    "unavailable": HangupCause.NO_ANSWER,
    "timeout": HangupCause.NO_ANSWER,
    "carrier_timeout": HangupCause.NO_ANSWER,
    "declined": HangupCause.REJECTED,
    "restricted": HangupCause.REJECTED,
    "invalid_number": HangupCause.INVALID_NUMBER,
    "number_out_of_service": HangupCause.INVALID_NUMBER,
    "cannot_route": HangupCause.FAILED,
    "internal_error": HangupCause.FAILED,
}
# `sub_state`: https://developer.vonage.com/en/voice/voice-api/concepts/advanced-machine-detection
SUB_STATES: Final = frozenset({"beep_start", "beep_timeout"})
# `direction`.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# The values of these fields beside the status; any other is reported as unknown.
KNOWN_VALUES: Final[Mapping[str, Collection[str]]] = {
    "direction": DIRECTIONS,
    "sub_state": SUB_STATES,
}
