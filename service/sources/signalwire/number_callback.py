"""
The status callback of a telephone number, which SignalWire sends once an inbound call is over.

https://signalwire.com/docs/compatibility-api/rest/incoming-phone-numbers/webhooks/incoming-call-status-callback.
It states no direction, since it only reports inbound calls, and its `Timestamp` is the time at
which the call was created, not that of its end. `completed` says that the exchange picked up, which
it does by itself: alone it shows neither that an agent talked nor that nobody did.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType, HangupCause
from service.sources.common.fields import seconds
from service.sources.common.leg_events import end_time
from service.sources.twilio.payload import Parameters

STATUSES: Final = frozenset({"completed", "failed"})
REQUIRED: Final = frozenset({"CallSid", "AccountSid", "From", "To", "Timestamp", "CallStatus"})
# What every status callback of a call holds, and this one does not.
ABSENT: Final = frozenset(
    {"Direction", "ApiVersion", "SequenceNumber", "CallbackSource", "ParentCallSid"}
)


def is_number_callback(parameters: Parameters) -> bool:
    """Whether a request has the fields of a number's callback, and none of a call's own."""
    names = parameters.keys()
    has_fields = names >= REQUIRED and names.isdisjoint(ABSENT)
    return has_fields and parameters["CallStatus"] in STATUSES


def read_number_callback(events: Sequence[CallEvent], parameters: Parameters) -> list[CallEvent]:
    """
    The events of such a callback, of which the first is the end: inbound, with both times. A
    completed call has no cause of its end: only its other legs, if any come, show how it went.
    """
    end = replace(events[0], direction=Direction.INBOUND)
    if end.hangup_cause is HangupCause.COMPLETED:
        end = replace(end, hangup_cause=None)
    start = replace(
        end,
        event_type=EventType.CREATED,
        duration_s=None,
        answered_by=None,
        hangup_cause=None,
        vendor_status="Timestamp",
    )
    ended_at = end_time(end.occurred_at, seconds(parameters.get("CallDuration")))
    return [start, replace(end, occurred_at=ended_at), *events[1:]]
