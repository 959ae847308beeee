"""
A changed map of outcomes, run over the calls that are known: what would change, and rewriting just
that.

Nothing is asked of Buildr here. "Now" is what Buildr has from us; a call that was not written yet
is decided by whichever map is in place when its turn comes, and "now" is what the present one says.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.rate_limit.lanes import Lane
from workers.calls.fold import Call
from workers.outcomes.decide import (
    decide,
    map_digest,
    outcome_key,
    resolve,
)
from workers.replay.verdicts import (
    ReplayAssessment,
    ReplayCandidate,
    ReplayContext,
    Verdict,
    assess,
)

NOT_WRITTEN_YET: Final = frozenset({Verdict.UNMATCHED, Verdict.ON_ITS_WAY})


class Kind(StrEnum):
    """What `--apply` does about a call that changes."""

    REWRITTEN = "rewritten"
    KEPT = "left alone, Buildr keeps it"
    TO_COME = "not written yet, changes by itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeChange:
    """
    One call that the other map decides otherwise; an outcome that is None is left alone. `rule`
    decides then.
    """

    ref: str
    kind: Kind
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


@dataclass(slots=True)
class Preview:
    """
    All that changes, oldest call first; `left_out` counts calls that no map is asked about, by the
    reason.
    """

    looked_at: int = 0
    changes: list[OutcomeChange] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def rewritten(self) -> list[OutcomeChange]:
        """What `--apply` sends to Buildr."""
        return [change for change in self.changes if change.kind is Kind.REWRITTEN]

    @property
    def requests(self) -> int:
        """How many requests that takes."""
        return sum(change.requests for change in self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    The map in place and the one to try, over the same account; `is_forced` takes in calls that were
    left to a person.
    """

    present: ReplayContext
    config: OutcomeConfig
    is_forced: bool = False

    async def run(
        self,
        cases: AsyncIterator[ReplayCandidate],
        *,
        now: datetime,
        agent: str | None = None,
        limit: int | None = None,
    ) -> Preview:
        """Compare call by call, until `limit` calls that change are found."""
        preview = Preview()
        async for case in cases:
            found = self.compare(case, now=now)
            if isinstance(found, str):
                preview.left_out[found] = preview.left_out.get(found, 0) + 1
                continue
            judged, change = found
            if agent is not None and (
                judged.call is None or outcome_key(judged.call.agent or "") != outcome_key(agent)
            ):
                continue
            preview.looked_at += 1
            if change is not None:
                preview.changes.append(change)
                if limit is not None and len(preview.changes) >= limit:
                    break
        return preview

    def compare(
        self, case: ReplayCandidate, *, now: datetime
    ) -> tuple[ReplayAssessment, OutcomeChange | None] | str:
        """What changes about one call, if anything; a text is why no map is asked about it."""
        state = case.record.state
        if state is DeliveryState.FAILED:
            return "failed, see: buildr-calls failed replay"
        if state is DeliveryState.HAND_EDITED and not self.is_forced:
            return "changed by a person"
        judged = self._judge(case, now=now, is_forced=False)
        if judged.call is None or judged.verdict in (Verdict.NOT_FINAL, Verdict.GONE):
            return Verdict.NOT_FINAL.value
        if judged.verdict in NOT_WRITTEN_YET or state is DeliveryState.RETRYING:
            return judged, self._to_come(judged, judged.call)
        if judged.verdict is Verdict.UNREAD and judged.changes_outcome:
            requests = (
                self._judge(case, now=now, is_forced=True).requests
                if self.is_forced
                else judged.requests
            )
            change = _change(judged, judged.call, kind=Kind.REWRITTEN, then=judged.outcome_then)
            return judged, replace(change, requests=requests)
        is_kept = judged.verdict is Verdict.LEFT_ALONE and judged.outcome_now is not None
        return judged, _change(judged, judged.call, kind=Kind.KEPT, then=None) if is_kept else None

    def _judge(self, case: ReplayCandidate, *, now: datetime, is_forced: bool) -> ReplayAssessment:
        replay_request = ReplayRequest(lane=Lane.BACKFILL, at=now, is_forced=is_forced)
        return assess(case, replace(self.present, config=self.config), replay_request, now=now)

    def _to_come(self, judged: ReplayAssessment, call: Call) -> OutcomeChange | None:
        (now_id, now, _) = self._outcome(call, self.present.config)
        (then_id, then, rule) = self._outcome(call, self.config)
        if now_id == then_id:
            return None
        change = _change(judged, call, kind=Kind.TO_COME, then=then)
        return replace(change, now=now, rule=rule)

    def _outcome(self, call: Call, config: OutcomeConfig) -> tuple[str | None, str | None, str]:
        decision = decide(call, config)
        outcome_id = (
            None
            if decision.outcome is None
            else resolve(decision.outcome, self.present.outcome_ids or {})
        )
        return outcome_id, self.present.name_of(outcome_id), decision.rule


def _change(judged: ReplayAssessment, call: Call, *, kind: Kind, then: str | None) -> OutcomeChange:
    return OutcomeChange(
        ref=judged.case.ref or "",
        kind=kind,
        agent=call.agent,
        result=None if call.result is None else call.result.value,
        buildr_call_id=judged.buildr_call_id,
        now=judged.outcome_now,
        then=then,
        rule=judged.rule or "",
    )


async def workers_fault(store: Store, config: OutcomeConfig) -> str | None:
    """
    Why calls cannot be rewritten by a map now: no worker is there, or one decides by another; None
    if all is well.
    """
    maps = await store.workers.map_digests()
    others = [worker for worker, digest in maps.items() if digest != map_digest(config)]
    if not maps:
        return "no worker is running"
    return f"{len(others)} of {len(maps)} running workers decide by another map" if others else None


async def apply(
    store: Store, changes: Iterable[OutcomeChange], *, at: datetime, is_forced: bool
) -> AsyncIterator[bool]:
    """
    Have calls rewritten by the workers, after everything more urgent; False for one that has gone
    meanwhile. Twice is harmless.
    """
    replay_request = ReplayRequest(lane=Lane.BACKFILL, at=at, is_forced=is_forced)
    for change in changes:
        yield await store.calls.request_replay(change.ref, replay_request)
