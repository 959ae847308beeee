"""
The payload of Vonage's event webhooks, of which only the fields that are read are named, and the
ids in it.
"""

from typing import Final, TypedDict

from service.errors import IgnoredEvent
from service.sources.common.fields import Fields, text
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.request import WebhookRequest
from service.sources.vonage.vocabulary import IGNORED_STATUSES

WEBSOCKET: Final = ("ws:", "wss:")

# https://developer.vonage.com/en/voice/voice-api/webhook-reference: one section for each kind.
# Times are in ISO 8601, UTC; `duration` is in seconds, a text. Numbers are E.164 without the plus;
# `to` may also be a user's name or a URI. `conversation_uuid_from` and `_to` are those of a
# transfer, `recording_*`, `start_time` and `end_time` those of a recording.
VonageEvent = TypedDict(
    "VonageEvent",
    {
        "status": str,
        "detail": str,
        "sub_state": str,
        "disconnected_by": str,
        "direction": str,
        "uuid": str,
        "call_uuid": str,
        "conversation_uuid": str,
        "conversation_uuid_from": str,
        "conversation_uuid_to": str,
        "from": str,
        "from_user": str,
        "to": str,
        "timestamp": str,
        "start_time": str,
        "end_time": str,
        "duration": str,
        "recording_url": str,
        "recording_uuid": str,
        "dtmf": object,
        "speech": object,
        "reason": str,
        "payload": object,
    },
    total=False,
)


def read_event(request: WebhookRequest) -> Fields:
    """
    The fields of a `VonageEvent`; any of them may be absent or of another type.

    Raises `MalformedPayload`, and `IgnoredEvent` for an event that reports nothing of use.
    """
    fields = request.body_as(read_json_object)
    if (text(fields, "to") or "").startswith(WEBSOCKET):
        raise IgnoredEvent("a leg to a WebSocket, where nobody picks up")
    if is_recording(fields):
        if "recording_url" not in fields:
            raise IgnoredEvent("the transcript of a recording")
        return fields
    if text(fields, "status") in IGNORED_STATUSES or "dtmf" in fields or "speech" in fields:
        raise IgnoredEvent("a WebSocket that was closed, or keys and words that were taken in")
    if "status" not in fields and ("reason" in fields or "payload" in fields):
        raise IgnoredEvent("an error in an NCCO, or a message that it sends itself")
    return fields


def is_recording(fields: Fields) -> bool:
    """Whether the event is about a recording; it then names no leg."""
    return "recording_url" in fields or "recording_uuid" in fields


def source_call_id(fields: Fields) -> str:
    """
    The id of the conversation, which all legs of a call share, and of a transfer the one that the
    leg leaves; raises `MalformedPayload`.
    """
    return call_id(
        text(fields, "conversation_uuid_from", "conversation_uuid"), name="conversation_uuid"
    )


def leg_id(fields: Fields) -> str:
    """The id of the leg that the event is about; raises `MalformedPayload`."""
    return call_id(text(fields, "uuid", "call_uuid"), name="uuid")
