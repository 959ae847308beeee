"""
Which verdict a replay comes to: a pure decision over what is stored and what Buildr holds.

The plan is the worker's own, so that what is announced and what is done agree.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from service.events import CallEvent
from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from workers.buildr import UpdatedCall
from workers.calls.fold import Call, fold
from workers.calls.unknown_end import with_unknown_end
from workers.delivery.confirmation import is_same_id, shown_outcome
from workers.delivery.desired import outcome_ids_of
from workers.delivery.difference import OUTCOME_FIELD
from workers.delivery.hand_edits import OUTCOME_NOT_SHOWN
from workers.delivery.plan import make_plan
from workers.delivery.plan_types import BuildrWrite, Plan, PlanInputs, Timing
from workers.matching.customer_numbers import MatchingRules, why_internal
from workers.replay.candidates import ReplayCandidate
from workers.replay.verdicts import NEEDS_OPERATOR, Verdict

# `failed` can only be an unknown outcome here: a plan knows nothing of Buildr's answers, and the
# request has reopened the record.
_VERDICTS_WITHOUT_WRITE: Final[Mapping[DeliveryState, Verdict]] = {
    DeliveryState.OPEN: Verdict.NOT_FINAL,
    DeliveryState.STALLED: Verdict.NOT_FINAL,
    DeliveryState.UNMATCHED: Verdict.UNMATCHED,
    DeliveryState.LEFT_ALONE: Verdict.LEFT_ALONE,
    DeliveryState.DELIVERED: Verdict.ALREADY_WRITTEN,
    DeliveryState.FAILED: Verdict.NO_OUTCOME,
}


class BuildrRefusal(Struct, frozen=True, kw_only=True):
    """Buildr does not show the call; `reason` is its answer, `is_missing` a 404."""

    reason: str
    is_missing: bool


# What Buildr holds of a call, or why it does not show it.
BuildrState = UpdatedCall | BuildrRefusal


class ReplayContext(Struct, frozen=True, kw_only=True):
    """
    What decides about every candidate alike.

    `names` are the account's outcomes by id; `outcome_ids` go by `outcome_key`, and are None while
    the outcomes were never read.
    """

    config: OutcomeConfig
    timing: Timing
    rules: MatchingRules = field(default_factory=MatchingRules)
    outcome_ids: Mapping[str, str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, settings: Settings, store: Store) -> Self:
        """The context of an account, with its outcomes as last read from Buildr."""
        outcomes = await store.outcomes.load()
        names = {}
        if outcomes is not None:
            names = {outcome_id: name for name, outcome_id in outcomes.names}
        return cls(
            config=settings.outcome_config,
            timing=Timing.of(settings),
            rules=MatchingRules.of(settings),
            outcome_ids=outcome_ids_of(outcomes),
            names=names,
        )

    def name_of(self, outcome_id: str | None) -> str | None:
        """The name of an outcome, `id 786` if it is unknown; None for no outcome."""
        if not outcome_id:
            return None
        return self.names.get(outcome_id, f"id {outcome_id}")


class ReplayAssessment(Struct, frozen=True, kw_only=True):
    """
    A verdict, and what it is about.

    `outcome_now` is what Buildr holds as far as it was read, else what it holds from us;
    `outcome_then` what it will hold. `requests` is what the worker's write costs. `changes_outcome`
    is false where only notes or ids are written.
    """

    candidate: ReplayCandidate
    verdict: Verdict
    detail: str = ""
    call: Call | None = None
    buildr_call_id: str | None = None
    outcome_now: str | None = None
    outcome_then: str | None = None
    rule: str | None = None
    requests: int = 0
    changes_outcome: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether an operator has nothing left to do about it."""
        return self.verdict not in NEEDS_OPERATOR

    @property
    def name(self) -> str:
        """The id of the failed entry, else the call's name."""
        if self.candidate.entry is not None:
            return self.candidate.entry.entry_id
        return self.candidate.ref or ""

    def as_dict(self) -> dict[str, object]:
        """
        The assessment as plain JSON values; outcomes are names.

        Keys: id, call, verdict (a code), label, detail, buildr_call_id, outcome_now, outcome_then,
        requests.
        """
        return {
            "id": self.name,
            "call": self.candidate.ref,
            "verdict": self.verdict.value,
            "label": self.verdict.label,
            "detail": self.detail,
            "buildr_call_id": self.buildr_call_id,
            "outcome_now": self.outcome_now,
            "outcome_then": self.outcome_then,
            "requests": self.requests,
        }


def assess(
    candidate: ReplayCandidate,
    context: ReplayContext,
    replay_request: ReplayRequest,
    *,
    now: datetime,
    in_buildr: BuildrState | None = None,
) -> ReplayAssessment:
    """
    Decide what a replay request will do about a candidate.

    `in_buildr` is what Buildr holds of the call, None if it was not read.
    """
    events = candidate.events
    unusable = _unusable(candidate, events)
    if unusable is not None:
        return ReplayAssessment(candidate=candidate, verdict=unusable)
    if not events:
        return ReplayAssessment(
            candidate=candidate,
            verdict=Verdict.LEFT_ALONE,
            detail="its messages are of kinds that are ignored",
        )
    call = with_unknown_end(
        fold(events), context.config, received_at=candidate.record.last_received_at, now=now
    )
    plan = _plan(candidate, call, context, replay_request, now)
    assessment = _without_write(candidate, call, plan, context)
    if plan.sending is None:
        return assessment
    assessment = _with_write(assessment, plan.sending, context)
    # Not read first: a forced replay writes whatever Buildr holds, and the read would cost a
    # request.
    if replay_request.is_forced:
        return replace(assessment, verdict=Verdict.FORCED)
    # Only of a call: a failed entry of a queued call still has to be taken off its list.
    if candidate.entry is None and candidate.is_queued:
        return _stopped(assessment, Verdict.ALREADY_QUEUED, candidate.record.reason)
    return _checked(assessment, plan.sending, in_buildr)


def _unusable(candidate: ReplayCandidate, events: frozenset[CallEvent]) -> Verdict | None:
    """Why nothing can be done with what is stored, or None."""
    entry = candidate.entry
    if entry is None or entry.kind == "call":
        if not events:
            return Verdict.GONE
        return None
    if not candidate.message_ids:
        return Verdict.GONE
    if candidate.ref is None:
        return Verdict.NO_CALL_ID
    if entry.entry_id in candidate.parsed.failed:
        return Verdict.UNREADABLE
    return None


def _plan(
    candidate: ReplayCandidate,
    call: Call,
    context: ReplayContext,
    replay_request: ReplayRequest,
    now: datetime,
) -> Plan:
    inputs = PlanInputs(
        record=candidate.record,
        call=call,
        link=candidate.link,
        expected=candidate.expected,
        internal=why_internal(call, context.rules),
        caller=candidate.caller,
        config=context.config,
        outcome_ids=context.outcome_ids,
        timing=context.timing,
        replay_request=replay_request,
        part_reason=candidate.part_reason,
    )
    return make_plan(inputs, now)


def _without_write(
    candidate: ReplayCandidate, call: Call, plan: Plan, context: ReplayContext
) -> ReplayAssessment:
    """The assessment of a plan as far as it writes nothing."""
    record = plan.record
    written_id = None
    if record.written_to == record.buildr_call_id:
        written_id = record.written.get(OUTCOME_FIELD)
    outcome = context.name_of(written_id)
    verdict = _VERDICTS_WITHOUT_WRITE.get(record.state, Verdict.WRITE)
    detail = record.reason
    if plan.awaits_names:
        verdict = Verdict.OUTCOMES_UNREAD
    elif verdict is Verdict.ALREADY_WRITTEN and record.written_at is not None:
        detail = f"{detail}, written {record.written_at:%Y-%m-%d %H:%M} UTC"
        entry = candidate.entry
        # Delivered since by a later message: the failed write would put an older state over it.
        if entry is not None and record.written_at > entry.failed_at:
            verdict = Verdict.NEWER
    return ReplayAssessment(
        candidate=candidate,
        verdict=verdict,
        detail=detail,
        call=call,
        buildr_call_id=record.buildr_call_id,
        outcome_now=outcome,
        outcome_then=outcome,
        rule=record.rule,
    )


def _with_write(
    assessment: ReplayAssessment, write: BuildrWrite, context: ReplayContext
) -> ReplayAssessment:
    outcome_id = write.fields.get(OUTCOME_FIELD)
    return replace(
        assessment,
        detail=assessment.rule or "",
        outcome_then=context.names.get(outcome_id or "", write.outcome),
        requests=write.requests,
        changes_outcome=outcome_id is not None,
    )


def _checked(
    assessment: ReplayAssessment, write: BuildrWrite, in_buildr: BuildrState | None
) -> ReplayAssessment:
    """The assessment of a write, checked against what Buildr holds."""
    if in_buildr is None:
        return replace(assessment, verdict=Verdict.UNCHECKED)
    if isinstance(in_buildr, BuildrRefusal):
        verdict = Verdict.REFUSED
        if in_buildr.is_missing:
            verdict = Verdict.NOT_FOUND
        return _stopped(assessment, verdict, in_buildr.reason)
    allowed_ids = write.allowed_outcome_ids
    if not in_buildr.has_outcome and allowed_ids is not None:
        return _stopped(assessment, Verdict.NOT_SHOWN, OUTCOME_NOT_SHOWN)
    outcome_name = None
    if in_buildr.call_outcome is not None:
        outcome_name = in_buildr.call_outcome.name
    outcome_id = shown_outcome(in_buildr)
    is_allowed = allowed_ids is None or any(is_same_id(outcome_id, item) for item in allowed_ids)
    if is_allowed:
        return replace(assessment, verdict=Verdict.WRITE, outcome_now=outcome_name)
    ours = assessment.outcome_now or "none"
    detail = f"Buildr holds {outcome_name or 'no outcome'}; from us it had {ours}"
    edited = replace(assessment, outcome_now=outcome_name, outcome_then=outcome_name)
    return _stopped(edited, Verdict.HAND_EDITED, detail)


def _stopped(assessment: ReplayAssessment, verdict: Verdict, detail: str) -> ReplayAssessment:
    return replace(assessment, verdict=verdict, detail=detail, requests=0)
