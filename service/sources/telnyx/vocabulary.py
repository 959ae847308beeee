"""
The values of Telnyx's fields and what they mean, of Call Control and of TeXML; why a leg ended is
in `hangup_causes`.
"""

from collections.abc import Mapping
from typing import Final

from service.events import AnsweredBy, Direction, EventType, HangupCause, Party
from service.sources.common.leg_events import LegSide

# Call Control, `event_type`:
# https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks
HANGUP: Final = "call.hangup"
ENQUEUED: Final = "call.enqueued"
TRANSCRIBED: Final = "call.recording.transcription.saved"
EVENTS: Final[Mapping[str, EventType]] = {
    "call.initiated": EventType.CREATED,
    "call.answered": EventType.ANSWERED,
    "call.bridged": EventType.BRIDGED,
    HANGUP: EventType.ENDED,
    "call.machine.detection.ended": EventType.ANSWERED_BY,
    "call.machine.greeting.ended": EventType.ANSWERED_BY,
    "call.machine.premium.detection.ended": EventType.ANSWERED_BY,
    "call.machine.premium.greeting.ended": EventType.ANSWERED_BY,
    "call.machine.premium.call_screening.detected": EventType.ANSWERED_BY,
    "call.recording.saved": EventType.RECORDING,
    TRANSCRIBED: EventType.VOICEMAIL,
    ENQUEUED: EventType.UPDATED,
    "conference.participant.joined": EventType.JOINED,
    "conference.participant.left": EventType.LEFT,
}
# Their `client_state` is that of the leg which owns the conference:
# https://developers.telnyx.com/api-reference/conference-commands/join-a-conference
MEMBER_EVENTS: Final = frozenset({EventType.JOINED, EventType.LEFT})
# What was played, spoken, typed, streamed, charged: nothing of it says how the call ended.
IGNORED: Final = frozenset(
    {
        "call.analyzed",
        "call.cost",
        "call.dequeued",
        "call.hold",
        "call.machine.premium.detection.started",
        "call.recording.error",
        "call.transcription",
        "call.unhold",
    }
)
IGNORED_FAMILIES: Final = (
    "call.ai_gather.",
    "call.conversation.",
    "call.conversation_insights.",
    "call.deepfake_detection.",
    "call.dtmf.",
    "call.fork.",
    "call.gather.",
    "call.payment.",
    "call.playback.",
    "call.refer.",
    "call.speak.",
    "conference.",
    "fax.",
    "message.",
    "siprec.",
    "streaming.",
)
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "incoming": Direction.INBOUND,
    "outgoing": Direction.OUTBOUND,
}
# https://developers.telnyx.com/docs/voice/programmable-voice/answering-machine-detection
# A beep is a machine's. How a greeting ended otherwise proves nothing more: detection has already
# reported who answered.
DETECTION_RESULTS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "human_residence": AnsweredBy.HUMAN,
    "human_business": AnsweredBy.HUMAN,
    "machine": AnsweredBy.MACHINE,
    "beep_detected": AnsweredBy.MACHINE,
    "fax_detected": AnsweredBy.FAX,
    "silence": None,
    "not_sure": None,
    "ended": None,
    "no_beep_detected": None,
    "prompt_ended": None,
    # A telephone asks the caller for a name first; detection begins anew when somebody takes the
    # call.
    "screening": None,
}
# What `client_state` may hold beside the Buildr call id: that the leg is an agent's, that a
# recording is a voicemail.
PARTY: Final = "party"
PARTIES: Final[Mapping[str, Party]] = {"agent": Party.AGENT}
RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"

# `hangup_source`, and `HangupSource` in TeXML; it may also be `unknown`.
HANGUP_SIDES: Final[Mapping[str, LegSide]] = {
    "caller": LegSide.CALLER,
    "callee": LegSide.CALLEE,
}

# TeXML, `CallStatus` and `DialCallStatus`:
# https://developers.telnyx.com/api-reference/callbacks/texml-call-completed
CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "initiated": EventType.CREATED,
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "canceled": EventType.ENDED,
    "failed": EventType.ENDED,
}
STATUS_CAUSES: Final[Mapping[str, HangupCause]] = {
    "completed": HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "no-answer": HangupCause.NO_ANSWER,
    "canceled": HangupCause.CANCELLED,
    "failed": HangupCause.FAILED,
}
# `AnsweredBy`: https://developers.telnyx.com/api-reference/callbacks/texml-call-amd, and `machine`
# from https://developers.telnyx.com/docs/voice/programmable-voice/texml-answering-machine
ANSWERERS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "machine": AnsweredBy.MACHINE,
    "machine_start": AnsweredBy.MACHINE,
    "machine_end_beep": AnsweredBy.MACHINE,
    "machine_end_silence": AnsweredBy.MACHINE,
    "machine_end_other": AnsweredBy.MACHINE,
    "fax": AnsweredBy.FAX,
    "unknown": None,
}
# `RecordingStatus`: https://developers.telnyx.com/api-reference/callbacks/texml-recording-completed
RECORDING_STATUSES: Final = frozenset({"completed"})
UNWANTED_RECORDINGS: Final = frozenset({"in-progress", "absent"})
# `StatusCallbackEvent` of a conference:
# https://developers.telnyx.com/api-reference/callbacks/texml-conference-leave
TEXML_MEMBER_EVENTS: Final[Mapping[str, EventType]] = {
    "participant-join": EventType.JOINED,
    "participant-leave": EventType.LEFT,
}
# `Direction`: not documented; read where it comes, as Twilio writes it. Also `direction` in the
# address, which the operator puts there.
DIRECTION: Final = "direction"
TEXML_DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
}
