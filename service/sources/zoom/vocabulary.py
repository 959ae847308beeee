"""
Zoom Phone's events, kinds of endpoints and results, and ours for them.

Values: https://developers.zoom.us/docs/api/phone/events/.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Final

from msgspec import Struct

from service.events import EventType, HangupCause


class Side(StrEnum):
    """
    The side of a call that a message is about: Zoom reports to each of its users their own end, so
    that this side is always ours.
    """

    CALLER = "caller"
    CALLEE = "callee"


class EndpointKind(Enum):
    """
    What is at one end of a call: the telephone of one of our users, of several who share a line,
    the exchange that picks up by itself, or somebody outside.
    """

    PERSON = auto()
    GROUP = auto()
    ROUTER = auto()
    OUTSIDE = auto()


class NonHangupOutcome(Enum):
    """
    Outcomes that are no hangup cause: a voicemail box, a colleague who took the call, a step on its
    way, and one that does not say how it ended.
    """

    VOICEMAIL = auto()
    ELSEWHERE = auto()
    STEP = auto()
    UNSTATED = auto()


Outcome = HangupCause | NonHangupOutcome


class LiveEventSpec(Struct, frozen=True):
    """
    A message that is sent while a call goes on; `cause` where its name says that one telephone of
    perhaps many was not picked up.
    """

    side: Side
    event_type: EventType
    cause: HangupCause | None = None


class RecordSpec(Struct, frozen=True):
    """
    A message with records that are written after a call, in the list called `name`; `has_steps` if
    each step of a call has a record of its own.
    """

    side: Side
    name: str
    has_steps: bool


LIVE: Final[Mapping[str, LiveEventSpec]] = {
    "phone.caller_ringing": LiveEventSpec(Side.CALLER, EventType.RINGING),
    "phone.callee_ringing": LiveEventSpec(Side.CALLEE, EventType.RINGING),
    "phone.caller_connected": LiveEventSpec(Side.CALLER, EventType.ANSWERED),
    "phone.callee_answered": LiveEventSpec(Side.CALLEE, EventType.ANSWERED),
    "phone.caller_ended": LiveEventSpec(Side.CALLER, EventType.ENDED),
    "phone.callee_ended": LiveEventSpec(Side.CALLEE, EventType.ENDED),
    "phone.callee_missed": LiveEventSpec(Side.CALLEE, EventType.ENDED, HangupCause.NO_ANSWER),
    "phone.callee_rejected": LiveEventSpec(Side.CALLEE, EventType.ENDED, HangupCause.REJECTED),
}
# The third, second and first version of the same:
# https://developers.zoom.us/docs/phone/webhook-migrate/.
RECORDS: Final[Mapping[str, RecordSpec]] = {
    "phone.caller_call_element_completed": RecordSpec(Side.CALLER, "call_elements", has_steps=True),
    "phone.callee_call_element_completed": RecordSpec(Side.CALLEE, "call_elements", has_steps=True),
    "phone.caller_call_history_completed": RecordSpec(Side.CALLER, "call_logs", has_steps=True),
    "phone.callee_call_history_completed": RecordSpec(Side.CALLEE, "call_logs", has_steps=True),
    "phone.caller_call_log_completed": RecordSpec(Side.CALLER, "call_logs", has_steps=False),
    "phone.callee_call_log_completed": RecordSpec(Side.CALLEE, "call_logs", has_steps=False),
}
VOICEMAILS: Final = frozenset({"phone.voicemail_received", "phone.voicemail_transcript_completed"})
RECORDING: Final = "phone.recording_completed"
# Steps of a call that do not say how it ends, copies for users who may listen too, what only an API
# call could fetch, and deletions.
IGNORED: Final = frozenset(
    {
        "phone.caller_hold",
        "phone.caller_unhold",
        "phone.caller_mute",
        "phone.caller_unmute",
        "phone.caller_meeting_inviting",
        "phone.callee_hold",
        "phone.callee_unhold",
        "phone.callee_mute",
        "phone.callee_unmute",
        "phone.callee_meeting_inviting",
        "phone.callee_parked",
        "phone.blind_transfer_initiated",
        "phone.warm_transfer_initiated",
        "phone.warm_transfer_completed",
        "phone.warm_transfer_cancelled",
        "phone.transfer_recipient_updated",
        "phone.transfer_call_to_voicemail_initiated",
        "phone.conference_started",
        "phone.ai_call_summary_changed",
        "phone.recording_started",
        "phone.recording_paused",
        "phone.recording_resumed",
        "phone.recording_stopped",
        "phone.recording_failed",
        "phone.recording_deleted",
        "phone.recording_permanently_deleted",
        "phone.recording_transcript_completed",
        "phone.recording_completed_for_access_member",
        "phone.voicemail_received_for_access_member",
        "phone.voicemail_deleted",
        "phone.voicemail_permanently_deleted",
        "phone.call_element_deleted",
        "phone.call_history_deleted",
        "phone.call_log_deleted",
        "phone.call_log_permanently_deleted",
    }
)
# Not about a call.
OTHER_PREFIXES: Final = (
    "phone.sms_",
    "phone.fax_",
    "phone.device_",
    "phone.generic_device_",
    "phone.peering_",
    "phone.emergency_",
    "phone.account_settings_",
    "phone.group_settings_",
    "phone.route_group_",
)
DIRECTIONS: Final = frozenset({"inbound", "outbound"})
EXTERNAL: Final = "external"
CONNECT_TYPES: Final = frozenset({EXTERNAL, "internal"})
LIVE_EXTENSIONS: Final[Mapping[str, EndpointKind]] = {
    "user": EndpointKind.PERSON,
    "commonArea": EndpointKind.PERSON,
    "commonAreaPhone": EndpointKind.PERSON,
    "zoomRoom": EndpointKind.PERSON,
    "ciscoRoom/PolycomRoom": EndpointKind.PERSON,
    "sharedLineGroup": EndpointKind.GROUP,
    "callQueue": EndpointKind.ROUTER,
    "autoReceptionist": EndpointKind.ROUTER,
    "contactCenter": EndpointKind.ROUTER,
    "five9": EndpointKind.ROUTER,
    "twilio": EndpointKind.ROUTER,
    "pstn": EndpointKind.OUTSIDE,
}
RECORDED_EXTENSIONS: Final[Mapping[str, EndpointKind]] = {
    "user": EndpointKind.PERSON,
    "common_area": EndpointKind.PERSON,
    "zoom_room": EndpointKind.PERSON,
    "cisco_room": EndpointKind.PERSON,
    "shared_line_group": EndpointKind.GROUP,
    "group_call_pickup": EndpointKind.GROUP,
    "call_queue": EndpointKind.ROUTER,
    "auto_receptionist": EndpointKind.ROUTER,
    "external_contact": EndpointKind.OUTSIDE,
}
# Kinds of extensions, in live messages and in records, that distribute a call to several people.
DISTRIBUTORS: Final = frozenset(
    {
        "callQueue",
        "autoReceptionist",
        "sharedLineGroup",
        "call_queue",
        "auto_receptionist",
        "shared_line_group",
    }
)
# `event` of a record. These begin a call, so that the number in them is the one that was dialled.
BEGINNINGS: Final = frozenset(
    {
        "incoming",
        "shared_line_incoming",
        "transfer_from_zoom_contact_center",
        "outgoing",
        "call_me_on",
        "outgoing_to_zoom_contact_center",
    }
)
FORWARD: Final = "forward"
# These bring in whom another of our users passed the call on to.
TRANSFERS: Final = frozenset({"direct_transfer", "warm_transfer"})
# These bring another of our users into the call.
STEPS: Final = frozenset(
    {
        "ring_to_member",
        FORWARD,
        "overflow",
        "direct_transfer",
        "warm_transfer",
        "park_pick_up",
        "takeover",
        "shared",
    },
)
# Those of `STEPS` with which one of our users may pass a call on to somebody outside.
PASSES_ON: Final = TRANSFERS | {FORWARD, "overflow"}
# These do not say how the call ended: the result of a supervisor who listens is `succeeded`,
# whatever became of the call.
SIDE_STEPS: Final = frozenset(
    {"barge", "monitor", "whisper", "listen", "conference_barge", "park", "timeout", "merge"}
)
ENDING_STEPS: Final = BEGINNINGS | STEPS
ALL_STEPS: Final = ENDING_STEPS | SIDE_STEPS
# `result` of a call from a number that is blocked.
SYSTEM_BLOCKED: Final = "system_blocked"
# `result` of the second and third version.
RESULTS: Final[Mapping[str, Outcome]] = {
    "answered": HangupCause.COMPLETED,
    "accepted": HangupCause.COMPLETED,
    "picked_up": HangupCause.COMPLETED,
    "connected": HangupCause.COMPLETED,
    "succeeded": HangupCause.COMPLETED,
    "voicemail": NonHangupOutcome.VOICEMAIL,
    "hang_up": HangupCause.CANCELLED,
    "canceled": HangupCause.CANCELLED,
    "abandoned": HangupCause.CANCELLED,
    "no_answer": HangupCause.NO_ANSWER,
    "ring_timeout": HangupCause.NO_ANSWER,
    "busy": HangupCause.BUSY,
    "rejected": HangupCause.REJECTED,
    SYSTEM_BLOCKED: HangupCause.REJECTED,
    "call_failed": HangupCause.FAILED,
    "unconnected": HangupCause.FAILED,
    "service_unavailable": HangupCause.FAILED,
    "invalid_operation": HangupCause.FAILED,
    "overflowed": NonHangupOutcome.STEP,
    "invalid_key": NonHangupOutcome.STEP,
}
# `result_reason`: a colleague took the call, whatever the result of this record is.
REASONS: Final = frozenset({"answered_by_other", "pickup_by_other", "call_out_by_other"})
# `result` of the first version, and `handup_result` (as Zoom spells it) of live messages:
# https://developers.zoom.us/docs/api/phone/#tag/call-logs.
RESULT_PHRASES: Final[Mapping[str, Outcome]] = {
    "Call connected": HangupCause.COMPLETED,
    "Voicemail": NonHangupOutcome.VOICEMAIL,
    "Call Cancel": HangupCause.CANCELLED,
    "Call Cancelled": HangupCause.CANCELLED,
    "Call Canceled": HangupCause.CANCELLED,
    "No Answer": HangupCause.NO_ANSWER,
    "Missed": HangupCause.NO_ANSWER,
    "Busy": HangupCause.BUSY,
    "Rejected": HangupCause.REJECTED,
    "Blocked": HangupCause.REJECTED,
    "Blocked by non-GAL": HangupCause.REJECTED,
    "Blocked by info-Barriers": HangupCause.REJECTED,
    "Wrong Number": HangupCause.INVALID_NUMBER,
    "Call failed": HangupCause.FAILED,
    "Internal Error": HangupCause.FAILED,
    "Restricted Number": HangupCause.FAILED,
    "International Disabled": HangupCause.FAILED,
    "Answered by Other Member": NonHangupOutcome.ELSEWHERE,
    "Park": NonHangupOutcome.UNSTATED,
    "Parked": NonHangupOutcome.UNSTATED,
    "Recorded": NonHangupOutcome.UNSTATED,
    "Auto Recorded": NonHangupOutcome.UNSTATED,
    "Recording Failure": NonHangupOutcome.UNSTATED,
}
_PHRASES: Final = {phrase.casefold(): outcome for phrase, outcome in RESULT_PHRASES.items()}


def read_phrase(phrase: str | None) -> Outcome | None:
    """The outcome of a phrase of `RESULT_PHRASES`; case is ignored. None for any other."""
    if phrase is None:
        return None
    return _PHRASES.get(phrase.casefold())


def read_result(result: str | None) -> Outcome | None:
    """The outcome of a record's `result`, of whichever version; None if no table knows it."""
    if result is None:
        return None
    return RESULTS.get(result) or read_phrase(result)
