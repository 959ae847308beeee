"""
From the payload of one RingCentral message to one event for each party of the session that changed.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import unknown_event
from service.sources.common.fields import Fields, child, children, flag, iso_moment, text
from service.sources.common.ids import call_id
from service.sources.common.phone_numbers import to_e164
from service.sources.ringcentral.parties import Member, Role
from service.sources.ringcentral.payload import (
    event_path,
    is_about_session,
    origin_type,
    read_members,
    session_id,
)
from service.sources.ringcentral.vocabulary import (
    ANSWERED_ELSEWHERE,
    ANSWERERS,
    CODES,
    GONE,
    ORIGINS,
    REASONS,
    TRANSFERS,
    find,
)

# On an inbound call the caller's own party is answered by the exchange, so that its leg is not the
# customer's talk.
LEG_PARTIES: Final[Mapping[Role, Party | None]] = {
    Role.TALK: Party.CUSTOMER,
    Role.LINE: None,
    Role.AGENT: Party.AGENT,
}


def message_events(fields: Fields, message_id: str) -> list[CallEvent]:
    """
    The events of a message: those of each party in order, and one of type `UNKNOWN` for each value
    that no table knows.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    members = read_members(fields)
    body = child(fields, "body")
    common = _common(fields, message_id)
    path = event_path(fields)
    if path is not None and not is_about_session(path):
        return [unknown_event(common, _without_ids(path))]
    if not children(body, "parties"):
        raise MalformedPayload("parties is empty or missing: nobody of the session changed")
    events = [event for party, member in members for event in _party_events(common, party, member)]
    origin = origin_type(body)
    if origin is None or origin in ORIGINS:
        return events
    return [*events, unknown_event(replace(common, leg_id=events[0].leg_id), origin)]


def _common(fields: Fields, message_id: str) -> CallEvent:
    """What every event of a message holds."""
    body = child(fields, "body")
    source_call_id = session_id(body)
    return CallEvent(
        source="ringcentral",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=source_call_id,
        event_type=EventType.UPDATED,
        occurred_at=iso_moment(text(body, "eventTime") or text(fields, "timestamp")),
        sequence=_sequence(body),
    )


def _sequence(body: Fields) -> int | None:
    sequence = body.get("sequence")
    if isinstance(sequence, int) and not isinstance(sequence, bool):
        return sequence
    return None


def _without_ids(path: str) -> str:
    return "/".join(part for part in path.split("/") if not part.isdigit())


def _party_events(common: CallEvent, party: Fields, member: Member | None) -> list[CallEvent]:
    """The event of one party, and one of type `UNKNOWN` for what of it no table knows."""
    from_number = to_e164(text(child(party, "from"), "phoneNumber"))
    to_number = to_e164(text(child(party, "to"), "phoneNumber"))
    leg_id = _leg_id(common, party, member)
    recording = _recording(party)
    if member is None:
        event = replace(
            common,
            leg_id=leg_id,
            from_number=from_number,
            to_number=to_number,
            recording=recording,
        )
        return [unknown_event(event, text(party, "direction") or "")]
    event = replace(
        common,
        leg_id=leg_id,
        from_number=from_number,
        to_number=to_number,
        recording=recording,
        direction=member.direction,
        party=LEG_PARTIES[member.role],
        agent=member.agent,
        queue=_queue(party, member),
    )
    return _status_events(event, member, child(party, "status"))


def _status_events(event: CallEvent, member: Member, status: Fields) -> list[CallEvent]:
    """The event of a party's code and of the reason for it, and what of both no table knows."""
    code = text(status, "code") or ""
    state = find(code, CODES)
    if state is None:
        return [unknown_event(event, code)]
    code_name, event_type = state
    reason = text(status, "reason")
    known_reason = find(reason, REASONS)
    event = replace(
        event,
        event_type=event_type,
        answered_by=_answered_by(code_name, member),
        vendor_status=(known_reason or state)[0],
    )
    unknown_events = []
    if reason is not None and known_reason is None:
        unknown_events = [unknown_event(event, reason)]
    if event_type is not EventType.ENDED:
        return [event, *unknown_events]
    # A party that left for an unknown reason may or may not have ended the call.
    if unknown_events and code_name != GONE:
        return unknown_events
    cause: HangupCause | None = HangupCause.HUNG_UP
    if code_name == GONE:
        cause = None
    elif known_reason is not None:
        cause = known_reason[1]
    return [_end_event(event, member, cause), *unknown_events]


def _queue(party: Fields, member: Member) -> str | None:
    """
    The name of the queue that a caller called, where it is another party's than this one: whether
    a party that names itself is the queue's or that of a member of it is not known.
    """
    if flag(party, "queueCall") is not True:
        return None
    called = child(party, "to")
    if text(called, "extensionId") in {None, member.agent}:
        return None
    return text(called, "name")


def _leg_id(common: CallEvent, party: Fields, member: Member | None) -> str:
    """
    The id of the leg that a party is about: the call's, or an agent's own.

    Raises `MalformedPayload` for one that is not printable.
    """
    if member is not None and member.role is not Role.AGENT:
        return common.source_call_id
    extension_id = text(party, "extensionId") or "outside"
    party_id = text(party, "id") or f"{common.source_call_id}:{extension_id}"
    return call_id(party_id, name="parties.id")


def _answered_by(code_name: str, member: Member) -> AnsweredBy | None:
    answered_by = ANSWERERS.get(code_name)
    is_ours = member.role is Role.AGENT and member.agent is not None
    # RingCentral cannot know who picked up a telephone outside.
    if answered_by is AnsweredBy.HUMAN and not is_ours:
        return None
    return answered_by


def _end_event(event: CallEvent, member: Member, cause: HangupCause | None) -> CallEvent:
    """
    The end of a party's part in the call; without a cause the party left, and the call goes on.

    An agent that left ends the agent's leg, and not the customer's line. A rep that left the talk
    by a transfer ends it as far as it is known, since the parties it goes on with may not be
    reported; without a cause that end counts only if the customer had answered. A line that ends
    had been picked up by the exchange. A party that missed the call has `missedCall` beside its
    end.
    """
    if cause is None:
        return _left_event(event, member)
    # `Cancelled` of a line or an agent says no more than that its part is over.
    is_vague = cause is HangupCause.HUNG_UP or (
        cause is HangupCause.CANCELLED and member.role is not Role.TALK
    )
    if is_vague and member.role is Role.LINE:
        cause = HangupCause.COMPLETED
    elif is_vague and flag(member.fields, "missedCall"):
        cause = HangupCause.NO_ANSWER
    elif is_vague:
        cause = HangupCause.HUNG_UP
    return replace(event, hangup_cause=cause)


def _left_event(event: CallEvent, member: Member) -> CallEvent:
    """That a party left; `vendor_status` is the reason."""
    if event.vendor_status in TRANSFERS:
        event = replace(event, is_transferred=True)
    if member.role is Role.AGENT and event.vendor_status in ANSWERED_ELSEWHERE:
        event = replace(event, is_answered_elsewhere=True)
    if member.role is Role.AGENT or (member.role is Role.TALK and event.is_transferred):
        return event
    return replace(event, event_type=EventType.UPDATED)


def _recording(party: Fields) -> Recording | None:
    """The id of the last recording: its URL would need an access token of RingCentral's API."""
    ids = (text(recording, "id") for recording in reversed(children(party, "recordings")))
    last_id = next((recording_id for recording_id in ids if recording_id is not None), None)
    if last_id is None:
        return None
    return Recording(last_id)
