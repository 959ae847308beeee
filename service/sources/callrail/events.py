"""
What CallRail's messages report of a call, as events.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import unknown_event
from service.sources.callrail.payload import message_kind, read_flag, source_call_id
from service.sources.callrail.vocabulary import ABANDONED, DIRECTIONS, FLAGS, KINDS
from service.sources.common.fields import Fields, iso_moment, seconds, text, texts
from service.sources.common.ids import noted_ids
from service.sources.common.leg_events import end_time, from_and_to, unrecognised
from service.sources.common.phone_numbers import to_e164
from service.sources.request import WebhookRequest

TIME_FIELDS: Final = ("start_time", "timestamp", "datetime")


def read_events(request: WebhookRequest, fields: Fields, message_id: str) -> list[CallEvent]:
    """
    The event of a message; what in it is not understood becomes events of type `UNKNOWN` at the
    end. Raises `MalformedPayload` and `IgnoredEvent`.
    """
    common = _common(fields, message_id)
    kind_name, unknown_kind = message_kind(request, fields)
    direction = text(fields, "direction")
    faults = unrecognised(
        [(unknown_kind, ()), (direction, DIRECTIONS), (text(fields, "answered"), FLAGS)]
    )
    unknown = [unknown_event(common, fault) for fault in faults]
    if kind_name is None or (direction is not None and common.direction is None):
        return unknown
    kind = KINDS[kind_name]
    event = replace(common, sequence=kind.sequence, vendor_status=kind_name)
    if kind.is_over:
        return [_ended(event, fields), *unknown]
    return [replace(event, event_type=EventType.RINGING), *unknown]


def _common(fields: Fields, message_id: str) -> CallEvent:
    call_id = source_call_id(fields)
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    customer = to_e164(text(fields, "customer_phone_number", "customer_number", "callernum"))
    tracking = to_e164(text(fields, "tracking_phone_number", "trackingnum"))
    # Without a direction nothing is decided; the numbers are kept as those of an inbound call.
    from_number, to_number = from_and_to(
        direction or Direction.INBOUND, customer=customer, ours=tracking
    )
    note = text(fields, "note")
    return CallEvent(
        source="callrail",
        message_id=message_id,
        source_call_id=call_id,
        leg_id=call_id,
        event_type=EventType.UPDATED,
        occurred_at=_started_at(fields),
        direction=direction,
        # A message is about the call as a whole, and its flags about the person at the other
        # company.
        party=Party.CUSTOMER,
        from_number=from_number,
        to_number=to_number,
        disposition=text(fields, "lead_status"),
        tags=_tags(fields),
        note=note,
        buildr_call_id=next(iter(noted_ids(note)), None),
    )


def _ended(event: CallEvent, fields: Fields) -> CallEvent:
    result = _result(event.direction, fields)
    if result is None:
        return event
    duration_s = seconds(text(fields, "duration"))
    hangup_cause = HangupCause.NO_ANSWER
    talk_s: int | None = 0
    wait_s = None
    if result is Result.CONNECTED:
        hangup_cause = HangupCause.COMPLETED
        talk_s = duration_s
    elif result in {Result.MISSED_INBOUND, Result.ABANDONED}:
        # All of the time of a caller whom nobody took was waiting.
        wait_s = duration_s
    return replace(
        event,
        event_type=EventType.ENDED,
        occurred_at=end_time(event.occurred_at, duration_s),
        result=result,
        hangup_cause=hangup_cause,
        duration_s=talk_s,
        wait_s=wait_s,
        recording=_recording(result, fields),
        voicemail=_voicemail(result, fields),
        agent=_agent(event.direction, result, fields),
    )


def _agent(direction: Direction | None, result: Result, fields: Fields) -> str | None:
    """Who talked, or made the call; of one that nobody took the field does not say who was rung."""
    if result is Result.CONNECTED or direction is Direction.OUTBOUND:
        return text(fields, "agent_email")
    return None


def _recording(result: Result, fields: Fields) -> Recording | None:
    url = text(fields, "recording", "recording_redirect")
    if url is None or result is Result.VOICEMAIL_RECEIVED:
        return None
    return Recording(None, url, seconds(text(fields, "recording_duration")))


def _voicemail(result: Result, fields: Fields) -> Voicemail | None:
    if result is not Result.VOICEMAIL_RECEIVED:
        return None
    return Voicemail(
        text(fields, "recording", "recording_redirect"),
        seconds(text(fields, "recording_duration")),
        text(fields, "transcription"),
    )


def _result(direction: Direction | None, fields: Fields) -> Result | None:
    """How the call ended, by its flags; None if they do not tell."""
    # Where CallRail's own voicemail picked up, some flows count the call as answered too.
    if direction is not Direction.OUTBOUND and read_flag(fields, "voicemail"):
        return Result.VOICEMAIL_RECEIVED
    is_answered = read_flag(fields, "answered")
    if is_answered is None or direction is None:
        return None
    if is_answered:
        return Result.CONNECTED
    if direction is Direction.OUTBOUND:
        return Result.NO_ANSWER
    if not ABANDONED.isdisjoint((text(fields, "call_type"), text(fields, "formatted_duration"))):
        return Result.ABANDONED
    return Result.MISSED_INBOUND


def _tags(fields: Fields) -> tuple[str, ...]:
    if not isinstance(fields.get("tags"), list):
        return ()
    return texts(fields, "tags")


def _started_at(fields: Fields) -> datetime | None:
    times = (iso_moment(text(fields, name)) for name in TIME_FIELDS)
    return next((started_at for started_at in times if started_at is not None), None)
