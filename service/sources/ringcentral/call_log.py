"""
A record of RingCentral's call log, which a back-fill stores, as events.

https://developers.ringcentral.com/guide/voice/call-log/api. A record states the result of the whole
call; what may also be a menu or a queue that picked up is taken for a talk only if a leg of one of
our extensions says so. Not tried on an account: which result a caller has who hangs up in a menu.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import MAX_WORD_LENGTH
from service.sources.common.fields import (
    Fields,
    child,
    children,
    flag,
    iso_moment,
    text,
    whole_seconds,
)
from service.sources.common.ids import call_id
from service.sources.common.json_body import JsonValue
from service.sources.common.leg_events import end_time
from service.sources.common.phone_numbers import to_e164
from service.sources.ringcentral.vocabulary import DIRECTIONS, find

# The field of a stored message that holds the record; no notification has it.
CALL_LOG_FIELD: Final = "callLogRecord"
IN_PROGRESS: Final = "In Progress"
CONNECTED: Final = frozenset({"Accepted", "Call connected", "Answered Elsewhere"})
VOICEMAIL: Final = frozenset({"Voicemail", "Sent to Voicemail"})
# `result` of a record, by direction; any other states nothing.
INBOUND_RESULTS: Final[Mapping[str, Result]] = {
    "Missed": Result.MISSED_INBOUND,
    "No Answer": Result.MISSED_INBOUND,
    "Busy": Result.MISSED_INBOUND,
    "Rejected": Result.MISSED_INBOUND,
    "Declined": Result.MISSED_INBOUND,
    "Abandoned": Result.ABANDONED,
    "Hang Up": Result.ABANDONED,
}
OUTBOUND_RESULTS: Final[Mapping[str, Result]] = {
    "Accepted": Result.CONNECTED,
    "Call connected": Result.CONNECTED,
    "No Answer": Result.NO_ANSWER,
    "Missed": Result.NO_ANSWER,
    "Busy": Result.BUSY,
    "Rejected": Result.REJECTED,
    "Declined": Result.REJECTED,
    "Hang Up": Result.CANCELLED,
    "Abandoned": Result.CANCELLED,
    "Wrong Number": Result.INVALID_NUMBER,
    "Call Failed": Result.FAILED,
    "Call Failure": Result.FAILED,
    "Internal Error": Result.FAILED,
    "IP Phone Offline": Result.FAILED,
    "Restricted Number": Result.FAILED,
    "International Disabled": Result.FAILED,
    "International Restricted": Result.FAILED,
    "No Calling Credit": Result.FAILED,
}
RECORD_FIELDS: Final = (
    "id",
    "telephonySessionId",
    "startTime",
    "duration",
    "direction",
    "result",
    "from",
    "to",
    "message",
)
LEG_FIELDS: Final = ("direction", "result", "message")


def logged_record(fields: Fields) -> Fields:
    """The record in a stored message; empty if it holds none."""
    return child(fields, CALL_LOG_FIELD)


def slim_record(record: Fields) -> dict[str, JsonValue]:
    """A record with only those fields that are read here."""
    legs: list[JsonValue] = []
    for leg in children(record, "legs"):
        slim_leg = _chosen(leg, LEG_FIELDS)
        slim_leg["extension"] = {"id": text(child(leg, "extension"), "id")}
        legs.append(slim_leg)
    slim = _chosen(record, RECORD_FIELDS)
    slim["legs"] = legs
    recording_id = text(child(record, "recording"), "id")
    if recording_id is not None:
        slim["recording"] = {"id": recording_id}
    return slim


def record_start(record: Fields) -> datetime | None:
    """When the call began (UTC)."""
    return iso_moment(text(record, "startTime"))


def record_end(record: Fields) -> datetime | None:
    """When the call ended (UTC), as far as its duration shows it."""
    started_at = record_start(record)
    duration_s = whole_seconds(record, "duration")
    if duration_s is None:
        return None
    return end_time(started_at, duration_s)


def goes_on(record: Fields) -> bool:
    """Whether the call is not over."""
    return text(record, "result") == IN_PROGRESS or flag(record, "finished") is False


def is_internal_record(record: Fields) -> bool:
    """Whether both ends are extensions of ours."""
    other_end = "from"
    if _direction(record) is Direction.OUTBOUND:
        other_end = "to"
    return text(child(record, other_end), "extensionId", "extensionNumber") is not None


def logged_result(record: Fields) -> Result | None:
    """How the call ended; None where the record does not show it."""
    direction = _direction(record)
    result = text(record, "result") or ""
    if direction is Direction.OUTBOUND:
        return OUTBOUND_RESULTS.get(result)
    if direction is None:
        return None
    if result in CONNECTED and _agents(record):
        return Result.CONNECTED
    if result in VOICEMAIL and _has_message(record):
        return Result.VOICEMAIL_RECEIVED
    return INBOUND_RESULTS.get(result)


def record_events(record: Fields, message_id: str) -> list[CallEvent]:
    """
    Beginning and end of a call; without a result the end is only that something is known of it.

    Raises `MalformedPayload` for a record without the id of its session.
    """
    session_id = call_id(text(record, "telephonySessionId"), name="telephonySessionId")
    result = logged_result(record)
    common = CallEvent(
        source="ringcentral",
        message_id=message_id,
        source_call_id=session_id,
        leg_id=session_id,
        event_type=EventType.CREATED,
        occurred_at=record_start(record),
        direction=_direction(record),
        party=Party.CUSTOMER,
        from_number=to_e164(text(child(record, "from"), "phoneNumber")),
        to_number=to_e164(text(child(record, "to"), "phoneNumber")),
    )
    event = replace(
        common,
        event_type=EventType.UPDATED,
        occurred_at=record_end(record),
        vendor_status=(text(record, "result") or "")[:MAX_WORD_LENGTH],
        recording=_recording(record),
    )
    if result is None:
        return [common, event]
    # The duration of a record counts the time before the talk too.
    duration_s: int | None = 0
    agent = None
    if result is Result.CONNECTED:
        duration_s = None
        agent = next(iter(_agents(record)), None)
    end = replace(
        event, event_type=EventType.ENDED, result=result, duration_s=duration_s, agent=agent
    )
    if result is not Result.VOICEMAIL_RECEIVED:
        return [common, end]
    return [common, replace(event, event_type=EventType.VOICEMAIL, voicemail=Voicemail()), end]


def _agents(record: Fields) -> list[str]:
    """The extensions of ours whose legs were answered, or that called."""
    if _direction(record) is Direction.OUTBOUND:
        ids = [text(child(record, "from"), "extensionId")]
    else:
        answered = [leg for leg in children(record, "legs") if text(leg, "result") in CONNECTED]
        ids = [text(child(leg, "extension"), "id") for leg in answered]
    return [extension_id for extension_id in ids if extension_id is not None]


def _has_message(record: Fields) -> bool:
    holders: Iterable[Fields] = (record, *children(record, "legs"))
    return any(text(child(holder, "message"), "id") is not None for holder in holders)


def _recording(record: Fields) -> Recording | None:
    recording_id = text(child(record, "recording"), "id")
    if recording_id is None:
        return None
    return Recording(recording_id)


def _direction(record: Fields) -> Direction | None:
    entry = find(text(record, "direction"), DIRECTIONS)
    if entry is None:
        return None
    return entry[1]


def _chosen(fields: Fields, names: Iterable[str]) -> dict[str, JsonValue]:
    return {name: fields[name] for name in names if fields.get(name) is not None}
