"""
Which expected call a telephone call is, and why it is none of the others.

Redis is only read here; what was chosen is claimed by the job when it commits.
"""

from collections.abc import Sequence
from datetime import datetime

from service.phone_numbers import Number
from service.store.expectations import CandidateSnapshot, ExpectedCall
from service.store.expected_calls import ExpectedCalls
from service.store.keys import ref_of
from workers.calls.fold import Call
from workers.matching.candidates import (
    Candidate,
    RejectedCandidate,
    Rejection,
    assess,
    common_number,
    registration_order,
)
from workers.matching.customer_numbers import MatchingRules, customer_numbers, start_of
from workers.matching.selection import ExpectedCallMatch, select, select_none_of_too_many


async def find_expected_call(
    expected: ExpectedCalls, call: Call, rules: MatchingRules, *, first_received_at: datetime | None
) -> tuple[CandidateSnapshot, ExpectedCallMatch]:
    """
    Read which expected calls a telephone call may be, and choose; claims nothing.

    The snapshot is what the choice rests on: the commit compares it with what is registered then.
    Raises redis-py's errors.
    """
    # Sorted, so that the revisions are read and compared in one order for each run.
    numbers = sorted({number.e164 for number in customer_numbers(call, rules)})
    started_at = start_of(call, first_received_at)
    ref = ref_of(call.source, call.source_call_id)
    snapshot = await expected.read_candidates(ref, numbers, at=started_at)
    return snapshot, choose(call, snapshot, rules, started_at=started_at)


def choose(
    call: Call, snapshot: CandidateSnapshot, rules: MatchingRules, *, started_at: datetime | None
) -> ExpectedCallMatch:
    """
    Choose among the candidates; their order makes no difference, and one that does not fit changes
    nothing.

    An expected call that this call has claimed before stays chosen, as long as its number is still
    the customer's. Else a candidate that names the call's agent beats one that names nobody, and
    between several that fit equally well the policy decides, or none is chosen.
    """
    numbers = customer_numbers(call, rules)
    candidates: list[Candidate] = []
    rejections: list[Rejection] = []
    # A set: an entry with two numbers of this call is read once for each.
    for expected in sorted(set(snapshot.candidates), key=registration_order):
        assessment = assess(expected, call, numbers, started_at=started_at)
        if isinstance(assessment, Candidate):
            candidates.append(assessment)
        else:
            rejections.append(assessment)
    if snapshot.is_cut:
        selected = select_none_of_too_many(candidates, rejections)
    else:
        selected = select(candidates, rejections, rules.policy)
    ref = ref_of(call.source, call.source_call_id)
    claimed = next((entry for entry in snapshot.candidates if entry.claimed_by == ref), None)
    return _prefer_claimed(claimed, selected, numbers)


def _prefer_claimed(
    claimed: ExpectedCall | None, selected: ExpectedCallMatch, numbers: Sequence[Number]
) -> ExpectedCallMatch:
    """The expected call that the call has claimed before, if it has its number still."""
    # A claim that is certain was made by an id or a link, and does not outlive them.
    if claimed is None or claimed.is_certain or selected.chosen == claimed:
        return selected
    number = common_number(claimed, numbers)
    # The customer's number has changed with a later event: the claim was for another customer.
    if number is None:
        return selected
    claimed_id = claimed.buildr_call_id
    considered = [entry for entry in selected.considered if entry.buildr_call_id != claimed_id]
    if selected.chosen is not None:
        considered.append(
            RejectedCandidate(
                buildr_call_id=selected.chosen.buildr_call_id,
                why="fits too, but this call has its Buildr call already",
            )
        )
    return ExpectedCallMatch(
        chosen=claimed,
        number=number.e164,
        reason=f"Buildr call {claimed_id} was expected with this number,"
        " and this call has turned out to be it.",
        considered=tuple(considered),
    )
