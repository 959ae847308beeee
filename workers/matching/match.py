"""
Which Buildr call a telephone call is, and why.
"""

import shlex
from dataclasses import dataclass
from typing import Literal

from service.store.links import Link
from workers.calls.fold import Call
from workers.matching.expected_calls import ExpectedCallMatch, RejectedCandidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """
    The Buildr call, or None; `reason` is a sentence for the operator, with what to do where there
    is none.

    `considered` are the expected calls that it might have been, each with why it is not.
    """

    buildr_call_id: str | None
    reason: str
    how: Literal["message", "link", "expected", "none", "conflict"]
    considered: tuple[RejectedCandidate, ...] = ()


def match(call: Call, link: Link | None, expected: ExpectedCallMatch | None = None) -> Match:
    """
    Find the Buildr call of a telephone call.

    The id that the call's own messages name beats a link, and a link beats an expected call. If the
    messages name several, nothing is chosen, unless a link settles it by naming one of them.
    """
    if call.buildr_call_id is not None:
        return Match(
            buildr_call_id=call.buildr_call_id,
            reason=f"The message itself names Buildr call {call.buildr_call_id}.",
            how="message",
        )
    is_settled = link is not None and (
        not call.buildr_call_ids or link.buildr_call_id in call.buildr_call_ids
    )
    if link is not None and is_settled:
        return Match(
            buildr_call_id=link.buildr_call_id,
            reason=f"A link names Buildr call {link.buildr_call_id}.",
            how="link",
        )
    command = (
        f"buildr-calls links set {shlex.quote(call.source)} {shlex.quote(call.source_call_id)}"
    )
    if call.buildr_call_ids:
        ids = " and ".join(call.buildr_call_ids)
        reason = f"The messages of this call name different Buildr calls, {ids}. Choose one of them: {command} {call.buildr_call_ids[0]}"
        return Match(buildr_call_id=None, reason=reason, how="conflict")
    return _expected(expected or ExpectedCallMatch(), command)


def link_for_patch(
    found: Match, link: Link | None, expected: ExpectedCallMatch | None = None
) -> Link | None:
    """
    What is sent along with the outcome: what the expected call says if it was chosen, else what a
    link says.
    """
    if found.how == "expected" and expected is not None and expected.chosen is not None:
        return expected.chosen.as_link()
    return link


def _expected(choice: ExpectedCallMatch, command: str) -> Match:
    if choice.chosen is not None:
        return Match(
            buildr_call_id=choice.chosen.buildr_call_id,
            reason=choice.reason,
            how="expected",
            considered=choice.considered,
        )
    begin = "No message and no link names the Buildr call."
    reason = " ".join(
        each
        for each in (begin, choice.reason, f"Look its id up in Buildr and set a link: {command} ID")
        if each
    )
    return Match(buildr_call_id=None, reason=reason, how="none", considered=choice.considered)
