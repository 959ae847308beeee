"""
The payload of Bandwidth's webhooks, of which only the fields that are read are named, and how it is
read: its event, its call, its durations.
"""

import re
from typing import Final, TypedDict

from service.errors import IgnoredEvent, MalformedPayload
from service.sources.bandwidth.vocabulary import (
    IGNORED_EVENTS,
    IGNORED_GROUPS,
    TRANSFERRED_LEG_EVENTS,
)
from service.sources.common.fields import Fields, text
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.request import WebhookRequest

# ISO 8601, like PT1M20.056S.
DURATION: Final = re.compile(
    r"PT(?:(\d{1,4})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,9})?)S)?", re.ASCII
)


class MachineDetectionResult(TypedDict, total=False):
    """Who or what answered."""

    value: str


# https://dev.bandwidth.com/docs/voice/webhooks: one page for each `eventType`.
# `tag` is what the customer's application set. Times are in ISO 8601, UTC. `cause`,
# `sipResponseCode` and `endTime` are of ends, `transfer*` of `transferComplete`; `status`,
# `mediaUrl`, `recordingId` and `duration` (ISO 8601) of recordings.
Webhook = TypedDict(
    "Webhook",
    {
        "eventType": str,
        "eventTime": str,
        "callId": str,
        "parentCallId": str,
        "direction": str,
        "from": str,
        "to": str,
        "tag": str,
        "startTime": str,
        "answerTime": str,
        "endTime": str,
        "cause": str,
        "sipResponseCode": int,
        "machineDetectionResult": MachineDetectionResult,
        "transferCallerId": str,
        "transferTo": str,
        "status": str,
        "mediaUrl": str,
        "recordingId": str,
        "duration": str,
    },
    total=False,
)


def read_webhook(request: WebhookRequest) -> Fields:
    """
    The fields of a `Webhook`; any of them may be absent or of another type.

    Raises `MalformedPayload` if it has no `eventType`, `IgnoredEvent` for one that is not wanted.
    """
    fields = request.body_as(read_json_object)
    name = event_type(fields)
    if name in IGNORED_EVENTS or name.startswith(IGNORED_GROUPS):
        raise IgnoredEvent(
            "a step of a call that decides nothing, a conference, a stream or a transcript"
        )
    return fields


def event_type(fields: Fields) -> str:
    """Bandwidth's name of the event; raises `MalformedPayload` if it is missing."""
    name = text(fields, "eventType")
    if name is None:
        raise MalformedPayload("eventType is missing: no webhook of a call")
    return name


def source_call_id(fields: Fields) -> str:
    """The id of the call's first leg; raises `MalformedPayload` where it is not known."""
    parent_id = text(fields, "parentCallId")
    if parent_id is None and event_type(fields) in TRANSFERRED_LEG_EVENTS:
        raise MalformedPayload(
            "parentCallId is missing: which call the transferred leg belongs to cannot be known"
        )
    return call_id(parent_id or text(fields, "callId"), name="callId")


def leg_id(fields: Fields) -> str:
    """The id of the leg; raises `MalformedPayload` without one."""
    return call_id(text(fields, "callId"), name="callId")


def iso_duration_s(value: str | None) -> int | None:
    """Whole seconds, rounded, from a duration in ISO 8601, like PT1M20.056S; None if it is none."""
    match = DURATION.fullmatch(value or "")
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return round(hours * 3600 + minutes * 60 + seconds)
