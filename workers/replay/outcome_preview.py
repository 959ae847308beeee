"""
A changed outcome map, applied to the known calls: what would change, and a rewrite of just that.

Nothing is read from Buildr here. "Now" is what Buildr holds from us; of a call that was not written
yet, it is what the present map decides.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.rate_limit.lanes import Lane
from workers.delivery.desired import resolve_outcome
from workers.outcomes.decide import map_digest, outcome_key
from workers.replay.assessment import ReplayAssessment, ReplayContext, assess
from workers.replay.candidates import ReplayCandidate
from workers.replay.verdicts import Verdict

# What they are sent is decided when they are written, by the map of that time.
NOT_WRITTEN_YET: Final = frozenset({Verdict.UNMATCHED, Verdict.ALREADY_QUEUED})


class ChangeKind(StrEnum):
    """What `--apply` does about a call that changes."""

    REWRITTEN = "rewritten"
    KEPT = "left alone, Buildr keeps it"
    TO_COME = "not written yet, changes by itself"


class OutcomeChange(Struct, frozen=True, kw_only=True):
    """
    One call that the other map decides differently, from outcome `now` to outcome `then`.

    None is no outcome: the call is left alone. `rule` is the rule of the other map.
    """

    ref: str
    kind: ChangeKind
    agent: str | None
    result: str | None
    buildr_call_id: str | None
    now: str | None
    then: str | None
    rule: str
    requests: int = 0

    def as_dict(self) -> dict[str, object]:
        """The change as plain JSON values."""
        return {
            "call": self.ref,
            "kind": self.kind.name.lower(),
            "agent": self.agent,
            "result": self.result,
            "buildr_call_id": self.buildr_call_id,
            "outcome_now": self.now,
            "outcome_then": self.then,
            "rule": self.rule,
        }


class Preview(Struct):
    """
    All that changes, oldest call first; `left_out` counts calls that are not compared, by reason.
    """

    looked_at: int = 0
    changes: list[OutcomeChange] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def rewritten(self) -> list[OutcomeChange]:
        """The changes that `--apply` sends to Buildr."""
        return [change for change in self.changes if change.kind is ChangeKind.REWRITTEN]

    @property
    def requests(self) -> int:
        """How many requests `--apply` takes."""
        return sum(change.requests for change in self.changes)


class Comparison(Struct, frozen=True, kw_only=True):
    """
    The present outcome map and the one to try, over the same account.

    With `is_forced` hand-edited calls are compared too.
    """

    present: ReplayContext
    config: OutcomeConfig
    is_forced: bool = False

    async def run(
        self,
        candidates: AsyncIterator[ReplayCandidate],
        *,
        now: datetime,
        agent: str | None = None,
        limit: int | None = None,
    ) -> Preview:
        """Compare call by call, only those of `agent` if set, until `limit` changes are found."""
        preview = Preview()
        async for candidate in candidates:
            left_out = self._left_out(candidate)
            assessment = self._assess(candidate, now=now, is_forced=False)
            if left_out is None and not _is_decided(assessment):
                left_out = Verdict.NOT_FINAL.label
            if left_out is not None:
                preview.left_out[left_out] = preview.left_out.get(left_out, 0) + 1
                continue
            if agent is not None and not _is_of_agent(assessment, agent):
                continue
            preview.looked_at += 1
            change = self._change(assessment, now=now)
            if change is not None:
                preview.changes.append(change)
            # Changes and not calls: an operator who tries a map on ten calls wants to see ten of
            # them.
            if limit is not None and len(preview.changes) >= limit:
                break
        return preview

    def _left_out(self, candidate: ReplayCandidate) -> str | None:
        """Why no map decides about a call whatever its result, or None."""
        state = candidate.record.state
        # It changes by its own replay, which decides by the map of that day anyway.
        if state is DeliveryState.FAILED:
            return "failed, see: buildr-calls failed replay"
        if state is DeliveryState.HAND_EDITED and not self.is_forced:
            return "hand-edited in Buildr"
        return None

    def _assess(
        self, candidate: ReplayCandidate, *, now: datetime, is_forced: bool
    ) -> ReplayAssessment:
        replay_request = ReplayRequest(lane=Lane.BACKFILL, at=now, is_forced=is_forced)
        context = replace(self.present, config=self.config)
        return assess(candidate, context, replay_request, now=now)

    def _change(self, assessment: ReplayAssessment, *, now: datetime) -> OutcomeChange | None:
        """What changes about one call, if anything."""
        candidate = assessment.candidate
        verdict = assessment.verdict
        if verdict in NOT_WRITTEN_YET or candidate.record.state is DeliveryState.RETRYING:
            return self._change_to_come(assessment)
        if verdict is Verdict.UNCHECKED and assessment.changes_outcome:
            requests = assessment.requests
            # A forced write is not read first, and costs a request less.
            if self.is_forced:
                requests = self._assess(candidate, now=now, is_forced=True).requests
            change = _change_of(assessment, ChangeKind.REWRITTEN, then=assessment.outcome_then)
            return replace(change, requests=requests)
        if verdict is Verdict.LEFT_ALONE and assessment.outcome_now is not None:
            return _change_of(assessment, ChangeKind.KEPT, then=None)
        return None

    def _change_to_come(self, assessment: ReplayAssessment) -> OutcomeChange | None:
        call = assessment.call
        if call is None:
            return None
        outcome_ids = self.present.outcome_ids
        present = resolve_outcome(call, self.present.config, outcome_ids)
        other = resolve_outcome(call, self.config, outcome_ids)
        # By id: two names of one outcome are no change.
        if present.outcome_id == other.outcome_id:
            return None
        then = self.present.name_of(other.outcome_id)
        change = _change_of(assessment, ChangeKind.TO_COME, then=then)
        now = self.present.name_of(present.outcome_id)
        return replace(change, now=now, rule=other.decision.rule)


def _is_decided(assessment: ReplayAssessment) -> bool:
    return assessment.call is not None and assessment.verdict not in (
        Verdict.NOT_FINAL,
        Verdict.GONE,
    )


def _is_of_agent(assessment: ReplayAssessment, agent: str) -> bool:
    if assessment.call is None:
        return False
    return outcome_key(assessment.call.agent or "") == outcome_key(agent)


def _change_of(
    assessment: ReplayAssessment, kind: ChangeKind, *, then: str | None
) -> OutcomeChange:
    agent = None
    result = None
    if assessment.call is not None:
        agent = assessment.call.agent
    if assessment.call is not None and assessment.call.result is not None:
        result = assessment.call.result.value
    return OutcomeChange(
        ref=assessment.candidate.ref or "",
        kind=kind,
        agent=agent,
        result=result,
        buildr_call_id=assessment.buildr_call_id,
        now=assessment.outcome_now,
        then=then,
        rule=assessment.rule or "",
    )


async def workers_fault(store: Store, config: OutcomeConfig) -> str | None:
    """
    Why no worker can rewrite calls by a map now: none runs, or some decide by another map.

    None if all running workers decide by this map.
    """
    # All workers, since any of them may get the job. One with the old file would write the old
    # outcome over the new one, or nothing at all, with no error.
    digests = await store.workers.map_digests()
    if not digests:
        return "no worker is running"
    others = [worker for worker, digest in digests.items() if digest != map_digest(config)]
    if not others:
        return None
    return f"{len(others)} of {len(digests)} running workers decide by another map"


async def apply(
    store: Store, changes: Iterable[OutcomeChange], *, at: datetime, is_forced: bool
) -> AsyncIterator[bool]:
    """
    Request the rewrite of calls, which workers do after all that is more urgent.

    Yields False for a call that is no longer stored. Twice is harmless.
    """
    replay_request = ReplayRequest(lane=Lane.BACKFILL, at=at, is_forced=is_forced)
    for change in changes:
        yield await store.calls.request_replay(change.ref, replay_request)
