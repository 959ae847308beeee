"""
Gathers everything that is known of a call for one decision, and claims its expected call.

The decision itself is pure: `workers.delivery.plan`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from service.logs.events import LogEvent
from service.settings.outcomes import OutcomeConfig
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.links import read_link, stored_bytes
from workers.calls.fold import Call
from workers.calls.unknown_end import with_unknown_end
from workers.delivery.outcome_catalog import OutcomeCatalog
from workers.delivery.plan import make_plan
from workers.delivery.plan_types import Plan, PlanInputs, Timing
from workers.jobs.end_requests import EndRequests
from workers.matching.call_parties import parties_of
from workers.matching.callers import find_caller
from workers.matching.customer_numbers import MatchingRules, start_of, why_internal
from workers.matching.expected_calls import find_expected_call
from workers.matching.match import match
from workers.matching.selection import ExpectedCallMatch

# A call in one of these states keeps its expected call.
CLAIMING_STATES: Final = frozenset(
    {
        DeliveryState.LEFT_ALONE,
        DeliveryState.FAILED,
        DeliveryState.DELIVERED,
        DeliveryState.HAND_EDITED,
    }
)
# How a call was matched that needs no expected call.
CERTAIN: Final = ("message", "link")
# Each lost claim means that another call got an entry, so that a conflict ends by itself. The limit
# is for many calls with one number at once: then the slot of this job is better used by another
# call, and this one runs again a second later.
MAX_CLAIM_ATTEMPTS: Final = 5

log = structlog.get_logger(__name__)


class ClaimConflict(Exception):
    """
    Raised when other calls have claimed each expected call that this one could be; a later run
    reads new candidates.
    """


class PlanResult(Struct, frozen=True, kw_only=True):
    """
    A plan, and what it rests on, so that the commit notices a later change.

    `link_text` is the link as stored, or None; `numbers` are the revisions of the expected calls by
    phone number (E.164). `started_at` (UTC) is the call's start, as far as it is known. `claimed`
    is the Buildr call of the expected call that it has claimed, `certain` the one that its messages
    or its link name: other calls have to learn of it before the commit, by `ExpectedCalls.take`.
    """

    plan: Plan
    link_text: str | None
    numbers: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    claimed: str | None = None
    certain: str | None = None


class Planner(Struct, frozen=True, kw_only=True):
    """Plans for one account."""

    store: Store
    names: OutcomeCatalog
    config: OutcomeConfig
    rules: MatchingRules
    timing: Timing
    protects_hand_edits: bool
    clock: Callable[[], datetime]
    end_requests: EndRequests

    async def plan(
        self,
        record: DeliveryRecord,
        call: Call,
        *,
        link_text: str | None = None,
        replay_request: ReplayRequest | None,
        part_reason: str | None = None,
    ) -> PlanResult:
        """
        Plan for a call, and claim the expected call that it turns out to be.

        `link_text` is the call's link as it is stored, or None. `part_reason` is set of a call that
        others take in. Raises `ClaimConflict`, and redis-py's errors.
        """
        # Before anything else is read, since it may make the call final, and only a final call is
        # matched.
        ended = with_unknown_end(
            call, self.config, received_at=record.last_received_at, now=self.clock()
        )
        wait_until = None
        if ended is not call:
            # The vendor is asked first how the call ended.
            wait_until = await self.end_requests.wait_until(record, ended)
        if wait_until is None:
            call = ended
        for _ in range(MAX_CLAIM_ATTEMPTS):
            result, choice = await self._plan(record, call, link_text, replay_request, part_reason)
            # The claim comes before the commit. A job that dies in between leaves a claim without a
            # record; the next run of the same call finds it and goes on with it. The other order
            # would let two calls commit the same Buildr call.
            if await self._settle_claims(record, result.plan, choice):
                plan = await self.end_requests.with_request(
                    result.plan, record, call, wait_until=wait_until
                )
                # What people search for it by.
                parties = parties_of(call, region=self.rules.default_region)
                plan = replace(plan, record=replace(plan.record, parties=parties))
                certain = _certain(plan, record)
                return replace(result, plan=plan, claimed=_claimed(plan), certain=certain)
            reason = "another call was faster; looked at again"
            log.info(LogEvent.CALL_EXPECTATION_LOST, reason=reason)
        raise ClaimConflict

    async def _plan(
        self,
        record: DeliveryRecord,
        call: Call,
        link_text: str | None,
        replay_request: ReplayRequest | None,
        part_reason: str | None,
    ) -> tuple[PlanResult, ExpectedCallMatch | None]:
        """A plan that has claimed nothing yet, and the expected call that it may rest on."""
        # The text goes to the commit, which compares it with the link then: a link that is set in
        # between must not wait for the next message of the call.
        link = None if link_text is None else read_link(stored_bytes(link_text))
        internal = part_reason or why_internal(call, self.rules)
        choice: ExpectedCallMatch | None = None
        numbers: Mapping[str, str] = {}
        # An expected call rests on the phone number alone, the weakest proof. It is not even read
        # where the message or a link names the Buildr call, since a claim would take it from the
        # right call.
        if call.is_final and internal is None and match(call, link).how == "none":
            snapshot, choice = await find_expected_call(
                self.store.expected, call, self.rules, first_received_at=record.first_received_at
            )
            numbers = snapshot.revisions
        caller = None
        if call.is_final and internal is None:
            caller = await find_caller(self.store.phone_book, call, self.rules)
        inputs = PlanInputs(
            record=record,
            call=call,
            link=link,
            expected=choice,
            internal=internal,
            caller=caller,
            config=self.config,
            # From memory for a few seconds: hundreds of calls that are due at once must not each
            # read it.
            outcome_ids=await self.names.current(),
            timing=self.timing,
            replay_request=replay_request,
            protects_hand_edits=self.protects_hand_edits,
            part_reason=part_reason,
        )
        result = PlanResult(
            plan=make_plan(inputs, self.clock()),
            link_text=link_text,
            numbers=numbers,
            started_at=start_of(call, record.first_received_at),
        )
        return result, choice

    async def _settle_claims(
        self, record: DeliveryRecord, plan: Plan, choice: ExpectedCallMatch | None
    ) -> bool:
        """
        Claim or release expected calls, before anything is written.

        Returns False if another call has claimed the chosen one meanwhile.
        """
        call_match = plan.match
        expected_calls = self.store.expected
        # Of an unreadable link it is not known which claim it stands for: what the call has claimed
        # must not become free for another call.
        if call_match is None or call_match.how == "unreadable":
            return True
        # The job notes it, together with what else it asks Redis for.
        if call_match.how in CERTAIN and call_match.buildr_call_id is not None:
            return True
        if call_match.how != "expected" or choice is None or choice.chosen is None:
            # Also of a call that has none by its record: a job may have died between its claim and
            # its commit.
            await expected_calls.release(record.ref)
            return True
        # A certain claim is one of an id or a link. If the call is found by its number now, the
        # link was removed, and the claim is made anew by the number.
        has_claim = choice.chosen.claimed_by == record.ref and not choice.chosen.is_certain
        # A call that only waits for its time, or is settling, claims nothing yet: a better
        # candidate may still come, and a claim would send other calls to `unmatched` meanwhile.
        if _claimed(plan) is None or has_claim:
            return True
        return await expected_calls.claim(record.ref, choice.chosen, number=choice.number)


def _certain(plan: Plan, record: DeliveryRecord) -> str | None:
    """The Buildr call that a call is for certain, if that is news; what is committed was noted."""
    if plan.match is None or plan.match.how not in CERTAIN:
        return None
    if plan.match.buildr_call_id == record.buildr_call_id:
        return None
    return plan.match.buildr_call_id


def _claimed(plan: Plan) -> str | None:
    """The Buildr call of the expected call that a plan has to have claimed, or None."""
    if plan.match is None or plan.match.how != "expected":
        return None
    # Claimed is what is written now or what has come to its end. Between these, the plan of the
    # next run decides again.
    if plan.sending is None and plan.record.state not in CLAIMING_STATES:
        return None
    return plan.match.buildr_call_id
