"""
The values of Bandwidth's fields and what they mean:
https://dev.bandwidth.com/docs/voice/webhooks.
"""

from collections.abc import Mapping
from typing import Final

from service.events import AnsweredBy, Direction, EventType, HangupCause

# `eventType`.
INITIATE: Final = "initiate"
ANSWER: Final = "answer"
MACHINE_DETECTION: Final = "machineDetectionComplete"
TRANSFER_ANSWER: Final = "transferAnswer"
TRANSFER_COMPLETE: Final = "transferComplete"
TRANSFER_DISCONNECT: Final = "transferDisconnect"
DISCONNECT: Final = "disconnect"
MEMBER_JOIN: Final = "conferenceMemberJoin"
MEMBER_EXIT: Final = "conferenceMemberExit"
RECORDING_AVAILABLE: Final = "recordingAvailable"
# The page calls it one way and Bandwidth's own library another.
RECORDING_EVENTS: Final = frozenset({"recordComplete", "recordingComplete", RECORDING_AVAILABLE})
# Of a leg that a transfer made: `callId` is its own, `parentCallId` the call's, `from` and `to` are
# those of the call, `transferCallerId` and `transferTo` those of the leg:
# https://dev.bandwidth.com/docs/voice/webhooks/transferAnswer
TRANSFERRED_LEG_EVENTS: Final = frozenset({TRANSFER_ANSWER, TRANSFER_DISCONNECT})
# Of a call in a conference: https://dev.bandwidth.com/docs/voice/webhooks/conferenceMemberJoin
MEMBER_EVENTS: Final[Mapping[str, EventType]] = {
    MEMBER_JOIN: EventType.JOINED,
    MEMBER_EXIT: EventType.LEFT,
}
IGNORED_EVENTS: Final = frozenset(
    {
        "bridgeComplete",
        "bridgeTargetComplete",
        "dtmf",
        "gather",
        "redirect",
        "referComplete",
        "conferenceCreated",
        "conferenceRedirect",
        "conferenceCompleted",
        "conferenceRecordingAvailable",
        "transcriptionAvailable",
    }
)
IGNORED_GROUPS: Final = ("conference", "stream", "transcription")
# Bandwidth does not read the answer to these; the answer to all others is BXML, which controls the
# live call.
ASYNCHRONOUS: Final = frozenset(
    {
        DISCONNECT,
        TRANSFER_DISCONNECT,
        MACHINE_DETECTION,
        RECORDING_AVAILABLE,
        "dtmf",
        "transcriptionAvailable",
    }
)
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `cause`: https://dev.bandwidth.com/docs/voice/webhooks/disconnect; others may be added.
HANGUP: Final = "hangup"
CANCEL: Final = "cancel"
CAUSES: Final[Mapping[str, HangupCause]] = {
    HANGUP: HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "timeout": HangupCause.NO_ANSWER,
    CANCEL: HangupCause.CANCELLED,
    "rejected": HangupCause.REJECTED,
    "callback-error": HangupCause.FAILED,
    "invalid-bxml": HangupCause.FAILED,
    "application-error": HangupCause.FAILED,
    "account-limit": HangupCause.FAILED,
    "node-capacity-exceeded": HangupCause.FAILED,
    "error": HangupCause.FAILED,
    "unknown": HangupCause.FAILED,
}
# Beside these a SIP code is more precise.
VAGUE_CAUSES: Final = frozenset({"error", "unknown", "rejected"})
# `machineDetectionResult.value`:
# https://dev.bandwidth.com/docs/voice/webhooks/machineDetectionComplete
ANSWERERS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "answering-machine": AnsweredBy.MACHINE,
    "tone-detected": AnsweredBy.MACHINE,
    "silence": None,
    "timeout": None,
    "error": None,
}
# `status` of a recording: whether there is a file to listen to.
RECORDING_STATUSES: Final[Mapping[str, bool]] = {
    "complete": True,
    "partial": True,
    "processing": False,
    "error": False,
    "deleted": False,
}
