"""
Dialpad's states of a call and kinds of targets, and ours for them.

States: https://developers.dialpad.com/docs/call-events, all of them:
https://developers.dialpad.com/reference/webhook_call_event_subscriptioncreate.
"""

from collections.abc import Mapping
from typing import Final

from service.events import Direction, EventType

CONNECTED: Final = "connected"
HANGUP: Final = "hangup"
MISSED: Final = "missed"
BLOCKED: Final = "blocked"
VOICEMAIL_UPLOADED: Final = "voicemail_uploaded"
# A state, and the field that holds the summary in a message of that state.
SUMMARY: Final = "recap_summary"
# `state` of a leg.
EVENT_TYPES: Final[Mapping[str, EventType]] = {
    "calling": EventType.CREATED,
    "preanswer": EventType.RINGING,
    "ringing": EventType.RINGING,
    "queued": EventType.RINGING,
    CONNECTED: EventType.ANSWERED,
    "hold": EventType.UPDATED,
    "merged": EventType.UPDATED,
    "parked": EventType.UPDATED,
    HANGUP: EventType.ENDED,
    MISSED: EventType.ENDED,
    BLOCKED: EventType.ENDED,
    # The caller was sent to voicemail and may still hang up without leaving a message.
    "voicemail": EventType.UPDATED,
    VOICEMAIL_UPLOADED: EventType.VOICEMAIL,
    "transcription": EventType.UPDATED,
    "recording": EventType.RECORDING,
    "admin_recording": EventType.RECORDING,
    "dispositions": EventType.UPDATED,
    "postcall": EventType.UPDATED,
    SUMMARY: EventType.UPDATED,
}
# Supervisors, surveys, and what Dialpad's AI makes of the talk besides a summary; `all` and `admin`
# are values of a subscription only.
IGNORED: Final = frozenset(
    {
        "admin",
        "ai_playbook",
        "all",
        "barge",
        "call_transcription",
        "csat",
        "eavesdrop",
        "monitor",
        "pcsat",
        "recap_action_items",
        "recap_outcome",
        "recap_purposes",
        "takeover",
    }
)
# States in which the message holds what the agent chose and wrote after the call.
WRAP_UP_STATES: Final = frozenset({"dispositions", "postcall"})
# States in which the message of an agent's leg may show that the caller has left the call.
CALLER_LEAVES_STATES: Final = frozenset({HANGUP, VOICEMAIL_UPLOADED})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `target.type` of a main line, whose menu passes callers on to others.
OFFICE: Final = "office"
# `target.type`: True for a person's telephone, False for a group in which a caller may wait.
TARGET_TYPES: Final[Mapping[str, bool]] = {
    "user": True,
    "room": True,
    "callcenter": False,
    "callrouter": False,
    "channel": False,
    "coachinggroup": False,
    "coachingteam": False,
    "department": False,
    OFFICE: False,
    "staffgroup": False,
}
# The field that holds when an event of this type happened; for all others it is `event_timestamp`.
TIME_FIELDS: Final[Mapping[EventType, str]] = {
    EventType.CREATED: "date_started",
    EventType.ANSWERED: "date_connected",
}
