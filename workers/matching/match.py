"""
Which Buildr call a telephone call is, and why.
"""

import shlex
from typing import Literal

from msgspec import Struct

from service.store.links import Link, StoredLink, UnreadableLink
from workers.calls.fold import Call
from workers.matching.candidates import RejectedCandidate
from workers.matching.reasons import DAMAGED_LINK, LINK, NO_LINK
from workers.matching.selection import ExpectedCallMatch


class Match(Struct, frozen=True, kw_only=True):
    """
    The Buildr call, or None; `reason` is a sentence for the operator, with what to do where there
    is none.

    `considered` are the expected calls that it might have been, each with why it is not.
    """

    buildr_call_id: str | None
    reason: str
    how: Literal["message", "link", "expected", "none", "conflict", "unreadable"]
    considered: tuple[RejectedCandidate, ...] = ()


def match(call: Call, link: StoredLink | None, expected: ExpectedCallMatch | None = None) -> Match:
    """
    Find the Buildr call of a telephone call.

    The id that the call's own messages name beats a link, and a link beats an expected call. If the
    messages name several, nothing is chosen, unless a link names one of them. A link that replaces
    beats all: an operator knows that the messages are wrong. A link that cannot be read leaves the
    call without a match, whatever else names a Buildr call.
    """
    # It may be one that replaces an id in the messages, or that of a test call: a write to what
    # something weaker names would be to the call that the link was to keep it from.
    if isinstance(link, UnreadableLink):
        return _unreadable(call)
    if link is not None and link.replaces:
        return Match(
            buildr_call_id=link.buildr_call_id,
            reason=f"A link that replaces all else names Buildr call {link.buildr_call_id}.",
            how="link",
        )
    # First: the id went out with the call itself and came back with its messages. A link is set
    # beside the call, and a phone number says only who may have called.
    if call.buildr_call_id is not None:
        return Match(
            buildr_call_id=call.buildr_call_id,
            reason=f"The message itself names Buildr call {call.buildr_call_id}.",
            how="message",
        )
    if link is not None and _may_decide(link, call):
        return Match(
            buildr_call_id=link.buildr_call_id,
            reason=f"A link names Buildr call {link.buildr_call_id}.",
            how="link",
        )
    # Before expected calls: two ids that contradict each other are no reason to believe a number.
    if call.buildr_call_ids:
        return _conflict(call)
    return _by_number(call, expected or ExpectedCallMatch())


def link_for_patch(
    matched: Match, link: StoredLink | None, expected: ExpectedCallMatch | None = None
) -> Link | None:
    """
    The link whose ids of company, contact and project are sent with the outcome.

    The expected call's if that was chosen, else the one that was set for the call.
    """
    if matched.how == "expected" and expected is not None and expected.chosen is not None:
        return expected.chosen.as_link()
    if isinstance(link, UnreadableLink):
        return None
    return link


def _may_decide(link: Link, call: Call) -> bool:
    # A link decides between several ids, but brings in no other: it would be as likely to be wrong.
    return not call.buildr_call_ids or link.buildr_call_id in call.buildr_call_ids


def _conflict(call: Call) -> Match:
    ids = " and ".join(call.buildr_call_ids)
    command = f"{_link_command(call)} {call.buildr_call_ids[0]}"
    return Match(
        buildr_call_id=None,
        reason=f"The messages of this call name different Buildr calls, {ids}."
        f" Choose one of them: {command}",
        how="conflict",
    )


def _unreadable(call: Call) -> Match:
    return Match(
        buildr_call_id=None,
        reason=f"{DAMAGED_LINK} {LINK}{_link_command(call)} ID",
        how="unreadable",
    )


def _by_number(call: Call, expected: ExpectedCallMatch) -> Match:
    if expected.chosen is not None:
        return Match(
            buildr_call_id=expected.chosen.buildr_call_id,
            reason=expected.reason,
            how="expected",
            considered=expected.considered,
        )
    reasons = [NO_LINK]
    if expected.reason:
        reasons.append(expected.reason)
    reasons.append(f"{LINK}{_link_command(call)} ID")
    return Match(
        buildr_call_id=None,
        reason=" ".join(reasons),
        how="none",
        considered=expected.considered,
    )


def _link_command(call: Call) -> str:
    # Quoted: the id is the vendor's text, and operators paste this line into a shell.
    return f"buildr-calls links set {shlex.quote(call.source)} {shlex.quote(call.source_call_id)}"
