"""
Calls that were over long before their first message came: perhaps an old message, sent once more.

A signature proves who wrote a message and not when it was sent. What was forgotten since would be
written again, over what somebody has chosen in Buildr; so such a call is read first.
"""

from datetime import datetime

from service.store.delivery_record import DeliveryRecord
from workers.calls.fold import Call
from workers.delivery.difference import OUTCOME_FIELD
from workers.delivery.plan_types import Timing


def is_too_old(call: Call, record: DeliveryRecord, timing: Timing) -> bool:
    """Whether a call is new here and by its own times older than what is remembered."""
    newest_at = _newest_time(call)
    if newest_at is None or not _is_new(record) or record.first_received_at is None:
        return False
    return (record.first_received_at - newest_at).total_seconds() >= timing.too_old_s


def is_of_unknown_age(call: Call, record: DeliveryRecord) -> bool:
    """Whether a call is new here and its messages hold no time at all."""
    return _is_new(record) and _newest_time(call) is None


def _is_new(record: DeliveryRecord) -> bool:
    return OUTCOME_FIELD not in record.written


def _newest_time(call: Call) -> datetime | None:
    moments = [call.started_at, call.ended_at, call.basis.occurred_at]
    for leg in call.legs:
        moments += [leg.started_at, leg.ended_at]
    return max((moment for moment in moments if moment is not None), default=None)
