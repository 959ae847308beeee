"""
The values of JustCall's fields and what they mean.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from service.events import Direction, EventType, HangupCause

# `type` of the request that tries a new URL.
PROBE: Final = "url.validation"


class EventSpec(Struct, frozen=True):
    """
    What an event of JustCall's reports: `direction` where it comes for calls of one direction only,
    `outcome` where its name says how the call ended.
    """

    event_type: EventType
    direction: Direction | None = None
    outcome: str | None = None


MISSED: Final = "missed"
VOICEMAIL: Final = "voicemail"
BLOCKED: Final = "blocked"
# `type`: https://developer.justcall.io/docs/call-events; the names are those of the API:
# https://developer.justcall.io/reference/webhook_list_v21
EVENTS: Final[Mapping[str, EventSpec]] = {
    "call.incoming": EventSpec(EventType.RINGING, Direction.INBOUND),
    "call.enters_queue": EventSpec(EventType.RINGING, Direction.INBOUND),
    "call.exits_queue": EventSpec(EventType.UPDATED, Direction.INBOUND),
    "call.answered": EventSpec(EventType.ANSWERED, Direction.INBOUND),
    "call.initiated": EventSpec(EventType.CREATED, Direction.OUTBOUND),
    "call.completed": EventSpec(EventType.ENDED),
    "call.missed": EventSpec(EventType.ENDED, Direction.INBOUND, MISSED),
    "call.voicemail": EventSpec(EventType.ENDED, Direction.INBOUND, VOICEMAIL),
    "call.updated": EventSpec(EventType.UPDATED),
    "call.ai_voice_agent": EventSpec(EventType.UPDATED),
    "jc.call_ai_generated": EventSpec(EventType.UPDATED),
    # The Sales Dialer only calls out.
    "sd.call_completed": EventSpec(EventType.ENDED, Direction.OUTBOUND),
    "sd.call_updated": EventSpec(EventType.UPDATED, Direction.OUTBOUND),
    "sd.call_ai_generated": EventSpec(EventType.UPDATED, Direction.OUTBOUND),
}
IGNORED: Final = frozenset(
    {
        "sms.sent_received",
        "sms.sent",
        "sms.received",
        "sms.status_updated",
        "whatsapp.message_sent",
        "whatsapp.message_received",
        "whatsapp.message_status_updated",
        "jc.contact_status_updated",
        "appointment.scheduled",
    }
)
# `call_info.type` as `outcome_name` returns it:
# https://developer.justcall.io/reference/call_list_v21, and of the Sales Dialer `call_type` in
# https://github.com/saaslabsco/justcall-mcp-server/blob/main/src/dto/sales-dialer-calls.ts
MACHINE_ANSWERED: Final = "machine_answered"
OUTCOMES: Final[Mapping[str, HangupCause]] = {
    "answered": HangupCause.COMPLETED,
    "human_answered": HangupCause.COMPLETED,
    MACHINE_ANSWERED: HangupCause.COMPLETED,
    "unanswered": HangupCause.NO_ANSWER,
    MISSED: HangupCause.NO_ANSWER,
    # A caller's message; of an outbound call, one that a rep dropped.
    VOICEMAIL: HangupCause.NO_ANSWER,
    "abandoned": HangupCause.CANCELLED,
    "busy": HangupCause.BUSY,
    "failed": HangupCause.FAILED,
    "restricted": HangupCause.FAILED,
    BLOCKED: HangupCause.REJECTED,
    "cancelled": HangupCause.CANCELLED,
}
# `call_info.call_answered_by` of the Sales Dialer: what picked up. Its other values are not known.
MACHINE: Final = "machine"
# `call_info.call_traits`: an agent passed the call on; it was forwarded to another number.
TRANSFER: Final = "TRANSFER"
FORWARD: Final = "FORWARD"
# `call_info.direction`, in any case.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "incoming": Direction.INBOUND,
    "outgoing": Direction.OUTBOUND,
}


def outcome_name(value: str | None) -> str:
    """
    A `call_info.type` as it is in `OUTCOMES`: some messages write `Answered` where others write
    `OUTGOING_ANSWERED_CALL`, with blanks for the underscores. Empty for None.
    """
    name = (value or "").lower().replace(" ", "_")
    name = name.removeprefix("outgoing_").removeprefix("incoming_")
    return name.removesuffix("_call")
