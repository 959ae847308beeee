"""
What comes of putting a call or a failed message through again: a pure judgement over what is kept
and what Buildr was seen to hold.

The plan is the worker's own, so that what is foretold and what is done agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from service.events import CallEvent
from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.failed import Failed
from service.store.links import Link
from workers.buildr import UpdatedCall
from workers.calls.fold import Call, fold
from workers.delivery.desired import outcome_ids_of
from workers.delivery.plan import (
    EMPTY,
    OUTCOME_FIELD,
    BuildrWrite,
    Plan,
    PlanInputs,
    Timing,
    make_plan,
)
from workers.jobs.parse_messages import ParsedMessages
from workers.matching.customer_numbers import MatchingRules, why_internal
from workers.matching.selection import ExpectedCallMatch


class Verdict(StrEnum):
    """What comes of putting a call or a failed message through again."""

    WRITE = "will write"
    FORCED = "will write (forced)"
    UNREAD = "will write, unless a person has changed it"
    ALREADY = "already written"
    NEWER = "newer state"
    ON_ITS_WAY = "on its way already"
    EDITED = "changed by a person"
    REFUSED = "Buildr refuses it (404)"
    UNMATCHED = "unmatched"
    LEFT_ALONE = "left alone"
    NOT_FINAL = "not final"
    NO_OUTCOME = "no such outcome"
    NAMES_UNKNOWN = "outcomes not known yet"
    TAKEN = "taken by somebody else"
    UNREADABLE = "still cannot be read"
    NO_CALL_ID = "still names no call"
    GONE = "nothing is kept of it any more"


WRITES: Final = frozenset({Verdict.WRITE, Verdict.FORCED, Verdict.UNREAD})
NEEDS_OPERATOR: Final = frozenset(
    {
        Verdict.EDITED,
        Verdict.REFUSED,
        Verdict.NO_OUTCOME,
        Verdict.NAMES_UNKNOWN,
        Verdict.TAKEN,
        Verdict.UNREADABLE,
        Verdict.NO_CALL_ID,
        Verdict.GONE,
    }
)
_AT_REST: Final[Mapping[DeliveryState, Verdict]] = {
    DeliveryState.OPEN: Verdict.NOT_FINAL,
    DeliveryState.STALLED: Verdict.NOT_FINAL,
    DeliveryState.UNMATCHED: Verdict.UNMATCHED,
    DeliveryState.LEFT_ALONE: Verdict.LEFT_ALONE,
    DeliveryState.DELIVERED: Verdict.ALREADY,
    DeliveryState.FAILED: Verdict.NO_OUTCOME,
}


@dataclass(frozen=True, slots=True)
class Refused:
    """Buildr does not show the call; `text` is why."""

    text: str


BuildrState = UpdatedCall | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayContext:
    """
    What is decided by, whichever call it is; `names` are the account's outcomes by id,
    `outcome_ids` is None if they were never read.
    """

    config: OutcomeConfig
    timing: Timing
    rules: MatchingRules = field(default_factory=MatchingRules)
    outcome_ids: Mapping[str, str] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, settings: Settings, store: Store) -> Self:
        """What the settings and the account's outcomes, as last read from Buildr, say."""
        stored = await store.outcomes.load()
        basis = cls(
            config=settings.outcome_config,
            timing=Timing.of(settings),
            rules=MatchingRules.of(settings),
        )
        if stored is None:
            return basis
        return replace(
            basis,
            outcome_ids=outcome_ids_of(stored),
            names={outcome_id: name for name, outcome_id in stored.names},
        )

    def name_of(self, outcome_id: str | None) -> str | None:
        """An outcome as people call it; None for no outcome."""
        return None if not outcome_id else self.names.get(outcome_id, f"id {outcome_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCandidate:
    """
    All that is kept of what is to be put through again: a known call, or a failed `entry` with what
    its raw messages say today.

    `expected` is the expected call that it may be, where neither message nor link names one; `ref`
    is None if nobody can tell which call it is.
    """

    ref: str | None
    stored: StoredCall | None = None
    link: Link | None = None
    expected: ExpectedCallMatch | None = None
    entry: Failed | None = None
    message_ids: tuple[str, ...] = ()
    received_at: datetime | None = None
    reading: ParsedMessages = field(default_factory=ParsedMessages)

    @property
    def record(self) -> DeliveryRecord:
        """Where the call stands, a new one if nothing is known of it."""
        record = (
            self.stored.record if self.stored is not None else DeliveryRecord(ref=self.ref or "")
        )
        first = min(
            (at for at in (record.first_received_at, self.received_at) if at is not None),
            default=None,
        )
        return replace(record, first_received_at=first)

    @property
    def events(self) -> frozenset[CallEvent]:
        """
        The events of all messages, those that were read anew in place of what they said before.
        """
        known = {} if self.stored is None else self.stored.events
        return frozenset(
            event for events in {**known, **self.reading.events}.values() for event in events
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAssessment:
    """
    A verdict, and what it is about.

    `outcome_now` is what Buildr holds, as far as it was read, else what it has from us;
    `outcome_then` what it will hold. `requests` is what it costs. `changes_outcome` is false where
    only notes or ids are written.
    """

    case: ReplayCandidate
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
        """Whether nothing of it is left to a person."""
        return self.verdict not in NEEDS_OPERATOR

    @property
    def name(self) -> str:
        """The id of the failed entry, else the call's name."""
        return self.case.entry.entry_id if self.case.entry is not None else self.case.ref or ""

    def as_dict(self) -> dict[str, object]:
        """The verdict as plain JSON values."""
        return {
            "id": self.name,
            "call": self.case.ref,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "buildr_call_id": self.buildr_call_id,
            "outcome_now": self.outcome_now,
            "outcome_then": self.outcome_then,
            "requests": self.requests,
        }


def assess(
    case: ReplayCandidate,
    basis: ReplayContext,
    replay_request: ReplayRequest,
    *,
    now: datetime,
    held: BuildrState | None = None,
) -> ReplayAssessment:
    """
    Decide what comes of putting a case through again by a replay request.

    `held` is what Buildr was seen to hold, None if nobody has looked.
    """
    events = case.events
    if (lost := _lost(case, events)) is not None:
        return ReplayAssessment(case=case, verdict=lost)
    if not events:
        return ReplayAssessment(
            case=case,
            verdict=Verdict.LEFT_ALONE,
            detail="its messages are known today and not wanted",
        )
    call = fold(events)
    plan = make_plan(
        PlanInputs(
            record=case.record,
            call=call,
            link=case.link,
            expected=case.expected,
            internal=why_internal(call, basis.rules),
            config=basis.config,
            outcome_ids=basis.outcome_ids,
            timing=basis.timing,
            replay_request=replay_request,
        ),
        now,
    )
    record = plan.record
    written_id = (
        record.written.get(OUTCOME_FIELD) if record.written_to == record.buildr_call_id else None
    )
    judged = ReplayAssessment(
        case=case,
        verdict=Verdict.NAMES_UNKNOWN
        if plan.awaits_names
        else _AT_REST.get(record.state, Verdict.WRITE),
        detail=record.reason,
        call=call,
        buildr_call_id=record.buildr_call_id,
        outcome_now=basis.name_of(written_id),
        outcome_then=basis.name_of(written_id),
        rule=record.rule,
    )
    return (
        _at_rest(judged, plan)
        if plan.sending is None
        else _to_write(_sent(judged, plan.sending, basis), plan.sending, replay_request, held)
    )


def _lost(case: ReplayCandidate, events: frozenset[CallEvent]) -> Verdict | None:
    """Why nothing can be done with what is kept, or None."""
    entry = case.entry
    if entry is not None and entry.kind == "message":
        if not case.message_ids:
            return Verdict.GONE
        if entry.entry_id in case.reading.failed:
            return Verdict.NO_CALL_ID if case.ref is None else Verdict.UNREADABLE
        return Verdict.NO_CALL_ID if case.ref is None else None
    return None if events else Verdict.GONE


def _at_rest(judged: ReplayAssessment, plan: Plan) -> ReplayAssessment:
    if plan.record.state is not DeliveryState.DELIVERED:
        return judged
    written_at = plan.record.written_at
    entry = judged.case.entry
    is_newer = entry is not None and written_at is not None and written_at > entry.failed_at
    detail = (
        f"{plan.record.reason}, written {written_at:%Y-%m-%d %H:%M} UTC"
        if written_at is not None
        else plan.record.reason
    )
    return replace(judged, verdict=Verdict.NEWER if is_newer else Verdict.ALREADY, detail=detail)


def _sent(judged: ReplayAssessment, sending: BuildrWrite, basis: ReplayContext) -> ReplayAssessment:
    wanted_id = sending.fields.get(OUTCOME_FIELD)
    return replace(
        judged,
        detail=judged.rule or "",
        outcome_then=basis.names.get(wanted_id or "", sending.outcome),
        requests=sending.requests,
        changes_outcome=wanted_id is not None,
    )


def _to_write(
    judged: ReplayAssessment,
    sending: BuildrWrite,
    replay_request: ReplayRequest,
    held: BuildrState | None,
) -> ReplayAssessment:
    case = judged.case
    if replay_request.is_forced:
        return replace(judged, verdict=Verdict.FORCED)
    if case.entry is None and _is_on_its_way(case):
        return replace(judged, verdict=Verdict.ON_ITS_WAY, detail=case.record.reason, requests=0)
    if held is None:
        return replace(judged, verdict=Verdict.UNREAD)
    if isinstance(held, Refused):
        return replace(judged, verdict=Verdict.REFUSED, detail=held.text, requests=0)
    held_id, held_name = (
        (EMPTY, None)
        if held.call_outcome is None
        else (held.call_outcome.id, held.call_outcome.name)
    )
    if (
        held.has_outcome
        and sending.allowed_outcome_ids is not None
        and held_id not in sending.allowed_outcome_ids
    ):
        detail = f"Buildr holds {held_name or 'no outcome'}; from us it had {judged.outcome_now or 'none'}"
        return replace(
            judged,
            verdict=Verdict.EDITED,
            detail=detail,
            outcome_now=held_name,
            outcome_then=held_name,
            requests=0,
        )
    return replace(
        judged,
        verdict=Verdict.WRITE,
        outcome_now=held_name if held.has_outcome else judged.outcome_now,
    )


def _is_on_its_way(case: ReplayCandidate) -> bool:
    is_marked = case.record.replay_request is not None or (
        case.stored is not None and case.stored.replay_request is not None
    )
    return is_marked or case.record.state in (DeliveryState.WAITING, DeliveryState.SETTLING)
