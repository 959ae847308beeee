"""
Which leg a webhook of Bandwidth is about, and whose numbers it holds.
"""

from datetime import datetime

from msgspec.structs import replace

from service.events import CallEvent, EventType, Party
from service.sources.bandwidth.payload import event_type, leg_id, source_call_id
from service.sources.bandwidth.vocabulary import DIRECTIONS, MEMBER_EVENTS
from service.sources.base import MAX_WORD_LENGTH
from service.sources.common.fields import Fields, iso_moment, text
from service.sources.common.ids import echoed_id
from service.sources.common.phone_numbers import to_e164


def common_event(fields: Fields, message_id: str) -> tuple[CallEvent, str | None]:
    """
    What every event of the webhook shares, and what is wrong with the echoed id or None.

    Raises `MalformedPayload` without ids.
    """
    first_leg_id = source_call_id(fields)
    event_leg_id = leg_id(fields)
    name = event_type(fields)
    buildr_call_id = None
    id_fault = None
    # The tag in a conference's webhooks is that of the call which created the conference.
    if name not in MEMBER_EVENTS:
        buildr_call_id, id_fault = echoed_id(text(fields, "tag"))
    event = CallEvent(
        source="bandwidth",
        message_id=message_id,
        source_call_id=first_leg_id,
        leg_id=event_leg_id,
        event_type=EventType.UPDATED,
        occurred_at=moment(fields, "eventTime"),
        direction=DIRECTIONS.get(text(fields, "direction") or ""),
        from_number=to_e164(text(fields, "from")),
        to_number=to_e164(text(fields, "to")),
        buildr_call_id=buildr_call_id,
        vendor_status=name[:MAX_WORD_LENGTH],
    )
    if event_leg_id == first_leg_id:
        return event, id_fault
    if name in MEMBER_EVENTS:
        # The conference is named after the customer's call, so that its other members are ours.
        return replace(event, parent_leg_id=first_leg_id, party=Party.AGENT), id_fault
    return transferred_leg(event, fields), id_fault


def first_leg_events(leg: CallEvent, fields: Fields) -> list[CallEvent]:
    """
    The first leg's numbers, which the webhooks of a transferred leg hold as `from` and `to`:
    https://dev.bandwidth.com/docs/voice/webhooks/transferDisconnect. Its direction is not in them.
    """
    if leg.parent_leg_id is None:
        return []
    return [
        replace(
            leg,
            leg_id=leg.parent_leg_id,
            parent_leg_id=None,
            occurred_at=None,
            from_number=to_e164(text(fields, "from")),
            to_number=to_e164(text(fields, "to")),
        )
    ]


def moment(fields: Fields, name: str) -> datetime | None:
    """A time (UTC) in a field; None if there is none."""
    return iso_moment(text(fields, name))


def transferred_leg(event: CallEvent, fields: Fields) -> CallEvent:
    """
    `event` with the numbers of the leg that a transfer made.

    Such a leg always goes outwards, to an agent as to a customer: its direction is not the call's.
    """
    return replace(
        event,
        parent_leg_id=event.source_call_id,
        direction=None,
        from_number=to_e164(text(fields, "transferCallerId")),
        to_number=to_e164(text(fields, "transferTo")),
    )
