"""
The payloads of Telnyx, of which only the fields that are read are named.

A vendor may leave out any field or send another type, so that the readers of `common.fields` check
each one; these types say what is documented.
"""

from typing import TypedDict

# https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks
# `call_session_id` is of all legs of a call, `call_leg_id` of one. Times are in ISO 8601, UTC.
# `client_state` is base64 of what the customer's application set. The hangup fields are of
# `call.hangup`, `result` is of answering machine detection, `queue` (a name) of `call.enqueued`,
# `conference_id` of the participants of a conference, where `client_state` is its owner's.
CallControlPayload = TypedDict(
    "CallControlPayload",
    {
        "call_session_id": str,
        "call_leg_id": str,
        "call_control_id": str,
        "client_state": str,
        "direction": str,
        "from": str,
        "to": str,
        "start_time": str,
        "hangup_cause": str,
        "hangup_source": str,
        "sip_hangup_cause": str,
        "result": str,
        "recording_id": str,
        "recording_started_at": str,
        "recording_ended_at": str,
        "recording_urls": "RecordingUrls",
        "public_recording_urls": "RecordingUrls",
        "transcription_text": str,
        "queue": str,
        "conference_id": str,
    },
    total=False,
)


class RecordingUrls(TypedDict, total=False):
    """One URL for each file format."""

    mp3: str
    wav: str


class CallControlEvent(TypedDict, total=False):
    """`id` is the same on every try and at every address."""

    id: str
    event_type: str
    occurred_at: str
    payload: CallControlPayload


class CallControlWebhook(TypedDict, total=False):
    """The JSON body of Call Control, version 2 of the webhook API."""

    data: CallControlEvent


class ClientState(TypedDict, total=False):
    """What this service reads in `client_state`: see `docs/sources/telnyx.md`."""

    buildr_call_id: str
    party: str
    record: str


# https://developers.telnyx.com/api-reference/callbacks/texml-call-completed and the pages beside it
class TexmlCallback(TypedDict, total=False):
    """
    The form of a TeXML callback; every value is a text.

    Durations are whole seconds. Times are in ISO 8601 in Telnyx's examples and in RFC 2822 in its
    text. `Dial*` are of the leg that `<Dial>` called; the last three are of a conference's members.
    """

    CallSid: str
    ParentCallSid: str
    CallbackSource: str
    CallStatus: str
    AnsweredBy: str
    Direction: str
    From: str
    To: str
    OccurredAt: str
    Timestamp: str
    CallInitiatedAt: str
    StartTime: str
    AnsweredTime: str
    EndTime: str
    CallDuration: str
    HangupCause: str
    HangupSource: str
    SipHangupCause: str
    RecordingStatus: str
    RecordingSid: str
    RecordingUrl: str
    RecordingDuration: str
    RecordingSource: str
    DialCallStatus: str
    DialCallSid: str
    DialCallDuration: str
    StatusCallbackEvent: str
    ConferenceSid: str
    FriendlyName: str
