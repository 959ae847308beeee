"""
What to do about a call now: a pure decision that compares its record with the desired state.
"""

from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from service.errors import FailureCause
from service.events import Result
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.links import Link
from service.store.rate_limit.lanes import Lane
from workers.calls.basis import Reason
from workers.calls.fold import Call, stall_deadline
from workers.calls.unknown_end import unknown_end_at
from workers.delivery.desired import (
    DesiredState,
    DesiredStatus,
    ResolvedOutcome,
    desired_state,
    not_final_reason,
)
from workers.delivery.difference import OUTCOME_FIELD, Difference, difference_of, least_write
from workers.delivery.dry_run import as_dry_run
from workers.delivery.late_writes import delivered
from workers.delivery.old_calls import is_of_unknown_age, is_too_old
from workers.delivery.plan_types import BuildrWrite, Plan, PlanInputs
from workers.matching.match import Match

# A source that keeps sending events of a call must not postpone its delivery for ever.
MAX_SETTLE_TIMES: Final = 5
# How an empty outcome in Buildr is written here.
EMPTY: Final = ""


WITHOUT_BUILDR_CALL: Final = frozenset({DesiredStatus.INTERNAL, DesiredStatus.UNMATCHED})


def make_plan(inputs: PlanInputs, now: datetime) -> Plan:
    """Decide what to do about a call at a moment in time (UTC)."""
    plan = _plan(inputs, now)
    if isinstance(inputs.link, Link) and inputs.link.is_test:
        return as_dry_run(plan)
    return plan


def _plan(inputs: PlanInputs, now: datetime) -> Plan:
    record = _current_record(inputs)
    if inputs.part_reason is not None:
        part_match = Match(buildr_call_id=None, how="none", reason=inputs.part_reason)
        record = record.matched(None)
        return Plan(record=record.to_left_alone(inputs.part_reason), match=part_match)
    if not inputs.call.is_final:
        return _plan_unfinished(inputs, record, now)
    desired = desired_state(
        inputs.call,
        inputs.config,
        outcome_ids=inputs.outcome_ids,
        link=inputs.link,
        expected=inputs.expected,
        internal_reason=inputs.internal,
        caller=inputs.caller,
    )
    # Parked for this Buildr call only: a link to another one is a new beginning.
    if record.is_parked and desired.match.buildr_call_id == record.buildr_call_id:
        return Plan(record=record, match=desired.match)
    record = record.matched(desired.match.buildr_call_id)
    if desired.status in WITHOUT_BUILDR_CALL:
        return _plan_without_buildr_call(record, desired)
    record = _decided(record, desired.outcome)
    if desired.status is DesiredStatus.COMPLETE:
        return _plan_delivery(inputs, record, desired, now)
    return _plan_without_outcome_id(record, desired)


def _plan_without_buildr_call(record: DeliveryRecord, desired: DesiredState) -> Plan:
    if desired.status is DesiredStatus.INTERNAL:
        return Plan(record=record.to_left_alone(desired.reason), match=desired.match)
    unmatched = record.to_unmatched(desired.reason)
    request = record.replay_request
    if request is not None and request.lane is Lane.BACKFILL:
        # Once its Buildr call is known, that is read first.
        unmatched = replace(unmatched, replay_request=request)
    return Plan(record=unmatched, match=desired.match)


def _current_record(inputs: PlanInputs) -> DeliveryRecord:
    """The record with the call's result, started afresh by a new replay request."""
    result = None
    if inputs.call.result is not None:
        result = inputs.call.result.value
    record = replace(inputs.record, result=result)
    if inputs.replay_request is not None:
        return record.reopened(inputs.replay_request)
    return record


def _decided(record: DeliveryRecord, outcome: ResolvedOutcome | None) -> DeliveryRecord:
    if outcome is None:
        return record
    return replace(record, rule=outcome.decision.rule, outcome=outcome.name)


def _plan_unfinished(inputs: PlanInputs, record: DeliveryRecord, now: datetime) -> Plan:
    """A call that has no result is open until its deadline, and stalled from then on."""
    # What an operator has to see stays, whatever comes later: only a replay opens it again.
    if record.is_parked:
        return Plan(record=record)
    received_at = record.last_received_at or now
    deadline = stall_deadline(
        inputs.call,
        received_at=received_at,
        ringing_timeout_s=inputs.timing.ringing_timeout_s,
        in_progress_timeout_s=inputs.timing.in_progress_timeout_s,
    )
    counts_ended_at = unknown_end_at(inputs.call, inputs.config, received_at=received_at)
    moments = [moment for moment in (deadline, counts_ended_at) if moment is not None]
    due_at = min((moment for moment in moments if moment > now), default=None)
    # Stalled is a list for operators, not an end: a late final event is planned as any other.
    if deadline is None or deadline > now:
        return Plan(record=record.to_open(not_final_reason(inputs.call)), due_at=due_at)
    if inputs.internal is not None:
        return Plan(record=record.to_left_alone(inputs.internal))
    return Plan(record=record.to_stalled(_stalled_reason(inputs.call)), due_at=due_at)


def _stalled_reason(call: Call) -> str:
    if call.basis.reason is Reason.NOT_OVER:
        return f"no final event came ({call.stage.value}); the source may not send one"
    return f"the result cannot be known: {call.basis.sentence}"


def _plan_without_outcome_id(record: DeliveryRecord, desired: DesiredState) -> Plan:
    """A matched call with no outcome, or with one whose id is unknown."""
    reason = desired.reason
    if desired.status is DesiredStatus.OUTCOMES_UNREAD:
        waiting = record.to_waiting_for_outcomes(reason)
        return Plan(record=waiting, awaits_names=True, match=desired.match)
    is_explicit = desired.outcome is not None and desired.outcome.decision.is_explicit
    if desired.status is DesiredStatus.UNKNOWN_OUTCOME and is_explicit:
        failed = record.to_failed(reason)
        return Plan(record=failed, match=desired.match, failed_cause=FailureCause.UNKNOWN_OUTCOME)
    if record.result == Result.UNKNOWN_END:
        return Plan(record=record.to_stalled(reason), match=desired.match)
    return Plan(record=record.to_left_alone(reason), match=desired.match)


def _plan_delivery(
    inputs: PlanInputs, record: DeliveryRecord, desired: DesiredState, now: datetime
) -> Plan:
    """Compare what Buildr holds with what it should hold; write what differs when it is time."""
    record = record.with_written_fields_of(desired.match.buildr_call_id)
    difference = difference_of(record, desired)
    if not difference.is_worth_a_request:
        return _plan_recheck(record, desired, now)
    record = replace(
        record, unsettled_since=record.unsettled_since or record.last_received_at or now
    )
    if record.retry_at is not None and record.retry_at > now:
        return Plan(record=record, due_at=record.retry_at, match=desired.match)
    settled_at = _settled_at(inputs, record, now)
    if settled_at > now and not _skips_settling(inputs, record):
        return Plan(record=record.to_settling(), due_at=settled_at, match=desired.match)
    return _plan_write(inputs, record, desired, difference, now)


def _plan_write(
    inputs: PlanInputs,
    record: DeliveryRecord,
    desired: DesiredState,
    difference: Difference,
    now: datetime,
) -> Plan:
    """Write the difference, in the lane that its reason asks for."""
    is_old = is_too_old(inputs.call, record, inputs.timing)
    may_be_old = is_old
    # Most calls hold a time. Where none does, a request more is for those who have asked for it.
    if inputs.protects_hand_edits and is_of_unknown_age(inputs.call, record):
        may_be_old = True
    caller_fields: frozenset[str] = frozenset()
    if not difference.is_forced:
        caller_fields = desired.caller_fields & difference.fields.keys()
    write = BuildrWrite(
        buildr_call_id=record.buildr_call_id or "",
        fields=difference.fields or least_write(desired.fields),
        outcome=record.outcome or "",
        lane=_lane(record, is_old=is_old),
        since=record.unsettled_since or now,
        note_block=difference.note_block,
        allowed_outcome_ids=_allowed_outcome_ids(inputs, record, difference, is_old=may_be_old),
        caller_fields=caller_fields,
        guarded_fields=_guarded_fields(inputs, record, caller_fields, is_old=may_be_old),
    )
    reason = "waits for its turn within Buildr's rate limit"
    if is_old:
        reason += "; it was over before KEEP_CALLS_D, so that Buildr is read before it is written"
    waiting = record.to_waiting(reason)
    return Plan(record=waiting, sending=write, match=desired.match)


def _plan_recheck(record: DeliveryRecord, desired: DesiredState, now: datetime) -> Plan:
    """A call that is delivered: read again when that is due, since a late write may come."""
    recheck_at = record.unanswered.recheck_at
    if recheck_at is None:
        return Plan(record=record.to_delivered(), match=desired.match)
    record = delivered(record)
    if recheck_at > now:
        return Plan(record=record, due_at=recheck_at, match=desired.match)
    write = BuildrWrite(
        buildr_call_id=record.buildr_call_id or "",
        fields={},
        outcome=record.outcome or "",
        lane=Lane.BACKFILL,
        since=recheck_at,
        is_recheck=True,
    )
    return Plan(record=record, sending=write, match=desired.match)


def _skips_settling(inputs: PlanInputs, record: DeliveryRecord) -> bool:
    """A call keeps its position in a lane: what was received since is part of the same write."""
    return record.replay_request is not None or inputs.record.state is DeliveryState.WAITING


def _settled_at(inputs: PlanInputs, record: DeliveryRecord, now: datetime) -> datetime:
    """When a call has settled; messages that keep coming postpone this only for so long."""
    settle = timedelta(seconds=inputs.timing.settle.of(inputs.call.source))
    newest = (record.last_received_at or now) + settle
    latest = (record.unsettled_since or now) + settle * MAX_SETTLE_TIMES
    return min(newest, latest)


def _lane(record: DeliveryRecord, *, is_old: bool) -> Lane:
    if record.replay_request is not None:
        return record.replay_request.lane
    if is_old:
        return Lane.BACKFILL
    if record.written:
        return Lane.REFINEMENT
    return Lane.FINAL


def _allowed_outcome_ids(
    inputs: PlanInputs, record: DeliveryRecord, difference: Difference, *, is_old: bool
) -> frozenset[str] | None:
    """The outcomes in Buildr that may be replaced; None to write without reading the call first."""
    written_id = record.written.get(OUTCOME_FIELD)
    new_id = difference.fields.get(OUTCOME_FIELD)
    if difference.is_forced:
        return None
    # Also where a 200 has not taken it: what Buildr showed instead may be somebody's.
    is_replaced = written_id is not None or record.not_taken > 0
    changes_outcome = inputs.protects_hand_edits and is_replaced and new_id is not None
    if record.replay_request is None and not changes_outcome and not is_old:
        return None
    # An outcome that was never written from here may well be empty in Buildr. One that was written
    # from here and is empty now was emptied there.
    expected_id = written_id or EMPTY
    in_doubt = record.in_doubt.get(record.buildr_call_id or "", ())
    unanswered = [
        write.fields[OUTCOME_FIELD]
        for write in record.unanswered.of(record.buildr_call_id)
        if OUTCOME_FIELD in write.fields
    ]
    return frozenset({expected_id, new_id or expected_id, *in_doubt, *unanswered})


def _guarded_fields(
    inputs: PlanInputs, record: DeliveryRecord, caller_fields: frozenset[str], *, is_old: bool
) -> frozenset[str]:
    """The ids of the phone book that must not be written over what was chosen in Buildr."""
    if inputs.protects_hand_edits or record.replay_request is not None or is_old:
        return caller_fields
    return frozenset()
