"""
The values of Plivo's fields and what they mean; hangup causes are in `hangup_causes.py`.
"""

from collections.abc import Collection, Mapping
from typing import Final

from service.events import Direction, EventType, Party
from service.sources.common.leg_events import LegSide
from service.sources.plivo.hangup_causes import STATUS_CAUSES

# `record` in the URL, which the author of the XML sets: the recording is a caller's message.
RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"
# `Event`: https://www.plivo.com/docs/voice/xml/request
HANGUP: Final = "Hangup"
MACHINE_DETECTION: Final = "MachineDetection"
# `Machine`: https://www.plivo.com/docs/voice/api/call/machine-detection
MACHINE: Final = "true"
# `CallStatus`: https://www.plivo.com/docs/voice/use-cases/dial-status-reporting
CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "failed": EventType.ENDED,
    "timeout": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "cancel": EventType.ENDED,
}
# `DialAction` of a `<Dial callbackUrl>`, about the dialled leg:
# https://www.plivo.com/docs/voice/xml/dial
DIAL_ACTIONS: Final[Mapping[str, EventType]] = {
    "answer": EventType.ANSWERED,
    "connected": EventType.ANSWERED,
    "hangup": EventType.ENDED,
}
IGNORED_DIAL_ACTIONS: Final = frozenset({"digits"})
# `ConferenceAction` of a `<Conference callbackUrl>`:
# https://www.plivo.com/docs/voice/xml/conference
CONFERENCE_ACTIONS: Final[Mapping[str, EventType]] = {
    "enter": EventType.JOINED,
    "exit": EventType.LEFT,
}
CONFERENCE_RECORD: Final = "record"
IGNORED_CONFERENCE_ACTIONS: Final = frozenset({"digits", "floor"})
# `EventName` of a multiparty call: https://www.plivo.com/docs/voice/xml/multipartycall. The page
# names groups of events and not the events: these are the names that programs in use compare with.
MULTIPARTY_EVENTS: Final[Mapping[str, EventType]] = {
    "ParticipantJoin": EventType.JOINED,
    "ParticipantJoined": EventType.JOINED,
    "ParticipantExit": EventType.LEFT,
    "ParticipantLeft": EventType.LEFT,
}
# Of the call itself, and what a participant does in it.
IGNORED_MULTIPARTY_EVENTS: Final = (
    "MPC",
    "ParticipantCoach",
    "ParticipantDigit",
    "ParticipantHold",
    "ParticipantMute",
    "ParticipantRecord",
    "ParticipantSpeak",
    "ParticipantUnhold",
    "ParticipantUnmute",
)
# `ParticipantRole`, in lower case: Plivo writes it both ways. A customer's leg is read like that of
# any call: to state its party would say that its answer, which is our XML's, was a human's.
ROLES: Final[Mapping[str, Party | None]] = {
    "customer": None,
    "agent": Party.AGENT,
    "supervisor": Party.AGENT,
}
SUPERVISOR: Final = "supervisor"
# A program that listens and talks is nobody who picked up.
AI_AGENT: Final = "ai-agent"
# `HangupSource`, in lower case: https://www.plivo.com/docs/voice/troubleshooting/hangup-causes. All
# others are neither of the two.
HANGUP_SIDES: Final[Mapping[str, LegSide]] = {
    "caller": LegSide.CALLER,
    "callee": LegSide.CALLEE,
    "call recipient": LegSide.CALLEE,
}
# `Direction`.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# The values of each field; any other is reported as unknown.
KNOWN_VALUES: Final[Mapping[str, Collection[str]]] = {
    "Direction": DIRECTIONS,
    "CallStatus": CALL_STATUSES,
    "DialAction": DIAL_ACTIONS,
    "DialStatus": STATUS_CAUSES,
    "ConferenceAction": frozenset({*CONFERENCE_ACTIONS, CONFERENCE_RECORD}),
    "EventName": MULTIPARTY_EVENTS,
    RECORD: frozenset({VOICEMAIL}),
}
CODE_FIELDS: Final = ("HangupCauseCode", "DialBLegHangupCauseCode")
