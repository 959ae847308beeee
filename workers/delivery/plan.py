"""
What is to be done about a call now: a pure decision over what is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from service.errors import FailureCause
from service.settings import SettleTimes
from service.settings.outcomes import OutcomeConfig
from service.store.calls import DeliveryRecord, ReplayRequest
from service.store.delivery_state import DeliveryState
from service.store.links import Link
from service.store.rate_limit.lanes import Lane
from workers.calls.fold import Call, stall_deadline
from workers.matching.expected_calls import ExpectedCallMatch
from workers.matching.match import Match, link_for_patch, match
from workers.outcomes.decide import (
    Decision,
    build_patch,
    decide,
    resolve,
)
from workers.outcomes.notes import render_note

LONGEST_SETTLE: Final = 5
# How an empty outcome in Buildr is written here.
EMPTY: Final = ""
OUTCOME_FIELD: Final = "call_outcome_id"
IMMATERIAL: Final = frozenset({"recorded_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Settings of time, in seconds."""

    settle: SettleTimes
    ringing_timeout_s: float
    in_progress_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildrWrite:
    """
    A write to Buildr: only the fields that differ from what it holds from us.

    `note_block` is what shall stand in the notes, or None to leave them alone. With `accepts` the
    call is read first and written only if its outcome's id in Buildr is one of these; anything else
    there is a person's. It waits in `lane`, by the age that `since` (UTC) gives it.
    """

    buildr_call_id: str
    fields: Mapping[str, str]
    outcome: str
    lane: Lane
    since: datetime
    note_block: str | None = None
    accepts: frozenset[str] | None = None

    @property
    def requests(self) -> int:
        """
        How many requests it takes: one more where the call is read first, for its outcome or its
        notes or both.
        """
        return 1 if self.accepts is None and self.note_block is None else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    The call's new record, when it wants attention next, and the write that is to be made now, if
    any.

    With `awaits_names` it wants attention once the account's outcomes have been read.
    """

    record: DeliveryRecord
    due_at: datetime | None = None
    sending: BuildrWrite | None = None
    awaits_names: bool = False
    match: Match | None = None
    failed_cause: FailureCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """
    Everything that the decision rests on.

    `outcome_ids` (name to id) is None while the account's names were never read. `expected` is the
    expected call that it may be, `internal` why it is a call among ourselves, if it is. `replay_request` is a
    person's wish that is new to this job. With `protects_hand_edits` a call is read before an
    outcome that was written earlier is changed.
    """

    record: DeliveryRecord
    call: Call
    link: Link | None
    config: OutcomeConfig
    outcome_ids: Mapping[str, str] | None
    timing: Timing
    expected: ExpectedCallMatch | None = None
    internal: str | None = None
    replay_request: ReplayRequest | None = None
    protects_hand_edits: bool = False


def make_plan(known: PlanInputs, now: datetime) -> Plan:
    """Decide what to do about a call at a moment in time (UTC)."""
    call = known.call
    record = replace(known.record, result=None if call.result is None else call.result.value)
    if known.replay_request is not None:
        record = replace(
            _afresh(record), state=DeliveryState.OPEN, replay_request=known.replay_request
        )
    if not call.is_final:
        return _not_final(known, record, now)
    found = match(call, known.link, known.expected)
    if (
        record.state in (DeliveryState.FAILED, DeliveryState.HAND_EDITED)
        and found.buildr_call_id == record.buildr_call_id
    ):
        return Plan(record=record, match=found)
    if found.buildr_call_id != record.buildr_call_id:
        # What went wrong with another Buildr call does not count for this one.
        record = _afresh(record)
    record = replace(record, buildr_call_id=found.buildr_call_id)
    if found.how == "none" and known.internal is not None:
        return Plan(record=_to(record, DeliveryState.LEFT_ALONE, known.internal), match=found)
    if found.buildr_call_id is None:
        return Plan(record=_to(record, DeliveryState.UNMATCHED, found.reason), match=found)
    return _matched(known, record, found, now)


def _matched(known: PlanInputs, record: DeliveryRecord, found: Match, now: datetime) -> Plan:
    decision = decide(known.call, known.config)
    record = replace(
        record,
        rule=decision.rule,
        outcome=None if decision.outcome is None else str(decision.outcome),
    )
    if decision.outcome is None:
        result = record.result or "this result"
        return Plan(
            record=_to(
                record,
                DeliveryState.LEFT_ALONE,
                f"{result} is mapped to no outcome ({decision.rule})",
            ),
            match=found,
        )
    if decision.outcome.id is None and known.outcome_ids is None:
        reason = "the account's call outcomes have not been read from Buildr yet; see: buildr-calls check. Outcomes given by id need none"
        return Plan(
            record=_to(record, DeliveryState.RETRYING, reason, keeps_mark=True),
            awaits_names=True,
            match=found,
        )
    outcome_id = resolve(decision.outcome, known.outcome_ids or {})
    if outcome_id is None:
        return _no_such_outcome(record, decision, known.outcome_ids or {}, found)
    patch = build_patch(
        known.call,
        decision,
        outcome_id=outcome_id,
        link=link_for_patch(found, known.link, known.expected),
        recorded_at=known.config.recorded_at,
    )
    wanted = {} if patch is None else patch["call"]
    block = None
    if known.config.notes.mode != "never":
        block = render_note(
            known.call, decision.result, known.config.notes, outcome_name=str(decision.outcome)
        )
    return _write(known, record, found, DesiredState(wanted, block), now)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The fields that Buildr should hold, and the text of our own block in its notes."""

    fields: Mapping[str, str]
    note_block: str | None


def _afresh(record: DeliveryRecord) -> DeliveryRecord:
    return replace(
        record, attempts=0, unauthorized=0, first_failed_at=None, retry_at=None, answers=()
    )


def _not_final(known: PlanInputs, record: DeliveryRecord, now: datetime) -> Plan:
    timing = known.timing
    deadline = stall_deadline(
        known.call,
        received_at=record.last_received_at or now,
        ringing_timeout_s=timing.ringing_timeout_s,
        in_progress_timeout_s=timing.in_progress_timeout_s,
    )
    if deadline is None or deadline > now:
        return Plan(
            record=_to(
                record, DeliveryState.OPEN, f"no final event yet ({known.call.stage.value})"
            ),
            due_at=deadline,
        )
    return Plan(
        record=_to(
            record,
            DeliveryState.STALLED,
            f"no final event came ({known.call.stage.value}); the source may not send one",
        )
    )


def _no_such_outcome(
    record: DeliveryRecord, decision: Decision, outcome_ids: Mapping[str, str], found: Match
) -> Plan:
    names = ", ".join(sorted(outcome_ids)) or "none"
    if decision.is_explicit:
        reason = f"{decision.rule} names the outcome {decision.outcome}, which the account does not have; it has: {names}"
        return Plan(
            record=_to(record, DeliveryState.FAILED, reason),
            match=found,
            failed_cause=FailureCause.UNKNOWN_OUTCOME,
        )
    reason = f"the account has no outcome named {decision.outcome}; map {record.result} in [outcomes] to one that it has: {names}"
    return Plan(record=_to(record, DeliveryState.LEFT_ALONE, reason), match=found)


def _write(
    known: PlanInputs, record: DeliveryRecord, found: Match, wanted: DesiredState, now: datetime
) -> Plan:
    if record.written_to != found.buildr_call_id:
        record = replace(record, written={}, note_block=None)
    replay_request = record.replay_request
    is_forced = replay_request is not None and replay_request.is_forced
    # What was sent and never confirmed may stand there or not: only writing it again tells.
    is_unsure = is_forced or found.buildr_call_id in record.in_doubt
    changed = {
        name: value
        for name, value in wanted.fields.items()
        if is_unsure or record.written.get(name) != value
    }
    is_note_new = wanted.note_block is not None and wanted.note_block != record.note_block
    if not (is_forced or changed.keys() - IMMATERIAL or is_note_new):
        done = replace(
            record,
            unsettled_since=None,
            retry_at=None,
            attempts=0,
            unauthorized=0,
            first_failed_at=None,
        )
        return Plan(
            record=_to(done, DeliveryState.DELIVERED, f"Buildr holds {record.outcome}"), match=found
        )
    record = replace(
        record, unsettled_since=record.unsettled_since or record.last_received_at or now
    )
    if record.retry_at is not None and record.retry_at > now:
        return Plan(record=record, due_at=record.retry_at, match=found)
    settled_at = _settled_at(record, known, now)
    # A call that has its place in a lane keeps it: what came since rides along.
    is_through = replay_request is not None or known.record.state is DeliveryState.WAITING
    if settled_at > now and not is_through:
        return Plan(
            record=_to(record, DeliveryState.SETTLING, "waits a moment for what else comes"),
            due_at=settled_at,
            match=found,
        )
    sending = BuildrWrite(
        buildr_call_id=found.buildr_call_id or "",
        fields=changed or _reading(wanted.fields),
        outcome=record.outcome or "",
        lane=_lane(record),
        since=record.unsettled_since or now,
        note_block=wanted.note_block if is_note_new else None,
        accepts=_accepts(known, record, changed),
    )
    record = _to(
        record,
        DeliveryState.WAITING,
        "waits for its turn within Buildr's rate limit",
        keeps_mark=True,
    )
    return Plan(record=record, sending=sending, match=found)


def _lane(record: DeliveryRecord) -> Lane:
    if record.replay_request is not None:
        return record.replay_request.lane
    return Lane.REFINEMENT if record.written else Lane.FINAL


def _accepts(
    known: PlanInputs, record: DeliveryRecord, changed: Mapping[str, str]
) -> frozenset[str] | None:
    """
    Ids of the outcomes that Buildr may hold for the write to go on; None to write without looking.
    """
    earlier, wanted = record.written.get(OUTCOME_FIELD), changed.get(OUTCOME_FIELD)
    if record.replay_request is None:
        is_needed = known.protects_hand_edits and earlier is not None and wanted is not None
    else:
        is_needed = not record.replay_request.is_forced
    if not is_needed:
        return None
    # What was never written from here may well be empty; what was, and is empty now, somebody has
    # emptied.
    in_doubt = record.in_doubt.get(record.buildr_call_id or "", ())
    return frozenset(
        {earlier if earlier is not None else EMPTY, wanted or earlier or EMPTY, *in_doubt}
    )


def _reading(fields: Mapping[str, str]) -> dict[str, str]:
    """
    The least that can be sent to get an answer that shows the notes: one field again that is
    written already.
    """
    name = "recorded_at" if "recorded_at" in fields else OUTCOME_FIELD
    return {name: fields[name]}


def _settled_at(record: DeliveryRecord, known: PlanInputs, now: datetime) -> datetime:
    settle = timedelta(seconds=known.timing.settle.of(known.call.source))
    newest = (record.last_received_at or now) + settle
    latest = (record.unsettled_since or now) + settle * LONGEST_SETTLE
    return min(newest, latest)


def _to(
    record: DeliveryRecord, state: DeliveryState, reason: str, *, keeps_mark: bool = False
) -> DeliveryRecord:
    """The record in a state; one in which the call comes to rest ends the wish of a person."""
    is_at_rest = state is not DeliveryState.SETTLING and not keeps_mark
    return replace(
        record,
        state=state,
        reason=reason,
        replay_request=None if is_at_rest else record.replay_request,
    )
