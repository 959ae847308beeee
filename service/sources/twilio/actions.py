"""
The requests that ask what to do next with a call: how a `<Dial>` or an `<Enqueue>` ended.

https://www.twilio.com/docs/voice/twiml/dial#action and
https://www.twilio.com/docs/voice/twiml/enqueue#action. Addresses, time and number of such a request
are those of the caller's leg.
"""

from dataclasses import replace

from service.events import CallEvent, Direction, EventType, HangupCause
from service.sources.base import unknown_event
from service.sources.common.fields import seconds
from service.sources.common.ids import call_id
from service.sources.twilio.payload import Parameters
from service.sources.twilio.vocabulary import (
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
    # Of the dialled leg the request holds only the id and the end.
    event = replace(
        common,
        event_type=EventType.ENDED,
        leg_id=_dialled_leg_id(common, dialled_id),
        parent_leg_id=common.leg_id,
        occurred_at=None,
        sequence=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
        is_forwarded=None,
    )
    if cause is None:
        return unknown_event(event, status)
    return replace(
        event,
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
    How the caller left a queue: joined with a leg that is a call of its own, or not.

    The request comes when both are through, so that its time is not that of the join. `QueueSid` is
    all that it holds of the queue.
    """
    result = parameters["QueueResult"]
    event = replace(
        common, occurred_at=None, sequence=None, queue=parameters.get("QueueSid"), wait_s=None
    )
    if result not in QUEUE_RESULTS:
        return unknown_event(event, result)
    wait_s = None
    if result in WAIT_IS_OVER:
        wait_s = seconds(parameters.get("QueueTime"))
    return replace(event, event_type=QUEUE_RESULTS[result], vendor_status=result, wait_s=wait_s)
