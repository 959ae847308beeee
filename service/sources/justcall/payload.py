"""
The payload of JustCall's webhooks, of which only the fields that are read are named, and the
readers of what it is about.

Fields: https://developer.justcall.io/docs/call-events. A field may be absent or of another type:
each is read by `common.fields`.
"""

import json
from datetime import datetime
from typing import Final, TypedDict

from service.errors import IgnoredEvent
from service.sources.common.fields import Fields, child, iso_moment, text
from service.sources.common.ids import call_id, echoed_id
from service.sources.common.json_body import read_json_object
from service.sources.justcall.vocabulary import IGNORED
from service.sources.request import WebhookRequest

# `call_sid` is in all events of a call, of the dialer and of the Sales Dialer; `id` is JustCall's
# own number of the call, which the Sales Dialer calls `call_id`.
CALL_IDS: Final = ("call_sid", "id", "call_id")


class CallInfo(TypedDict, total=False):
    """
    How the call went, and what the agent chose and wrote; `recording` is a URL. Only the Sales
    Dialer has `call_answered_by`, and `duration` (seconds) in place of a `CallDuration`:
    https://fivetran.com/docs/connectors/applications/justcall/connector-schema.
    """

    type: str
    call_answered_by: str
    duration: int
    direction: str
    disposition: str
    notes: str
    recording: str
    call_traits: list[str]


class CallDuration(TypedDict, total=False):
    """
    In seconds; `total_duration` counts from the start, `conversation_time` from the answer,
    `queue_wait_time` and `ring_time` are the caller's time before that.
    """

    total_duration: int
    conversation_time: int
    queue_wait_time: int
    ring_time: int


class Tag(TypedDict, total=False):
    """A tag of the call; some events hold the names alone."""

    name: str


class Call(TypedDict, total=False):
    """
    The whole call as it was when the message was sent.

    `call_date` and `call_time` (UTC, without an offset) are its start; `call_user_date` and
    `call_user_time` beside them are in the agent's own time and not read. `metadata` is an object
    or the text of one. Numbers lack the plus.
    """

    id: int
    call_id: int
    call_sid: str
    contact_number: str
    justcall_number: str
    sales_dialer_number: str
    agent_id: int
    agent_name: str
    agent_email: str
    call_date: str
    call_time: str
    call_duration: CallDuration
    call_info: CallInfo
    tags: list[Tag] | list[str]
    metadata: dict[str, str] | str


class Webhook(TypedDict, total=False):
    """The body; a retry keeps `request_id`."""

    request_id: str
    webhook_url: str
    type: str
    data: Call
    metadata: dict[str, str] | str


def read_webhook(request: WebhookRequest) -> Fields:
    """
    The fields of a `Webhook`. Raises `IgnoredEvent` for what is about no call, `MalformedPayload`
    for a body that is no JSON object.
    """
    fields = request.body_as(read_json_object)
    if text(fields, "type") in IGNORED:
        raise IgnoredEvent("a text message, a contact or an appointment, not a call")
    return fields


def source_call_id(fields: Fields) -> str:
    """The id of the call that a webhook is about; raises `MalformedPayload` without one."""
    return call_id(text(child(fields, "data"), *CALL_IDS), name="call_sid")


def echoed_buildr_call_id(fields: Fields) -> tuple[str | None, str | None]:
    """The Buildr call id in `metadata` or None, and what is wrong with it, if anything is."""
    metadata = child(fields, "data").get("metadata") or fields.get("metadata")
    if isinstance(metadata, dict):
        metadata = json.dumps(metadata)
    if not isinstance(metadata, str):
        return None, None
    return echoed_id(metadata)


def started_at(data: Fields) -> datetime | None:
    """When the call began (UTC); None if the webhook does not hold it."""
    date = text(data, "call_date")
    time = text(data, "call_time")
    if date is None or time is None:
        return None
    return iso_moment(f"{date} {time}")
