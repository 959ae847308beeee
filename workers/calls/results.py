"""
How a call ended: from the roles and the ends of its legs to one `Result`, and its talk time.
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
# What picked up, where it was no human.
OUTBOUND_MACHINE_RESULTS: Final[Mapping[AnsweredBy, Result]] = {
    AnsweredBy.MACHINE: Result.LEFT_VOICEMAIL,
    AnsweredBy.FAX: Result.FAILED,
}
# How an inbound call ended that reached no agent's telephone. Where a source reports neither
# several legs nor parties, the exchange picks up by itself, and a call may end as `no_answer` when
# the caller gives up.
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

    A call whose direction no leg states is read like an outbound one, by its hang-up cause alone.
    """
    if parties.direction is Direction.INBOUND:
        return _inbound_result(parties, has_voicemail=has_voicemail)
    if parties.customer is not None:
        return _outbound_result(parties.customer)
    if parties.agent_root is not None:
        return _undialled_result(parties.agent_root)
    return None


def _outbound_result(customer: Leg) -> Result | None:
    """
    How an outbound call ended: the customer's leg decides.

    A fax machine that picked up makes the call `failed`: no human was reached and no message left.
    An answered leg of no duration stays `connected`: a source that reports `completed` reports that
    somebody picked up.
    """
    cause = _ended_with(customer)
    if not customer.is_ended or cause is None:
        return None
    result = OUTBOUND_RESULTS[cause]
    if result is Result.CONNECTED and customer.answered_by is not None:
        return OUTBOUND_MACHINE_RESULTS.get(customer.answered_by, result)
    return result


def _undialled_result(agent_root: Leg) -> Result | None:
    """
    How an outbound call ended that has no leg of the customer, only an agent's own first leg.

    Where the agent never answered, the customer was never dialled, and the cause is the call's. An
    agent's leg that was completed shows nothing of the customer.
    """
    cause = agent_root.hangup_cause
    if not agent_root.is_ended or cause is None or cause is HangupCause.COMPLETED:
        return None
    return OUTBOUND_RESULTS[cause]


def _ended_with(leg: Leg) -> HangupCause | None:
    """The cause of a leg's end; an answered leg without one was completed."""
    if leg.hangup_cause is None and leg.is_answered:
        return HangupCause.COMPLETED
    return leg.hangup_cause


def _inbound_result(parties: Parties, *, has_voicemail: bool) -> Result | None:
    """
    How an inbound call ended: the customer's leg shows when, the agents' legs show how.

    That the customer's leg itself was answered proves nothing, since exchanges pick up by
    themselves, unless the source states that it is the `customer`'s (it then means a human), that
    a human answered it, or that it was joined with a leg that this call does not have.
    """
    if not _is_inbound_over(parties):
        return None
    if answered_by_agent(parties):
        return Result.CONNECTED
    if has_voicemail:
        return Result.VOICEMAIL_RECEIVED
    return _missed_or_abandoned(parties)


def _is_inbound_over(parties: Parties) -> bool:
    if parties.customer is not None:
        return parties.customer.is_ended
    return bool(parties.agents) and all(leg.is_ended for leg in parties.agents)


def _missed_or_abandoned(parties: Parties) -> Result | None:
    """Missed if the call failed to reach an agent, abandoned if the caller gave up before."""
    # A leg with an unknown event may have ended in any way.
    if any(leg.unknown_values and not leg.is_ended for leg in parties.agents):
        return None
    if any(leg.hangup_cause in AGENT_UNREACHED or leg.is_answered for leg in parties.agents):
        return Result.MISSED_INBOUND
    if parties.agents:
        return Result.ABANDONED
    if parties.customer is None:
        return None
    return _result_without_agents(parties.customer)


def _result_without_agents(customer: Leg) -> Result | None:
    cause = _ended_with(customer)
    if cause is None:
        return None
    if customer.party is None:
        return INBOUND_RESULTS_NO_AGENT[cause]
    return INBOUND_RESULTS_STATED_CUSTOMER[cause]


def answered_by_agent(parties: Parties) -> tuple[Leg, ...]:
    """The legs that prove that an agent took an inbound call."""
    legs = [leg for leg in parties.agents if _is_answered_by_human(leg)]
    customer = parties.customer
    if customer is not None and _is_customer_leg_taken(customer, parties.agents):
        legs.append(customer)
    return tuple(legs)


def _is_answered_by_human(leg: Leg) -> bool:
    return leg.is_answered and leg.answered_by not in MACHINES


def _is_customer_leg_taken(customer: Leg, agents: tuple[Leg, ...]) -> bool:
    if not _is_answered_by_human(customer):
        return False
    if customer.party is Party.CUSTOMER or customer.answered_by is AnsweredBy.HUMAN:
        return True
    # Joined with a leg that is not in the call: there is no other proof that somebody took it.
    return customer.is_bridged and not any(leg.is_answered for leg in agents)


def read_answered_at(parties: Parties) -> datetime | None:
    """When the two sides could first talk (UTC): the customer picked up, or an agent did."""
    if parties.direction is Direction.INBOUND:
        legs = answered_by_agent(parties)
        return min((leg.answered_at for leg in legs if leg.answered_at is not None), default=None)
    if parties.customer is None:
        return None
    return parties.customer.answered_at


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
    agent_talk_times = _agent_talk_times_s(parties)
    customer = parties.customer
    # A customer's leg that is reported unanswered does not refute the talk that an agent's leg
    # proves.
    if customer is not None and (customer.is_answered or not agent_talk_times):
        return customer.duration_s
    if agent_talk_times:
        return max(agent_talk_times)
    return 0 if result is Result.FAILED else None


def _agent_talk_times_s(parties: Parties) -> list[int]:
    """How long agents talked on an inbound call, in seconds; empty for an outbound one."""
    if parties.direction is not Direction.INBOUND:
        return []
    return [leg.duration_s for leg in answered_by_agent(parties) if leg.duration_s is not None]
