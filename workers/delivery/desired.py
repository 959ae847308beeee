"""
What Buildr should hold about a call: the one chain from a folded call to the fields of a PATCH.

Match the Buildr call, decide about the outcome, resolve its id, build the fields, render the note.
Plans, replay verdicts, explanations and previews all go through here, so that they agree.
"""

from collections.abc import Mapping
from enum import Enum, auto

from msgspec import Struct, field

from service.settings.outcomes import OutcomeConfig
from service.store.links import StoredLink
from service.store.outcomes import StoredOutcomes
from workers.calls.fold import Call
from workers.matching.callers import CallerMatch, ids_beside
from workers.matching.match import Match, link_for_patch, match
from workers.matching.selection import ExpectedCallMatch
from workers.outcomes.decide import Decision, build_patch, decide, outcome_key, resolve
from workers.outcomes.notes import render_note


class DesiredStatus(Enum):
    """Whether there is something to write to Buildr, and if not, why."""

    # In the order in which they are checked: the first that applies is the reason that an operator
    # sees.
    NOT_FINAL = auto()
    INTERNAL = auto()
    UNMATCHED = auto()
    NO_OUTCOME = auto()
    OUTCOMES_UNREAD = auto()
    UNKNOWN_OUTCOME = auto()
    COMPLETE = auto()


class ResolvedOutcome(Struct, frozen=True, kw_only=True):
    """A decision, and the id of its outcome in Buildr: None if there is no outcome, or no id."""

    decision: Decision
    outcome_id: str | None

    @property
    def name(self) -> str | None:
        """The outcome as the operator wrote it, None if the result is left alone."""
        if self.decision.outcome is None:
            return None
        return str(self.decision.outcome)


class DesiredState(Struct, frozen=True, kw_only=True):
    """
    What Buildr should hold about a call.

    `reason` is a sentence for the operator where `status` is not COMPLETE. `outcome` is None of a
    call that is not final. `fields` are those of the PATCH without the notes, and empty without an
    outcome id; an unmatched call has them too, for explanations. Of these, `caller_fields` are from
    the phone book, and `caller` is what it says. `note_block` is our own text in the notes, or None
    to leave the notes as they are.
    """

    status: DesiredStatus
    match: Match
    reason: str = ""
    outcome: ResolvedOutcome | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    caller: CallerMatch | None = None
    caller_fields: frozenset[str] = frozenset()
    note_block: str | None = None


def outcome_ids_of(stored: StoredOutcomes | None) -> Mapping[str, str] | None:
    """The ids of the account's outcomes by `outcome_key`; None while they were never read."""
    if stored is None:
        return None
    return {outcome_key(name): outcome_id for name, outcome_id in stored.names}


def resolve_outcome(
    call: Call, config: OutcomeConfig, outcome_ids: Mapping[str, str] | None
) -> ResolvedOutcome:
    """Decide about a call by a map of outcomes, and look up the outcome's id."""
    decision = decide(call, config)
    outcome_id = None
    if decision.outcome is not None:
        outcome_id = resolve(decision.outcome, outcome_ids or {})
    return ResolvedOutcome(decision=decision, outcome_id=outcome_id)


def desired_state(
    call: Call,
    config: OutcomeConfig,
    *,
    outcome_ids: Mapping[str, str] | None,
    link: StoredLink | None = None,
    expected: ExpectedCallMatch | None = None,
    internal_reason: str | None = None,
    caller: CallerMatch | None = None,
    for_display: bool = False,
) -> DesiredState:
    """
    What Buildr should hold about a call.

    `outcome_ids` go by `outcome_key`, and are None while the account's outcomes were never read.
    `internal_reason` is why the call is one among ourselves, None if it is not. `caller` is who
    called by the phone book, whose ids are sent beside those of a link. With `for_display` an
    outcome whose id is unknown has the id `<id of Connected>`, and no note is rendered; the status
    is the same.
    """
    call_match = match(call, link, expected)
    if not call.is_final:
        return DesiredState(
            status=DesiredStatus.NOT_FINAL, match=call_match, reason=not_final_reason(call)
        )
    outcome = resolve_outcome(call, config, outcome_ids)
    status, reason = _status(call, call_match, outcome, outcome_ids, internal_reason)
    outcome_id = outcome.outcome_id
    # A preview is also made before the first contact with Buildr, when no id is known. In angle
    # brackets it can be no id, should such a patch ever be sent: Buildr's ids are digits.
    if outcome_id is None and for_display and outcome.name is not None:
        outcome_id = f"<id of {outcome.name}>"
    patch = build_patch(
        call,
        outcome.decision,
        outcome_id=outcome_id,
        link=link_for_patch(call_match, link, expected),
        recorded_at=config.recorded_at,
    )
    fields: dict[str, str] = {}
    caller_ids: dict[str, str] = {}
    if patch is not None:
        fields = patch["call"]
    # The ids of a link or an expected call come first: somebody has stated them for this call,
    # while the phone book knows only a number.
    if fields and caller is not None:
        caller_ids = ids_beside(caller.ids, fields)
    note_block = None
    if status is DesiredStatus.COMPLETE and not for_display:
        note_block = _note_block(call, outcome, config)
    return DesiredState(
        status=status,
        match=call_match,
        reason=reason,
        outcome=outcome,
        fields={**fields, **caller_ids},
        caller=_as_sent(caller, caller_ids),
        caller_fields=frozenset(caller_ids),
        note_block=note_block,
    )


def _as_sent(caller: CallerMatch | None, ids: Mapping[str, str]) -> CallerMatch | None:
    """What the phone book says, and of its ids those that are sent."""
    if caller is None or ids == caller.ids or not caller.ids:
        return caller
    names = ", ".join(sorted(ids)) or "none of its ids"
    reason = f"{caller.reason} Beside the ids of the link or expected call, sent is: {names}."
    return CallerMatch(reason=reason, ids=ids)


def _status(
    call: Call,
    call_match: Match,
    outcome: ResolvedOutcome,
    outcome_ids: Mapping[str, str] | None,
    internal_reason: str | None,
) -> tuple[DesiredStatus, str]:
    """The first thing that is missing for a write, and the sentence about it."""
    # Only without a match: who links an internal call, or names a Buildr call in its messages,
    # wants it to be written.
    if call_match.how == "none" and internal_reason is not None:
        return DesiredStatus.INTERNAL, internal_reason
    if call_match.buildr_call_id is None:
        return DesiredStatus.UNMATCHED, call_match.reason
    if outcome.name is None:
        return DesiredStatus.NO_OUTCOME, _no_outcome_reason(call, outcome.decision)
    # Before the catalogue is asked: an outcome given by id needs no list, so that an installation
    # without the right to read outcomes can still write.
    if outcome.outcome_id is not None:
        return DesiredStatus.COMPLETE, ""
    if outcome_ids is None:
        return DesiredStatus.OUTCOMES_UNREAD, (
            "the account's call outcomes have not been read from Buildr yet; "
            "see: buildr-calls check. Outcomes given by id need none"
        )
    return DesiredStatus.UNKNOWN_OUTCOME, _unknown_outcome_reason(call, outcome, outcome_ids)


def not_final_reason(call: Call) -> str:
    """The sentence about a call that has no result: what is missing, and how far the call is."""
    return f"{call.basis.sentence} ({call.stage.value})"


def _no_outcome_reason(call: Call, decision: Decision) -> str:
    result = "this result"
    if call.result is not None:
        result = call.result.value
    return f"{result} is mapped to no outcome ({decision.rule})"


def _unknown_outcome_reason(
    call: Call, outcome: ResolvedOutcome, outcome_ids: Mapping[str, str]
) -> str:
    names = ", ".join(sorted(outcome_ids)) or "none"
    decision = outcome.decision
    if decision.is_explicit:
        return (
            f"{decision.rule} names the outcome {outcome.name}, which the account does not have; "
            f"it has: {names}"
        )
    return (
        f"the account has no outcome named {outcome.name}; "
        f"map {call.result} in [outcomes] to one that it has: {names}"
    )


def _note_block(call: Call, outcome: ResolvedOutcome, config: OutcomeConfig) -> str | None:
    # Only rendered for a write: a template that breaks is reported in the log.
    if config.notes.mode == "never" or outcome.name is None:
        return None
    return render_note(call, outcome.decision.result, config.notes, outcome_name=outcome.name)
