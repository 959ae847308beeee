"""
The values of Plivo's fields and what they mean; hangup causes are in `hangup_causes.py`.
"""

from collections.abc import Collection, Mapping
from typing import Final

from service.events import Direction, EventType
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
    RECORD: frozenset({VOICEMAIL}),
}
CODE_FIELDS: Final = ("HangupCauseCode", "DialBLegHangupCauseCode")
