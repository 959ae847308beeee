"""
What the requests of a `<Dial>` at Plivo report, of the leg that dialled and of the dialled one:
https://www.plivo.com/docs/voice/xml/dial.
"""

from typing import Final

from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType, HangupCause
from service.sources.base import MAX_WORD_LENGTH
from service.sources.common.fields import seconds
from service.sources.common.ids import call_id
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.plivo.addresses import endpoint_user
from service.sources.plivo.hangup_causes import ENDS_TALK, STATUS_CAUSES, read_cause
from service.sources.plivo.payload import Parameters
from service.sources.plivo.vocabulary import DIAL_ACTIONS

# `vendor_status` of what a request says of the leg that dialled.
DIALLING: Final = "Dial"


def dialling_leg_events(common: CallEvent) -> list[CallEvent]:
    """
    The direction and the addresses of the leg that dialled, which the requests of a `<Dial>` hold
    beside what they report of the dialled leg; nothing where they hold none of them.
    """
    if common.direction or common.from_number or common.to_number:
        return [replace(common, vendor_status=DIALLING)]
    return []


def dialled_leg(common: CallEvent, parameters: Parameters) -> CallEvent:
    """The dialled leg, which only the `DialBLeg` parameters are about."""
    leg_id = f"{common.source_call_id}:dial"
    if "DialBLegUUID" in parameters:
        leg_id = call_id(parameters["DialBLegUUID"], name="DialBLegUUID")
    to_address = parameters.get("DialBLegTo")
    return replace(
        common,
        leg_id=leg_id,
        parent_leg_id=common.source_call_id,
        direction=Direction.OUTBOUND,
        from_number=bare_to_e164(parameters.get("DialBLegFrom")),
        to_number=bare_to_e164(to_address),
        agent=endpoint_user(to_address),
        is_forwarded=None,
    )


def dial_action_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """What a request of `<Dial callbackUrl>` reports of the dialled leg."""
    action = parameters["DialAction"]
    event = replace(leg, event_type=DIAL_ACTIONS[action], vendor_status=action)
    if event.event_type is not EventType.ENDED:
        return [event]
    code = parameters.get("DialBLegHangupCauseCode")
    duration_s = seconds(parameters.get("DialBLegDuration"))
    status_cause = None
    if code in ENDS_TALK:
        # Normal clearing of a telephone that was never picked up: the caller hung up while it rang.
        status_cause = HangupCause.CANCELLED
    elif duration_s is not None:
        status_cause = HangupCause.COMPLETED
    return [
        replace(
            event,
            hangup_cause=read_cause(code, status_cause, is_answered=duration_s != 0),
            duration_s=duration_s,
            vendor_status=(code or action)[:MAX_WORD_LENGTH],
        )
    ]


def dial_status_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """How the dialled leg ended, from the request to the `action` of a `<Dial>`."""
    status = parameters["DialStatus"]
    return [
        replace(
            leg,
            event_type=EventType.ENDED,
            vendor_status=status,
            hangup_cause=STATUS_CAUSES[status],
        )
    ]
