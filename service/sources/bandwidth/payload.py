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
    MEMBER_EVENTS,
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
# A conference's name is of letters, digits, dots, hyphens and underscores. One that is a call's id
# is taken for the id of the call that the conference was made for.
CALL_ID: Final = re.compile(r"c-[0-9a-f]{8}(?:-[0-9a-f]{4,12}){4,5}", re.ASCII)


class MachineDetectionResult(TypedDict, total=False):
    """Who or what answered."""

    value: str


# https://dev.bandwidth.com/docs/voice/webhooks: one page for each `eventType`.
# `tag` is what the customer's application set. Times are in ISO 8601, UTC. `cause`,
# `sipResponseCode` and `endTime` are of ends, `transfer*` of transfers; `status`, `mediaUrl`,
# `recordingId` and `duration` (ISO 8601) of recordings; `conferenceId` and `name` of conferences;
# `diversion` of a call that was forwarded to the number that it reached.
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
        "conferenceId": str,
        "name": str,
        "diversion": object,
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
    if name in MEMBER_EVENTS:
        return fields
    if name in IGNORED_EVENTS or name.startswith(IGNORED_GROUPS):
        raise IgnoredEvent(
            "a step of a call that decides nothing, a conference itself, a stream or a transcript"
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
    name = event_type(fields)
    parent_id = text(fields, "parentCallId")
    if name in MEMBER_EVENTS:
        parent_id = conference_call_id(fields)
    if parent_id is None and name in TRANSFERRED_LEG_EVENTS:
        raise MalformedPayload(
            "parentCallId is missing: which call the transferred leg belongs to cannot be known"
        )
    return call_id(parent_id or text(fields, "callId"), name="callId")


def conference_call_id(fields: Fields) -> str | None:
    """The id of the call that a conference is named after; None for any other name."""
    name = text(fields, "name")
    if name is None or CALL_ID.fullmatch(name) is None:
        return None
    return name


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
