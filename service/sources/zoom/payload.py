"""
The shape of Zoom Phone's messages, as far as it is read here, and the readers of the envelope.

Fields: https://developers.zoom.us/docs/api/phone/events/. The types are what Zoom documents; the
readers accept any value. All times are in ISO 8601 (UTC), all durations in seconds.
"""

from typing import Final, TypedDict

from service.errors import IgnoredEvent, MalformedPayload
from service.sources.common.fields import Fields, child, children, text
from service.sources.common.ids import call_id
from service.sources.zoom.vocabulary import IGNORED, OTHER_PREFIXES

PHONE_PREFIX: Final = "phone."
RECORDINGS: Final = "recordings"
# The lists in which a message may hold several records.
LISTS: Final = ("call_elements", "call_logs", RECORDINGS)


class EndData(TypedDict, total=False):
    """One end of a call in a live message; somebody outside has a `phone_number` only."""

    extension_type: str
    extension_id: str
    user_id: str
    extension_number: int
    phone_number: str
    name: str


class LiveData(TypedDict, total=False):
    """The object of a message that is sent while a call goes on."""

    call_id: str
    caller: EndData
    callee: EndData
    forwarded_by: EndData
    redirect_forwarded_by: EndData
    ringing_start_time: str
    answer_start_time: str
    connected_start_time: str
    call_end_time: str
    handup_result: str


class RecordData(TypedDict, total=False):
    """
    One record of a call, or of a step of it.

    The callee's fields are those of the caller with `callee_`. The second and third version have
    `event` and `talk_time`, the first has `duration` and a `result` in words.
    """

    call_id: str
    event: str
    direction: str
    connect_type: str
    caller_ext_type: str
    caller_ext_id: str
    caller_user_id: str
    caller_ext_number: str
    caller_did_number: str
    caller_number: str
    caller_number_type: str
    caller_email: str
    caller_name: str
    start_time: str
    answer_time: str
    end_time: str
    result: str
    result_reason: str
    talk_time: int
    wait_time: int
    operator_ext_type: str
    operator_name: str
    duration: int
    client_code: str
    recording_id: str
    voicemail_id: str
    has_voicemail: bool


class VoicemailTranscription(TypedDict, total=False):
    """The text of a voicemail."""

    content: str


class VoicemailData(TypedDict, total=False):
    """The object of a message about a voicemail; caller and callee as in `RecordData`."""

    call_id: str
    date_time: str
    download_url: str
    duration: int
    transcription: VoicemailTranscription


class RecordingData(TypedDict, total=False):
    """A recording; caller and callee as in `RecordData`."""

    id: str
    call_id: str
    direction: str
    date_time: str
    end_time: str
    download_url: str
    duration: int


class ListsData(TypedDict, total=False):
    """The object of a message with records or recordings."""

    call_elements: list[RecordData]
    call_logs: list[RecordData]
    recordings: list[RecordingData]


class MessagePayload(TypedDict, total=False):
    """What a message is about."""

    object: LiveData | ListsData | VoicemailData


class Message(TypedDict, total=False):
    """A message; `event_ts` is in milliseconds since 1970 (UTC)."""

    event: str
    event_ts: int
    payload: MessagePayload


def event_name(fields: Fields) -> str:
    """
    The name of the event.

    Raises `IgnoredEvent` for an event that is not wanted, `MalformedPayload` if the name is
    missing.
    """
    name = fields.get("event")
    if not isinstance(name, str) or not name:
        raise MalformedPayload("event is missing or no text")
    if not name.startswith(PHONE_PREFIX):
        raise IgnoredEvent("about something else than Zoom Phone")
    if name.startswith(OTHER_PREFIXES):
        raise IgnoredEvent("about something else than a call")
    if name in IGNORED:
        raise IgnoredEvent(
            "a step of a call that does not say how it ends, or what only Zoom's API could tell"
        )
    return name


def event_object(fields: Fields) -> Fields:
    """The object that a message is about."""
    return child(fields, "payload", "object")


def source_call_id(fields: Fields) -> str:
    """
    The id of the call that a message is about: the first one where records name several.

    Raises as `event_name` does, and `MalformedPayload` without an id.
    """
    event_name(fields)
    return named_call_id(event_object(fields))


def named_call_id(data: Fields) -> str:
    """That of the object of an event; raises `MalformedPayload` without an id."""
    first_id = text(data, "call_id")
    if first_id is None:
        first_id = next((value for value in _listed_ids(data) if value is not None), None)
    return call_id(first_id, name="call_id")


def records_of_call(data: Fields, list_name: str, source_call_id: str) -> list[Fields]:
    """The records in a list that name this call or none; raises `MalformedPayload` without any."""
    records = [
        record
        for record in children(data, list_name)
        if text(record, "call_id") in {None, source_call_id}
    ]
    if not records:
        raise MalformedPayload(f"{list_name} holds no record of the call")
    return records


def has_records_of_other_calls(data: Fields, source_call_id: str) -> bool:
    """Whether a message has records of other calls too."""
    return not set(_listed_ids(data)) <= {None, source_call_id}


def _listed_ids(data: Fields) -> list[str | None]:
    return [text(record, "call_id") for list_name in LISTS for record in children(data, list_name)]
