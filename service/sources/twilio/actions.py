"""
The requests that ask what to do next with a call: how a `<Dial>` or an `<Enqueue>` ended.

https://www.twilio.com/docs/voice/twiml/dial#action and
https://www.twilio.com/docs/voice/twiml/enqueue#action. Addresses, time and number of such a request
are those of the caller's leg.
"""

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
)
from service.sources.base import unknown_event
from service.sources.common.fields import seconds
from service.sources.common.ids import call_id
from service.sources.twilio.payload import Parameters
from service.sources.twilio.vocabulary import (
    CALLER_HUNG_UP,
    HANGUP_CAUSES,
    NOT_BRIDGED,
    QUEUE_RESULTS,
    WAIT_IS_OVER,
)


def dial_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    """The end of the dialled leg, or that the caller's leg left a dialled conference."""
    status = parameters["DialCallStatus"]
    cause = HANGUP_CAUSES.get(status)
    dialled_id = parameters.get("DialCallSid")
    if dialled_id is None and cause is HangupCause.COMPLETED:
        return _conference_left(common, status)
    event = _other_leg(common, _dialled_leg_id(common, dialled_id))
    if cause is None:
        return unknown_event(event, status)
    return replace(
        event,
        event_type=EventType.ENDED,
        vendor_status=status,
        hangup_cause=cause,
        duration_s=seconds(parameters.get("DialCallDuration")),
        is_bridged=_is_bridged(cause, parameters),
    )


def _dialled_leg_id(common: CallEvent, dialled_id: str | None) -> str:
    if dialled_id is None:
        return f"{common.leg_id}:dial"
    return call_id(dialled_id, name="DialCallSid")


def _conference_left(common: CallEvent, status: str) -> CallEvent:
    """
    Only a dialled conference has no id of a leg: https://www.twilio.com/docs/voice/twiml/dial.

    That the caller was in it does not show that somebody else was. Its status callbacks do; the
    request does not name it, so that the leg has left one that no other leg is in.
    """
    return replace(
        common,
        event_type=EventType.LEFT,
        conference_id=f"{common.leg_id}:dial",
        occurred_at=None,
        sequence=None,
        vendor_status=status,
    )


def _is_bridged(cause: HangupCause, parameters: Parameters) -> bool | None:
    """False where somebody or something picked up and was never joined with the caller."""
    is_refused = parameters.get("DialBridged", "").lower() == NOT_BRIDGED
    if cause is HangupCause.COMPLETED and is_refused:
        return False
    return None


def queue_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    """
    How the caller left a queue: joined with an agent's leg, or not.

    That leg is a call of its own, of which the request holds nothing, not even when it was joined:
    here it is one that was answered, for a time that is not known. `QueueSid` is all that shows
    which queue it was.
    """
    result = parameters["QueueResult"]
    if result not in QUEUE_RESULTS:
        return unknown_event(common, result)
    event = replace(
        common,
        occurred_at=None,
        sequence=None,
        queue=parameters.get("QueueSid"),
        vendor_status=result,
    )
    if result in WAIT_IS_OVER:
        event = replace(event, wait_s=seconds(parameters.get("QueueTime")))
    if QUEUE_RESULTS[result] is EventType.UPDATED:
        return replace(event, hung_up_by=_hung_up_by(common, result))
    return replace(
        _other_leg(event, f"{common.leg_id}:queue"),
        event_type=EventType.ENDED,
        hangup_cause=HangupCause.COMPLETED,
    )


def _hung_up_by(common: CallEvent, result: str) -> Party | None:
    """The customer, where an inbound call's first leg hung up in the queue; None else."""
    is_callers_leg = common.parent_leg_id is None and common.direction is Direction.INBOUND
    if result == CALLER_HUNG_UP and is_callers_leg:
        return Party.CUSTOMER
    return None


def _other_leg(event: CallEvent, leg_id: str) -> CallEvent:
    """The event, of the leg that the caller's was to be joined with: without the caller's data."""
    return replace(
        event,
        leg_id=leg_id,
        parent_leg_id=event.leg_id,
        occurred_at=None,
        sequence=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
        is_forwarded=None,
    )
