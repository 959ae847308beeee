"""
The dry run of a test call: planned like any other, and never written.

A test call is one whose link says so. Only `buildr-calls check --live` sets such a link, in Redis;
nothing in a message can.
"""

import json
from typing import Final

from service.store.delivery_state import DeliveryState
from workers.delivery.plan_types import BuildrWrite, Plan

# No call of Buildr's has it: a worker of an older version, which does not know test calls, would
# get a 404.
NO_BUILDR_CALL: Final = "0"
# How the reasons of a test call begin.
WOULD_WRITE: Final = "a test call, not sent to Buildr: PATCH "
WOULD_FAIL: Final = "a test call, which would fail: "


def as_dry_run(plan: Plan) -> Plan:
    """
    The plan without its write, its failure and its match, so that nothing is sent, filed or
    claimed.
    """
    record = plan.record
    due_at = plan.due_at
    if plan.sending is not None:
        record = record.to_left_alone(WOULD_WRITE + _patch_text(plan.sending))
        due_at = None
    elif record.state is DeliveryState.FAILED:
        record = record.to_left_alone(WOULD_FAIL + record.reason)
    return Plan(
        record=record.matched(None),
        due_at=due_at,
        awaits_names=plan.awaits_names,
        is_dry_run=True,
    )


def _patch_text(write: BuildrWrite) -> str:
    fields = dict(write.fields)
    if write.note_block:
        fields["notes"] = write.note_block
    return json.dumps({"call": fields}, ensure_ascii=False)
