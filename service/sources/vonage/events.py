"""
What Vonage's event webhooks report of a leg, as events.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import unknown_event
from service.sources.common.fields import Fields, iso_moment, text, whole_seconds
from service.sources.common.ids import call_id
from service.sources.common.leg_events import recording_event, seconds_between, unrecognised
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.vonage.payload import is_recording, leg_id, source_call_id
from service.sources.vonage.vocabulary import (
    COMPLETED,
    DETAILS,
    DIRECTIONS,
    KNOWN_VALUES,
    RECORD,
    STATUSES,
    TRANSFER,
    USER,
    VOICEMAIL,
)

CLIENT: Final = "client:"
NUMBER_SIGNS: Final = frozenset("+0123456789-. ()")


def read_events(
    fields: Fields, message_id: str, *, record_kinds: Collection[str]
) -> list[CallEvent]:
    """
    The events of a webhook; what in it is not understood becomes events of type `UNKNOWN` at the
    end.

    `record_kinds` are the values of `record` in the URL. Raises `MalformedPayload` for a webhook
    that is not about a call, or has no ids.
    """
    if is_recording(fields):
        return _recording_events(_recording_leg(fields, message_id), fields, record_kinds)
    leg = _leg(fields, message_id)
    faults = unrecognised((text(fields, name), KNOWN_VALUES[name]) for name in KNOWN_VALUES)
    unknown = [unknown_event(leg, fault) for fault in faults]
    status = text(fields, "status")
    if "conversation_uuid_to" in fields:
        return [_transfer_event(leg, fields), *unknown]
    if status is None:
        raise MalformedPayload(
            "neither status, recording nor transfer: no event of a call; "
            "is this address an answer URL?"
        )
    return [*_status_events(leg, fields, status), *unknown]


def _leg(fields: Fields, message_id: str) -> CallEvent:
    return _common(fields, message_id, leg_id=leg_id(fields))


def _recording_leg(fields: Fields, message_id: str) -> CallEvent:
    # A recording names no leg. It gets one of its own, the leg of the recorder: never the first
    # leg, nor the customer's.
    first_leg_id = source_call_id(fields)
    return _common(
        fields,
        message_id,
        leg_id=f"{first_leg_id}:{RECORD}",
        parent_leg_id=first_leg_id,
        party=Party.AGENT,
    )


def _common(
    fields: Fields,
    message_id: str,
    *,
    leg_id: str,
    parent_leg_id: str | None = None,
    party: Party | None = None,
) -> CallEvent:
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    calling_user = text(fields, "from_user")
    called_user = None
    if direction is not Direction.INBOUND:
        called_user = _client_user(text(fields, "to"))
    return CallEvent(
        source="vonage",
        message_id=message_id,
        source_call_id=source_call_id(fields),
        leg_id=leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_leg_id,
        party=party,
        occurred_at=iso_moment(text(fields, "timestamp")),
        direction=direction,
        from_number=_address(text(fields, "from"), calling_user),
        to_number=_address(text(fields, "to"), called_user),
        agent=calling_user or called_user,
    )


def _address(number: str | None, user: str | None) -> str | None:
    if user is not None:
        return f"{CLIENT}{user}"
    return bare_to_e164(number)


def _client_user(address: str | None) -> str | None:
    """
    The user of the Client SDK whom a leg calls: an address that is neither a number nor a URI is a
    user's name.
    """
    if address is None or ":" in address or "@" in address:
        return None
    if NUMBER_SIGNS.issuperset(address):
        return None
    return address


def _transfer_event(leg: CallEvent, fields: Fields) -> CallEvent:
    """
    The leg goes on in another conversation, whose id all its later events have: for this call it is
    in a conference, of which nothing more is known. An NCCO's `conversation` action moves legs too.
    """
    conversation_id = call_id(text(fields, "conversation_uuid_to"), name="conversation_uuid_to")
    return replace(
        leg,
        event_type=EventType.JOINED,
        conference_id=conversation_id,
        continues_as=conversation_id,
        vendor_status=TRANSFER,
    )


def _status_events(leg: CallEvent, fields: Fields, status: str) -> list[CallEvent]:
    if status not in STATUSES:
        return [unknown_event(leg, status)]
    spec = STATUSES[status]
    event = replace(
        leg,
        event_type=spec.event_type,
        sequence=spec.sequence,
        vendor_status=status,
        hangup_cause=spec.cause,
        answered_by=spec.answered_by,
    )
    if status == COMPLETED:
        return [_completed(event, fields)]
    detail = text(fields, "detail")
    if spec.event_type is not EventType.ENDED or detail is None:
        return [event]
    if detail not in DETAILS:
        return [event, unknown_event(leg, detail)]
    return [replace(event, hangup_cause=DETAILS[detail], vendor_status=f"{status} {detail}")]


def _completed(event: CallEvent, fields: Fields) -> CallEvent:
    duration_s = whole_seconds(fields, "duration")
    # Without talk it reports only that the leg is over: the failure beside it holds the cause, and
    # `answered` whether somebody picked up. A caller's leg that was not answered in this
    # conversation has come from another one, where it may have talked.
    hangup_cause = None
    if duration_s and event.direction is not Direction.INBOUND:
        hangup_cause = HangupCause.COMPLETED
    return replace(
        event,
        occurred_at=iso_moment(text(fields, "end_time")) or event.occurred_at,
        hangup_cause=hangup_cause,
        duration_s=duration_s,
        hung_up_by=_hung_up_by(event, fields),
    )


def _hung_up_by(event: CallEvent, fields: Fields) -> Party | None:
    """
    The customer, where a caller hung up. Whose the other legs are, a customer's or an agent's, a
    single message does not tell.
    """
    is_callers = event.direction is Direction.INBOUND and event.agent is None
    if is_callers and text(fields, "disconnected_by") == USER:
        return Party.CUSTOMER
    return None


def _recording_events(
    leg: CallEvent, fields: Fields, record_kinds: Collection[str]
) -> list[CallEvent]:
    started_at = iso_moment(text(fields, "start_time"))
    ended_at = iso_moment(text(fields, "end_time"))
    event = replace(leg, occurred_at=ended_at or leg.occurred_at, vendor_status=RECORD)
    recording = Recording(
        text(fields, "recording_uuid"),
        text(fields, "recording_url"),
        seconds_between(started_at, ended_at),
    )
    unknown_kinds = sorted(kind for kind in record_kinds if kind != VOICEMAIL)
    return [
        recording_event(event, recording, is_voicemail=VOICEMAIL in record_kinds),
        # The recorder's leg is over. While it was open, a fault that is reported of it would keep
        # the whole call open.
        replace(event, event_type=EventType.ENDED),
        *(unknown_event(leg, kind) for kind in unknown_kinds),
    ]
