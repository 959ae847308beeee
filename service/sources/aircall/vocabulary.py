"""
Aircall's names of events, directions and reasons, and ours for them.

Events: https://developer.aircall.io/api-references/#call-events. Reasons:
https://developer.aircall.io/api-references/#call.
"""

from collections.abc import Mapping
from typing import Final

from service.events import Direction, EventType, HangupCause

CALL_PREFIX: Final = "call."
CREATED: Final = "call.created"
ENDED: Final = "call.ended"
# What Aircall's AI writes about a call; its data is the summary, not the call.
SUMMARY: Final = "summary.created"
# Aircall's AI voice agent talks to the caller; the data is what it did, not the call.
AI_AGENT_ENDED: Final = "ai_voice_agent.ended"
AI_AGENT_EVENTS: Final = frozenset(
    {"ai_voice_agent.started", "ai_voice_agent.escalated", AI_AGENT_ENDED}
)
# `call_end_reason` of the end of its part in the call.
AI_AGENT_END_REASONS: Final = frozenset({"answered", "escalated", "disconnected", "caller_hung_up"})
# `event` of a message about a call.
EVENT_TYPES: Final[Mapping[str, EventType]] = {
    CREATED: EventType.CREATED,
    "call.ringing_on_agent": EventType.RINGING,
    # One agent of perhaps several; the call goes on.
    "call.agent_declined": EventType.UPDATED,
    "call.answered": EventType.ANSWERED,
    "call.transferred": EventType.UPDATED,
    "call.external_transferred": EventType.UPDATED,
    "call.unsuccessful_transfer": EventType.UPDATED,
    "call.hold": EventType.UPDATED,
    "call.unhold": EventType.UPDATED,
    "call.ivr_option_selected": EventType.UPDATED,
    # About half a minute before `call.ended`, when voicemail and reasons may still be missing:
    # never an end.
    "call.hungup": EventType.UPDATED,
    ENDED: EventType.ENDED,
    "call.voicemail_left": EventType.VOICEMAIL,
    "call.comm_assets_generated": EventType.UPDATED,
    "call.tagged": EventType.UPDATED,
    "call.untagged": EventType.UPDATED,
    "call.commented": EventType.UPDATED,
    "call.assigned": EventType.UPDATED,
    "call.archived": EventType.UPDATED,
}
# The field that holds when an event of this type happened; for all others it is the time of the
# message.
TIME_FIELDS: Final[Mapping[EventType, str]] = {
    EventType.CREATED: "started_at",
    EventType.ANSWERED: "answered_at",
}
# An agent passed the call on, to a colleague or to a number outside.
TRANSFERS: Final = frozenset({"call.transferred", "call.external_transferred"})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `missed_call_reason` of an inbound call.
MISSED_CALL_REASONS: Final[Mapping[str, HangupCause]] = {
    "agents_did_not_answer": HangupCause.NO_ANSWER,
    "no_available_agent": HangupCause.NO_ANSWER,
    "out_of_opening_hours": HangupCause.NO_ANSWER,
    "short_abandoned": HangupCause.CANCELLED,
    "abandoned_in_ivr": HangupCause.CANCELLED,
    "abandoned_in_classic": HangupCause.CANCELLED,
}
