"""
What a message of the source `standard` reports, as an event.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.common.ids import call_id
from service.sources.common.phone_numbers import to_e164
from service.sources.standard.payload import (
    StandardMessage,
    StandardRecording,
    StandardVoicemail,
)
from service.sources.standard.vocabulary import EVENT_TYPES, KNOWN_VALUES

E = TypeVar("E", bound=StrEnum)


def read_event(message: StandardMessage, message_id: str) -> CallEvent:
    """
    The event of a message; one of type `UNKNOWN` where a vocabulary does not know a value. Raises
    `MalformedPayload` for an id that is not printable or a time outside the calendar.
    """
    event = _common(message, message_id)
    unknown_value = _unknown_value(message)
    if unknown_value is not None:
        return replace(event, vendor_status=unknown_value)
    return replace(
        event,
        event_type=EVENT_TYPES[message.type],
        vendor_status=message.type,
        answered_by=_member(AnsweredBy, message.answered_by),
        hangup_cause=_member(HangupCause, message.hangup_cause),
        result=_member(Result, message.result),
    )


def _member(vocabulary: type[E], value: str | None) -> E | None:
    if value is None:
        return None
    return vocabulary(value)


def _common(message: StandardMessage, message_id: str) -> CallEvent:
    return CallEvent(
        source="standard",
        message_id=message_id,
        source_call_id=call_id(message.call_id, name="call_id"),
        leg_id=call_id(message.leg_id or message.call_id, name="leg_id"),
        event_type=EventType.UNKNOWN,
        parent_leg_id=message.parent_leg_id,
        occurred_at=_utc(message.occurred_at),
        sequence=message.sequence,
        direction=message.direction,
        party=_party(message),
        from_number=to_e164(message.from_),
        to_number=to_e164(message.to),
        duration_s=message.duration_s,
        recording=_recording(message.recording),
        voicemail=_voicemail(message.voicemail),
        wait_s=message.wait_s,
        queue=message.queue,
        team=message.team,
        hung_up_by=message.hung_up_by,
        is_transferred=message.is_transferred,
        is_forwarded=message.is_forwarded,
        is_answered_elsewhere=message.is_answered_elsewhere,
        agent=message.agent,
        disposition=message.disposition,
        tags=message.tags,
        note=message.note,
        buildr_call_id=message.buildr_call_id,
    )


def _unknown_value(message: StandardMessage) -> str | None:
    """The first value of a vocabulary that is not known; None if all are."""
    for field_name, known_values in KNOWN_VALUES.items():
        value: str | None = getattr(message, field_name)
        if value is not None and value not in known_values:
            return value
    return None


def _party(message: StandardMessage) -> Party | None:
    # A sender that does not tell legs apart reports the leg of the customer.
    if message.party is None and message.leg_id is None:
        return Party.CUSTOMER
    return message.party


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError as err:
        raise MalformedPayload("occurred_at: the time lies outside the calendar") from err


def _recording(part: StandardRecording | None) -> Recording | None:
    if part is None:
        return None
    return Recording(part.id, part.url, part.duration_s)


def _voicemail(part: StandardVoicemail | None) -> Voicemail | None:
    if part is None:
        return None
    return Voicemail(part.url, part.duration_s, part.transcript)
