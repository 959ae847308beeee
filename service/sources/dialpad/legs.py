"""
What a leg of a Dialpad call is: whose telephone, in which group's queue, and whether a person
picked it up.
"""

from datetime import datetime

from service.events import CallEvent, Direction, EventType, Party
from service.sources.common.fields import Fields, child, flag, text
from service.sources.common.leg_events import from_and_to
from service.sources.common.phone_numbers import to_e164
from service.sources.dialpad.payload import (
    is_received_by_transfer,
    leg_and_call_id,
    our_number,
    target_type,
    text_id,
    time_at,
)
from service.sources.dialpad.vocabulary import DIRECTIONS, TARGET_TYPES


def leg_event(fields: Fields, message_id: str, *, buildr_call_id: str | None) -> CallEvent:
    """
    What every event of a message holds.

    The leg at which the call came in, or went out, is the customer's; those that it was passed on
    to are agents'. Raises `IgnoredEvent` and `MalformedPayload`.
    """
    leg_id, source_call_id = leg_and_call_id(fields)
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    from_number, to_number = from_and_to(
        direction, customer=to_e164(text(fields, "external_number")), ours=our_number(fields)
    )
    parent_leg_id = None
    party = Party.CUSTOMER
    if leg_id != source_call_id:
        parent_leg_id = source_call_id
        if not _is_reps_leg(direction, fields):
            party = Party.AGENT
    return CallEvent(
        source="dialpad",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=parent_leg_id,
        occurred_at=time_at(fields, "event_timestamp"),
        direction=direction,
        party=party,
        from_number=from_number,
        to_number=to_number,
        agent=_agent(fields),
        queue=_queue(direction, fields),
        is_transferred=_is_transferred_by_person(fields),
        buildr_call_id=buildr_call_id,
    )


def is_talk(direction: Direction | None, fields: Fields) -> bool:
    """
    Whether a leg that was picked up was picked up by a person: a call centre may only have put the
    caller into its queue.
    """
    if direction is Direction.OUTBOUND or has_operator(fields):
        return True
    kind = target_type(fields)
    return kind is None or TARGET_TYPES.get(kind, False)


def is_waiting(fields: Fields, *, is_picked_up: bool) -> bool:
    """Whether the caller of an ended leg was still in the queue of a group."""
    is_queued = is_picked_up or time_at(fields, "date_queued") is not None
    return is_queued and not is_persons(fields) and not has_operator(fields)


def answered_at(fields: Fields) -> datetime | None:
    """
    When the leg was answered (UTC). None if it was not, and for a group's leg that was picked up
    before its caller was queued: that was the queue, and when the agent did is not known.
    """
    connected_at = time_at(fields, "date_connected")
    queued_at = time_at(fields, "date_queued")
    if connected_at is None or queued_at is None or is_persons(fields):
        return connected_at
    if connected_at <= queued_at:
        return None
    return connected_at


def has_operator(fields: Fields) -> bool:
    """Whether an agent was found for a caller in a group's queue."""
    return text_id(fields, "operator_call_id") is not None


def is_persons(fields: Fields, field_name: str = "target") -> bool:
    """Whether the leg, or another target in the message, is a person's telephone."""
    return TARGET_TYPES.get(target_type(fields, field_name) or "", False)


def _is_reps_leg(direction: Direction | None, fields: Fields) -> bool:
    """
    Whether the leg is that of the person who makes a group's outbound call: it takes the same
    course as the group's own, which only a subscription to the group reports.
    """
    is_external = flag(fields, "is_internal") is not True and not is_received_by_transfer(fields)
    return direction is Direction.OUTBOUND and is_persons(fields) and is_external


def _agent(fields: Fields) -> str | None:
    """Email or name of the person whose telephone the leg is; None for a group."""
    if not is_persons(fields):
        return None
    return text(child(fields, "target"), "email", "name")


def _queue(direction: Direction | None, fields: Fields) -> str | None:
    """The name of the group that an inbound call came in at, or is at."""
    if direction is not Direction.INBOUND:
        return None
    for field_name in ("target", "entry_point_target"):
        if TARGET_TYPES.get(target_type(fields, field_name) or "") is False:
            return text(child(fields, field_name), "name")
    return None


def _is_transferred_by_person(fields: Fields) -> bool | None:
    """
    True where a person passed the call on, before or at the end of this leg; else None: Dialpad
    writes the same of a main line whose menu passes a caller on.
    """
    if flag(fields, "is_transferred") is not True:
        return None
    field_name = "target"
    if is_received_by_transfer(fields):
        field_name = "transferred_from"
    if is_persons(fields, field_name) or (field_name == "target" and has_operator(fields)):
        return True
    return None
