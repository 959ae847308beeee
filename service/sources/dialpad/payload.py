"""
The shape of Dialpad's call events, as far as it is read here, and the readers of it.

Fields: https://developers.dialpad.com/docs/call-events. The types are what Dialpad documents and
captured messages hold; the readers accept any value and return None for one of another type.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, TypedDict

from service.errors import IgnoredEvent, MalformedPayload
from service.events import Recording
from service.sources.common import jwt
from service.sources.common.fields import (
    Fields,
    child,
    children,
    epoch_moment,
    flag,
    text,
    texts,
    walk,
    whole_seconds,
)
from service.sources.common.ids import call_id
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.dialpad.vocabulary import IGNORED, SUMMARY

MS: Final = 1000
NO_ID: Final = "0"
# From the leg at which the call came in down to the message's own.
ID_FIELDS: Final = ("entry_point_call_id", "master_call_id", "call_id")
# Dialpad's placeholder for a number of ours that the other side does not see.
HIDDEN_NUMBER: Final = "blocked"
# Parts of the names under which Dialpad sends what an agent wrote and chose.
NOTE: Final = "note"
DISPOSITION: Final = "disposition"
CALL_DISPOSITIONS: Final = "call_dispositions"


class TargetData(TypedDict, total=False):
    """A user or group of ours, to which a leg belongs; `type` is one of `TARGET_TYPES`."""

    type: str
    name: str
    email: str


class RecordingData(TypedDict, total=False):
    """A recording; `duration` in milliseconds."""

    id: str
    url: str
    duration: float


class CallMessage(TypedDict, total=False):
    """
    The state of one leg of a call.

    Times are milliseconds since 1970 (UTC), `duration` is the talk time in milliseconds. An id is
    null or 0 where there is none: `entry_point_call_id` is the leg at which the call came in (at
    `entry_point_target`), `master_call_id` the leg that this one came from, `operator_call_id` the
    leg of the agent who took a call out of a queue. `is_transferred` is true for a leg that passed
    the call on, and for one that it was passed on to, which then holds `transferred_from`.
    `talk_time` is without what the caller waited in a queue. `custom_data` comes back as it was set
    when the call was made.
    """

    call_id: int
    entry_point_call_id: int | None
    master_call_id: int | None
    operator_call_id: int | None
    state: str
    direction: str
    external_number: str
    internal_number: str
    selected_caller_id: str | None
    target: TargetData
    entry_point_target: TargetData
    is_internal: bool
    is_transferred: bool
    transferred_from: TargetData
    event_timestamp: int
    date_started: int
    date_queued: int | None
    date_connected: int | None
    date_ended: int | None
    duration: float
    talk_time: float
    labels: list[str]
    call_dispositions: str | list[str]
    custom_data: str
    recording_details: list[RecordingData]
    recording_url: list[str]
    admin_recording_urls: list[str]
    voicemail_link: str | None
    voicemail_recording_id: int | None
    transcription_text: str | None
    recap_summary: str


def message_json(body: bytes) -> bytes:
    """
    The JSON of a message: the payload of the JWT, or the body itself if it is not a JWT, as in a
    stored message and a request file.
    """
    payload = jwt.unproved_payload(body.strip())
    if payload is None:
        return body
    return payload


def read_message(body: bytes) -> dict[str, JsonValue]:
    """The fields of a message, JWT or JSON; raises `MalformedPayload`."""
    return read_json_object(message_json(body))


def state_of(fields: Fields) -> str:
    """The state of the leg; raises `MalformedPayload` if it is missing."""
    state = text(fields, "state")
    if state is None:
        raise MalformedPayload("state is missing or no text")
    return state


def leg_and_call_id(fields: Fields) -> tuple[str, str]:
    """
    The id of the leg, and of the call that it belongs to.

    A leg that came from another one names the one at which the call came in
    (`entry_point_call_id`), which itself names none, or at least the one that it goes back to
    (`master_call_id`). Raises `IgnoredEvent` for a message that is not about a call or has a state
    of `IGNORED`, `MalformedPayload` without an id.
    """
    state = text(fields, "state")
    if state is None and "call_id" not in fields:
        raise IgnoredEvent("an event of another kind of subscription, not of a call")
    if state in IGNORED or (state == SUMMARY and text(fields, SUMMARY) is None):
        raise IgnoredEvent("a state that says nothing about the course of a call")
    ids = [text_id(fields, field_name) for field_name in ID_FIELDS]
    leg_id = call_id(ids[-1], name="call_id")
    first_id = next(value for value in ids if value is not None)
    return leg_id, call_id(first_id, name="entry_point_call_id or master_call_id")


def text_id(fields: Fields, field_name: str) -> str | None:
    """An id; None for 0, with which Dialpad says that there is none."""
    value = text(fields, field_name)
    if value == NO_ID:
        return None
    return value


def time_at(fields: Fields, field_name: str) -> datetime | None:
    """A time (UTC)."""
    return epoch_moment(fields, field_name, per_second=MS)


def target_type(fields: Fields, field_name: str = "target") -> str | None:
    """The kind of the user or group that the leg belongs to, or of another one in the message."""
    return text(child(fields, field_name), "type")


def is_received_by_transfer(fields: Fields) -> bool:
    """Whether the call was passed on to this leg by a transfer."""
    return bool(child(fields, "transferred_from"))


def is_passed_on(fields: Fields) -> bool:
    """Whether the call left this leg by a transfer; where it was also received by one, unknown."""
    return flag(fields, "is_transferred") is True and not is_received_by_transfer(fields)


def our_number(fields: Fields) -> str | None:
    """The number of ours that the other side sees, else the one that was used."""
    for field_name in ("internal_number", "selected_caller_id"):
        number = to_e164(text(fields, field_name))
        if number is not None and number != HIDDEN_NUMBER:
            return number
    return None


def recording(fields: Fields) -> Recording | None:
    """The first recording with an id or a URL, else the first URL of a recording."""
    for details in children(fields, "recording_details"):
        recording_id = text(details, "id")
        url = text(details, "url")
        if recording_id is not None or url is not None:
            return Recording(recording_id, url, whole_seconds(details, "duration", per_second=MS))
    urls = (*texts(fields, "recording_url"), *texts(fields, "admin_recording_urls"))
    if not urls:
        return None
    return Recording(None, urls[0], None)


def wrap_up(fields: Fields) -> tuple[str | None, str | None]:
    """
    The disposition that the agent chose and the note that the agent wrote after the call.

    Dialpad does not document their field names: at any depth, a field with `note` in its name is
    one, and a field with `disposition` in it the other. The last of each counts.
    """
    texts_by_kind = dict(_wrap_up_texts(fields))
    return texts_by_kind.get(DISPOSITION), texts_by_kind.get(NOTE)


def early_wrap_up(fields: Fields) -> tuple[str | None, str | None]:
    """
    The same, as far as a message of another state holds it in `call_dispositions`: the agent may
    choose one before the call is over.
    """
    chosen = fields.get(CALL_DISPOSITIONS)
    if not chosen:
        return None, None
    return wrap_up({CALL_DISPOSITIONS: chosen})


def _wrap_up_texts(fields: Fields) -> Iterator[tuple[str, str]]:
    for field_name, value in walk(dict(fields)):
        kind = _wrap_up_kind(field_name.lower())
        content = _last_text(value)
        if kind is not None and content is not None:
            yield kind, content


def _wrap_up_kind(field_name: str) -> str | None:
    # The id of a note or a disposition is neither.
    if field_name.endswith("id"):
        return None
    # A note first: `disposition_notes` is one.
    return next((kind for kind in (NOTE, DISPOSITION) if kind in field_name), None)


def _last_text(value: JsonValue) -> str | None:
    """A text, the last one in a list of them, or the name of an object."""
    if not isinstance(value, list):
        return _own_text(value)
    contents = (_own_text(item) for item in reversed(value))
    return next((content for content in contents if content is not None), None)


def _own_text(value: JsonValue) -> str | None:
    if isinstance(value, dict):
        return text(value, "name", "label", "value")
    if isinstance(value, str):
        return value.strip() or None
    return None
