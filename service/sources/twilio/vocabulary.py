"""
The values of Twilio's fields and what they mean.
"""

from collections.abc import Collection, Mapping
from typing import Final

from service.events import AnsweredBy, Direction, EventType, HangupCause

# SignalWire sends the name of the event as the status, beside `in-progress` of the same answer.
SIGNALWIRE_ANSWERED: Final = "answered"
# `CallStatus`: https://www.twilio.com/docs/voice/api/call-resource#call-status-values
CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "queued": EventType.CREATED,
    "initiated": EventType.CREATED,
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    SIGNALWIRE_ANSWERED: EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "canceled": EventType.ENDED,
    "failed": EventType.ENDED,
}
# `CallStatus` of an end, and `DialCallStatus`; `answered` is the end of a dialled conference:
# https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus
HANGUP_CAUSES: Final[Mapping[str, HangupCause]] = {
    "completed": HangupCause.COMPLETED,
    "answered": HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "no-answer": HangupCause.NO_ANSWER,
    "canceled": HangupCause.CANCELLED,
    "failed": HangupCause.FAILED,
}
# Twilio's and SignalWire's name of the field. The status is `failed` or `no-answer` for a declined
# call and for an invalid number alike; this code tells them apart.
SIP_CODE_FIELDS: Final = ("SipResponseCode", "SipResultCode")
# `AnsweredBy`:
# https://www.twilio.com/docs/voice/answering-machine-detection#possible-values-for-answeredby
# A value that begins with `machine` says what the machine was doing, and there may be more of them.
MACHINE: Final = "machine"
ANSWERED_BY: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "fax": AnsweredBy.FAX,
    "unknown": None,
    "machine_start": AnsweredBy.MACHINE,
    "machine_end_beep": AnsweredBy.MACHINE,
    "machine_end_silence": AnsweredBy.MACHINE,
    "machine_end_other": AnsweredBy.MACHINE,
}
# `Direction`. A trunk terminates at the telephone network what a PBX calls, and originates towards
# the PBX what comes from the telephone network: https://www.twilio.com/docs/sip-trunking
# There the call goes to the customer's own PBX, which reports it as answered only once it took it.
TRUNK_INBOUND: Final = "trunking-originating"
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
    "trunking-terminating": Direction.OUTBOUND,
    TRUNK_INBOUND: Direction.INBOUND,
}
# `RecordingStatus`: https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback
RECORDING_STATUSES: Final = frozenset({"completed"})
IGNORED_RECORDING_STATUSES: Final = frozenset({"in-progress", "absent", "failed"})
# `RecordingSource` of a `<Record>`, which takes a caller's message.
RECORD_VERB: Final = "RecordVerb"
# `StatusCallbackEvent` of a conference, and those that report nothing of who is in it:
# https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallback
CONFERENCE_EVENTS: Final[Mapping[str, EventType]] = {
    "participant-join": EventType.JOINED,
    "participant-leave": EventType.LEFT,
}
IGNORED_CONFERENCE_EVENTS: Final = frozenset(
    {
        "conference-start",
        "conference-end",
        "participant-mute",
        "participant-unmute",
        "participant-hold",
        "participant-unhold",
        "participant-modify",
        "participant-speech-start",
        "participant-speech-stop",
        "announcement-end",
        "announcement-fail",
    }
)
# `ParticipantCallStatus` of a participant that was called and did not answer.
UNANSWERED: Final = frozenset({"no-answer", "busy", "failed", "canceled"})
# `DialBridged` where caller and called party were never joined:
# https://www.twilio.com/docs/voice/twiml/dial#request-parameters
NOT_BRIDGED: Final = "false"
CALLER_HUNG_UP: Final = "hangup"
# `QueueResult`: https://www.twilio.com/docs/voice/twiml/enqueue#queueresult-values
# `ENDED` is the end of the leg that took the caller out of the queue.
QUEUE_RESULTS: Final[Mapping[str, EventType]] = {
    "bridged": EventType.ENDED,
    "redirected-from-bridged": EventType.ENDED,
    "bridging-in-process": EventType.UPDATED,
    CALLER_HUNG_UP: EventType.UPDATED,
    "leave": EventType.UPDATED,
    "redirected": EventType.UPDATED,
    "queue-full": EventType.UPDATED,
    "error": EventType.UPDATED,
    "system-error": EventType.UPDATED,
}
# Those with which the wait was over: somebody took the call, or the caller gave up.
WAIT_IS_OVER: Final = frozenset({"bridged", "redirected-from-bridged", CALLER_HUNG_UP})
# The values of each field; any other is reported as unknown.
KNOWN_VALUES: Final[Mapping[str, Collection[str]]] = {
    "Direction": DIRECTIONS,
    "CallStatus": CALL_STATUSES,
    "AnsweredBy": ANSWERED_BY,
    "RecordingStatus": RECORDING_STATUSES,
    "StatusCallbackEvent": CONFERENCE_EVENTS,
    "QueueResult": QUEUE_RESULTS,
}


def is_known(field_name: str, value: str) -> bool:
    """Whether a field may have this value."""
    if field_name == "AnsweredBy" and value.startswith(MACHINE):
        return True
    return value in KNOWN_VALUES[field_name]


def answered_by(value: str | None) -> AnsweredBy | None:
    """Who or what a value of `AnsweredBy` names; None if it is absent, `unknown` or not known."""
    if value is None:
        return None
    if value.startswith(MACHINE):
        return AnsweredBy.MACHINE
    return ANSWERED_BY.get(value)
