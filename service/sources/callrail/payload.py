"""
The payload of CallRail's messages, of which only the fields that are read are named, and how it is
read: its call, its kind, its flags.
"""

from typing import Final, TypedDict

from service.errors import IgnoredEvent, MalformedPayload
from service.sources.callrail.vocabulary import (
    CALL_ID_PREFIX,
    FLAGS,
    KINDS,
    MISSED,
    MODIFIED,
    POST_CALL,
    PRE_CALL,
    TYPES,
)
from service.sources.common.fields import Fields, flag, seconds, text
from service.sources.common.forms import query_value, read_form
from service.sources.common.ids import call_id
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.request import FORM, WebhookRequest

# The query parameter of the URL that names the kind of message.
KIND: Final = "kind"


# https://apidocs.callrail.com/#calls
# Times are in ISO 8601 with the offset of the company's time zone, except `datetime`, which is in
# UTC without one; durations are in seconds. In a form all values are texts, and `tags` is `tags[]`.
class CallRailCall(TypedDict, total=False):
    """The state of a whole call; each message repeats it."""

    resource_id: str
    type: str
    call_type: str
    direction: str
    answered: bool | str
    voicemail: bool | str
    start_time: str
    timestamp: str
    datetime: str
    duration: int | str
    formatted_duration: str
    customer_phone_number: str
    customer_number: str
    callernum: str
    tracking_phone_number: str
    trackingnum: str
    agent_email: str
    lead_status: str
    tags: list[str]
    note: str
    recording: str
    recording_redirect: str
    recording_duration: int | str
    transcription: str
    changes: object


def read_call(request: WebhookRequest) -> Fields:
    """
    The fields of a `CallRailCall`; any of them may be absent or of another type. Raises
    `MalformedPayload`.
    """
    if request.content_type == FORM:
        return request.body_via(read_form, _form_fields)
    return request.body_as(read_json_object)


def source_call_id(fields: Fields) -> str:
    """The id of the call; raises `MalformedPayload`, and `IgnoredEvent` for what is not a call."""
    resource_id = call_id(text(fields, "resource_id"), name="resource_id")
    if not resource_id.startswith(CALL_ID_PREFIX):
        raise IgnoredEvent("a text message or a form, not a call")
    return resource_id


def message_kind(request: WebhookRequest, fields: Fields) -> tuple[str | None, str | None]:
    """
    The kind of the message, one of `KINDS`, and the value that is in no table; one of the two is
    None. Raises `MalformedPayload` if the URL names two.
    """
    url_kind = query_value(request, KIND)
    if url_kind is None:
        return _body_kind(fields)
    # CallRail appends a query of its own, with a question mark, whether there is one already or
    # not.
    name = url_kind.partition("?")[0]
    if name in KINDS:
        return name, None
    return None, name


def read_flag(fields: Fields, name: str) -> bool | None:
    """A field that is true or false, in a form as a text; None if it is anything else."""
    value = flag(fields, name)
    if value is not None:
        return value
    return FLAGS.get(text(fields, name) or "")


def _body_kind(fields: Fields) -> tuple[str | None, str | None]:
    message_type = text(fields, "type")
    if message_type is not None:
        if message_type in TYPES:
            return TYPES[message_type], None
        return None, message_type
    if "changes" in fields:
        return MODIFIED, None
    if _is_new_call(fields):
        return PRE_CALL, None
    return POST_CALL, None


def _is_new_call(fields: Fields) -> bool:
    # A call that has only just come in looks like a missed one, except that it has no duration yet.
    has_duration = bool(seconds(text(fields, "duration")))
    is_missed = text(fields, "call_type") == MISSED and read_flag(fields, "answered") is False
    return is_missed and not has_duration


def _form_fields(pairs: list[tuple[str, str]]) -> dict[str, JsonValue]:
    fields: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name.endswith("[]"):
            items = fields.setdefault(name, [])
            if isinstance(items, list):
                items.append(value)
        elif name in fields:
            raise MalformedPayload(
                "the form holds a name twice; which value counts cannot be known"
            )
        else:
            fields[name] = value
    return {name.removesuffix("[]"): value for name, value in fields.items()}
