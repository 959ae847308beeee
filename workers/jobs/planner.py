"""
Everything that is known of a call, brought together for one decision, and what the decision claims.

The decision itself is pure: `workers.delivery.plan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState, ReplayRequest
from workers.calls.fold import Call
from workers.delivery.outcome_catalog import OutcomeCatalog
from workers.delivery.plan import (
    Plan,
    PlanInputs,
    Timing,
    make_plan,
)
from workers.matching.customer_numbers import MatchingRules, start_of, why_internal
from workers.matching.expected_calls import find_expected_call
from workers.matching.match import match
from workers.matching.selection import ExpectedCallMatch

# A call at rest in one of these has its expected call for good.
DECIDED: Final = frozenset(
    {
        DeliveryState.LEFT_ALONE,
        DeliveryState.FAILED,
        DeliveryState.DELIVERED,
        DeliveryState.HAND_EDITED,
    }
)
MOST_ROUNDS: Final = 5

log = structlog.get_logger(__name__)


class ClaimConflict(Exception):
    """
    Raised when other calls have claimed each expected call that this one could be; a later look
    sees more.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanResult:
    """
    A plan, and what it was made from: by the link's text and the revisions of the numbers a later
    change is noticed.

    `started_at` (UTC) is the call's start, as far as it is known. `claimed` is the expected call
    that it has claimed.
    """

    plan: Plan
    link_text: str
    numbers: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    claimed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Plans for one account."""

    store: Store
    names: OutcomeCatalog
    config: OutcomeConfig
    rules: MatchingRules
    timing: Timing
    protects_hand_edits: bool
    clock: Callable[[], datetime]

    async def plan(
        self, before: DeliveryRecord, call: Call, *, replay_request: ReplayRequest | None
    ) -> PlanResult:
        """
        Plan for a call, and claim the expected call that it turns out to be.

        Raises `ClaimConflict`, and redis-py's errors.
        """
        for _ in range(MOST_ROUNDS):
            planned, choice = await self._plan(before, call, replay_request)
            if await self._claim(before, planned.plan, choice):
                return replace(planned, claimed=_claimed(planned.plan))
            log.info(
                LogEvent.CALL_EXPECTATION_LOST, reason="another call was faster; looked at again"
            )
        raise ClaimConflict

    async def _plan(
        self, before: DeliveryRecord, call: Call, replay_request: ReplayRequest | None
    ) -> tuple[PlanResult, ExpectedCallMatch | None]:
        link, link_text = await self.store.links.load(before.ref)
        internal = why_internal(call, self.rules)
        choice: ExpectedCallMatch | None = None
        numbers: Mapping[str, str] = {}
        if call.is_final and internal is None and match(call, link).how == "none":
            look, choice = await find_expected_call(
                self.store.expected, call, self.rules, first_received_at=before.first_received_at
            )
            numbers = look.seen
        known = PlanInputs(
            record=before,
            call=call,
            link=link,
            expected=choice,
            internal=internal,
            config=self.config,
            outcome_ids=await self.names.current(),
            timing=self.timing,
            replay_request=replay_request,
            protects_hand_edits=self.protects_hand_edits,
        )
        plan = make_plan(known, self.clock())
        return PlanResult(
            plan=plan,
            link_text=link_text,
            numbers=numbers,
            started_at=start_of(call, before.first_received_at),
        ), choice

    async def _claim(
        self, before: DeliveryRecord, plan: Plan, choice: ExpectedCallMatch | None
    ) -> bool:
        """
        Settle whose the expected call is, before anything is written; False if another call was
        faster.
        """
        found, expected = plan.match, self.store.expected
        if found is None:
            return True
        if found.how in ("message", "link") and found.buildr_call_id is not None:
            if found.buildr_call_id != before.buildr_call_id:
                await expected.take(before.ref, found.buildr_call_id)
        elif found.how == "expected" and choice is not None and choice.chosen is not None:
            if _claimed(plan) is not None and (
                choice.chosen.claimed_by != before.ref or choice.chosen.is_certain
            ):
                return await expected.claim(before.ref, choice.chosen, number=choice.number)
        else:
            # Even of a call that has none by its record: a job may have died between its claim and
            # its commit.
            await expected.release(before.ref)
        return True


def _claimed(plan: Plan) -> str | None:
    """The expected call that a plan has to have claimed, or None."""
    is_decided = plan.sending is not None or plan.record.state in DECIDED
    return (
        plan.match.buildr_call_id
        if is_decided and plan.match is not None and plan.match.how == "expected"
        else None
    )
