"""
Selecting one of several expected calls that fit: by agent, then by the policy of the settings.

What is ambiguous is never guessed: without a policy, several that fit equally well leave the call
unmatched.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from service.store.expectations import ExpectedCall
from service.store.expected_calls import MAX_CANDIDATES
from workers.matching.candidates import (
    Candidate,
    RejectedCandidate,
    Rejection,
    reported,
    span_text,
)
from workers.matching.customer_numbers import Policy


class ExpectedCallMatch(Struct, frozen=True, kw_only=True):
    """
    The expected call that a telephone call is, or None; `reason` is a sentence for the operator.

    `number` is the one (E.164) that both have.
    """

    chosen: ExpectedCall | None = None
    number: str = ""
    reason: str = ""
    considered: tuple[RejectedCandidate, ...] = ()


def select(
    candidates: Sequence[Candidate], rejections: Sequence[Rejection], policy: Policy
) -> ExpectedCallMatch:
    """
    Select one of the candidates that fit, or none if several are exactly even.

    `rejections` are those that do not fit; they are only reported.
    """
    if not candidates:
        return _none_fits(rejections)
    # The agent before the policy: it says something about this call, the policy only about all.
    best, without_agent = _by_agent(candidates)
    best, outranked = _by_policy(best, policy)
    rejections = [*rejections, *without_agent, *outranked]
    # With a policy too: two at the same distance are as ambiguous as without one.
    if len(best) > 1:
        return _tied(best, rejections)
    why = _why(best[0], policy, is_only=len(candidates) == 1)
    return _selected(best[0], rejections, why)


def select_none_of_too_many(
    candidates: Sequence[Candidate], rejections: Sequence[Rejection]
) -> ExpectedCallMatch:
    """The match where Redis has more candidates than were read: the best may be among the rest."""
    why = "fits, but there are more than can be compared"
    unread = [Rejection(candidate.expected, why) for candidate in candidates]
    return ExpectedCallMatch(
        reason=f"More than {MAX_CANDIDATES} calls are expected with this number at this time:"
        " too many to choose.",
        considered=reported([*rejections, *unread]),
    )


def _none_fits(rejections: Sequence[Rejection]) -> ExpectedCallMatch:
    if not rejections:
        return ExpectedCallMatch()
    return ExpectedCallMatch(
        reason="No call that fits is expected with this number.", considered=reported(rejections)
    )


def _by_agent(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejection]]:
    """The candidates that name the call's agent, if any does, else all; and the others."""
    best = [candidate for candidate in candidates if candidate.names_agent]
    if not best:
        return list(candidates), []
    why = f"names no agent, and Buildr call {_ids(best)} names the right one"
    others = [candidate for candidate in candidates if not candidate.names_agent]
    return best, [Rejection(candidate.expected, why) for candidate in others]


def _by_policy(
    candidates: Sequence[Candidate], policy: Policy
) -> tuple[list[Candidate], list[Rejection]]:
    """The candidates that the policy puts first, several if they are even; and the others."""
    if policy == "nearest":
        return _nearest(candidates)
    if policy == "oldest":
        return _oldest(candidates)
    return list(candidates), []


def _nearest(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejection]]:
    least = min(candidate.distance for candidate in candidates)
    best = [candidate for candidate in candidates if candidate.distance == least]
    others = [candidate for candidate in candidates if candidate.distance != least]
    nearer = f"from the start of the call, and Buildr call {_ids(best)} {span_text(least)}"
    return best, [
        Rejection(other.expected, f"is expected {span_text(other.distance)} {nearer}")
        for other in others
    ]


def _oldest(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Rejection]]:
    first = min(_registered(candidate) for candidate in candidates)
    best = [candidate for candidate in candidates if _registered(candidate) == first]
    others = [candidate for candidate in candidates if _registered(candidate) != first]
    why = f"was registered after Buildr call {_ids(best)}"
    return best, [Rejection(other.expected, why) for other in others]


def _registered(candidate: Candidate) -> tuple[datetime, int]:
    # Two registrations of the same moment are ordered by their revision, Redis' own count.
    return candidate.expected.registered_at, candidate.expected.revision


def _tied(candidates: Sequence[Candidate], rejections: Sequence[Rejection]) -> ExpectedCallMatch:
    tied = []
    for candidate in candidates:
        others = [other for other in candidates if other is not candidate]
        tied.append(Rejection(candidate.expected, f"fits as well as Buildr call {_ids(others)}"))
    return ExpectedCallMatch(
        reason=f"{len(candidates)} expected calls fit equally well:"
        f" Buildr calls {_ids(candidates)}.",
        considered=reported([*rejections, *tied]),
    )


def _selected(candidate: Candidate, rejections: Sequence[Rejection], why: str) -> ExpectedCallMatch:
    expected = candidate.expected
    registered_at = f"{expected.registered_at:%Y-%m-%d %H:%M:%S} UTC"
    return ExpectedCallMatch(
        chosen=expected,
        number=candidate.number,
        reason=f"Buildr call {expected.buildr_call_id} was registered for this number"
        f" at {registered_at} and {why}.",
        considered=reported(rejections),
    )


def _why(candidate: Candidate, policy: Policy, *, is_only: bool) -> str:
    if candidate.names_agent:
        return "names its agent"
    if is_only:
        return "is the only one that fits"
    return f"is the {policy} of those that fit"


def _ids(candidates: Sequence[Candidate]) -> str:
    return " and ".join(candidate.expected.buildr_call_id for candidate in candidates)
