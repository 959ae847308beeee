"""
How a call ended: from its legs to one word of our vocabulary.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from service.events import (
    AnsweredBy,
    Direction,
    HangupCause,
    Party,
    Result,
)
from workers.calls.legs import Leg
from workers.calls.parties import Parties

MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.FAX})
OUTBOUND_RESULTS: Final[Mapping[HangupCause, Result]] = {
    HangupCause.COMPLETED: Result.CONNECTED,
    HangupCause.BUSY: Result.BUSY,
    HangupCause.NO_ANSWER: Result.NO_ANSWER,
    HangupCause.REJECTED: Result.REJECTED,
    HangupCause.CANCELLED: Result.CANCELLED,
    HangupCause.FAILED: Result.FAILED,
    HangupCause.INVALID_NUMBER: Result.INVALID_NUMBER,
}
# Who picked up, where it was no person.
OUTBOUND_MACHINE_RESULTS: Final[Mapping[AnsweredBy, Result]] = {
    AnsweredBy.MACHINE: Result.LEFT_VOICEMAIL,
    AnsweredBy.FAX: Result.FAILED,
}
# How an inbound call ended that reached no agent's telephone. A source that tells no legs apart and
# no party has an exchange that picks up by itself and may let a call end as `no_answer` when the
# caller gives up.
INBOUND_RESULTS_NO_AGENT: Final[Mapping[HangupCause, Result]] = {
    HangupCause.COMPLETED: Result.ABANDONED,
    HangupCause.CANCELLED: Result.ABANDONED,
    HangupCause.NO_ANSWER: Result.ABANDONED,
    HangupCause.BUSY: Result.MISSED_INBOUND,
    HangupCause.FAILED: Result.MISSED_INBOUND,
    HangupCause.REJECTED: Result.MISSED_INBOUND,
    HangupCause.INVALID_NUMBER: Result.MISSED_INBOUND,
}
# The same where the source states that the leg is the customer's: it rang at somebody's, unless the
# caller hung up.
INBOUND_RESULTS_STATED_CUSTOMER: Final[Mapping[HangupCause, Result]] = {
    **INBOUND_RESULTS_NO_AGENT,
    HangupCause.COMPLETED: Result.MISSED_INBOUND,
    HangupCause.NO_ANSWER: Result.MISSED_INBOUND,
}
AGENT_UNREACHED: Final = frozenset(
    {
        HangupCause.NO_ANSWER,
        HangupCause.BUSY,
        HangupCause.FAILED,
        HangupCause.REJECTED,
        HangupCause.INVALID_NUMBER,
    }
)
UNANSWERED: Final = frozenset(
    {
        Result.NO_ANSWER,
        Result.BUSY,
        Result.REJECTED,
        Result.CANCELLED,
        Result.INVALID_NUMBER,
        Result.MISSED_INBOUND,
        Result.ABANDONED,
        Result.VOICEMAIL_RECEIVED,
    }
)


def read_result(parties: Parties, *, has_voicemail: bool) -> Result | None:
    """
    The result of a call, or None while it is not over or cannot be known.

    A call whose direction no leg tells is read like an outbound one: the cause is then taken at its
    word.
    """
    if parties.direction is Direction.INBOUND:
        return _inbound(parties, has_voicemail=has_voicemail)
    return _outbound(parties)


def _outbound(parties: Parties) -> Result | None:
    """
    The customer's leg decides.

    A fax machine that picked up makes the call `failed`: no person was reached and no message left.
    An answered leg of no duration stays `connected`: a source that says `completed` says that
    somebody picked up. An agent's own leg that was never answered decides for a customer who was
    therefore never dialled; one that was answered says nothing about the customer.
    """
    customer = parties.customer
    if customer is None:
        root = parties.agent_root
        is_undialled = (
            root is not None and root.is_ended and root.hangup_cause is not HangupCause.COMPLETED
        )
        return (
            OUTBOUND_RESULTS[root.hangup_cause]
            if root is not None and is_undialled and root.hangup_cause is not None
            else None
        )
    if not customer.is_ended or not (customer.hangup_cause or customer.is_answered):
        return None
    result = OUTBOUND_RESULTS[customer.hangup_cause or HangupCause.COMPLETED]
    if result is Result.CONNECTED and customer.answered_by is not None:
        return OUTBOUND_MACHINE_RESULTS.get(customer.answered_by, result)
    return result


def _inbound(parties: Parties, *, has_voicemail: bool) -> Result | None:
    """
    The customer's leg says that the call is over, the agents' legs say what became of it.

    That the customer's leg itself was answered proves nothing, since exchanges pick up by
    themselves, unless the source states that it is the `customer`'s (it then means a person), that
    a human answered it, or that it was joined with a leg that this call does not have.
    """
    line, agents = parties.customer, parties.agents
    if not (
        line.is_ended if line is not None else bool(agents) and all(leg.is_ended for leg in agents)
    ):
        return None
    if answered_by_agent(parties):
        return Result.CONNECTED
    if has_voicemail:
        return Result.VOICEMAIL_RECEIVED
    return _missed_or_abandoned(line, agents)


def _missed_or_abandoned(line: Leg | None, agents: tuple[Leg, ...]) -> Result | None:
    if any(leg.unknown_values and not leg.is_ended for leg in agents):
        return None
    if any(leg.hangup_cause in AGENT_UNREACHED or leg.is_answered for leg in agents):
        return Result.MISSED_INBOUND
    if agents:
        return Result.ABANDONED
    # A leg that was answered and of whose end no cause is told was completed, as on an outbound
    # call.
    cause = (
        None
        if line is None
        else line.hangup_cause or (HangupCause.COMPLETED if line.is_answered else None)
    )
    if line is None or cause is None:
        return None
    return (INBOUND_RESULTS_NO_AGENT if line.party is None else INBOUND_RESULTS_STATED_CUSTOMER)[
        cause
    ]


def answered_by_agent(parties: Parties) -> tuple[Leg, ...]:
    """The legs that prove that a person of ours took an inbound call."""
    line = parties.customer
    found = [leg for leg in parties.agents if leg.is_answered and leg.answered_by not in MACHINES]
    if (
        line is not None
        and line.is_answered
        and line.answered_by not in MACHINES
        and _is_taken(line, parties.agents)
    ):
        found.append(line)
    return tuple(found)


def _is_taken(line: Leg, agents: tuple[Leg, ...]) -> bool:
    # Joined, but with no leg that is known to have been picked up: nothing else says that somebody
    # took it.
    is_joined = line.is_bridged and not any(leg.is_answered for leg in agents)
    return is_joined or line.party is Party.CUSTOMER or line.answered_by is AnsweredBy.HUMAN


def read_answered_at(parties: Parties) -> datetime | None:
    """When the two sides could first talk (UTC): the customer picked up, or one of us did."""
    if parties.direction is not Direction.INBOUND:
        return None if parties.customer is None else parties.customer.answered_at
    return min(
        (leg.answered_at for leg in answered_by_agent(parties) if leg.answered_at is not None),
        default=None,
    )


def read_duration_s(parties: Parties, result: Result | None) -> int | None:
    """
    The talk time of a call in seconds, from answer to hang-up on the customer's leg; 0 if nobody
    answered, None if unknown or not over.

    Of an inbound call that is the whole time that the caller was on the line, waiting included.
    """
    if result is None:
        return None
    if result in UNANSWERED:
        return 0
    customer = parties.customer
    talked = (
        [leg.duration_s for leg in answered_by_agent(parties) if leg.duration_s is not None]
        if parties.direction is Direction.INBOUND
        else []
    )
    # A line that is said to have reached nobody tells nothing of the talk that an agent's leg
    # proves.
    if customer is not None and (customer.is_answered or not talked):
        return customer.duration_s
    return max(talked, default=0 if result is Result.FAILED else None)
