"""
How a call ended: from the roles and the ends of its legs to one `Result`, and what decided it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from service.events import (
    AnsweredBy,
    Direction,
    HangupCause,
    Party,
    Result,
)
from workers.calls.basis import Basis, Reason, of_end
from workers.calls.conferences import MAX_UTC
from workers.calls.legs import Leg, Stage
from workers.calls.parties import Parties
from workers.calls.talk import Talk

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


def read_result(parties: Parties, *, talks: Sequence[Talk], voicemail: Basis | None) -> Basis:
    """
    The result of a call with what decided it, or why there is none.

    `talks` are those of an inbound call; `voicemail` is the message that a caller left, if any. A
    call whose direction is not known has no result: `busy` or `no_answer` mean something else for
    a caller than for somebody who is called.
    """
    if parties.direction is Direction.INBOUND:
        return _inbound_result(parties, talks, voicemail)
    if parties.direction is None:
        return Basis(Reason.DIRECTION_UNKNOWN)
    if parties.customer is not None:
        return _outbound_result(parties, parties.customer)
    if parties.agent_root is not None:
        return _undialled_result(parties.agent_root)
    return Basis(Reason.CUSTOMER_LEG_MISSING)


def _outbound_result(parties: Parties, customer: Leg) -> Basis:
    """
    How an outbound call ended: the customer's leg decides.

    A fax machine that picked up makes the call `failed`: no human was reached and no message left.
    So does a leg that was picked up and never joined with the rep's. An answered leg of no duration
    stays `connected`: a source that reports `completed` reports that somebody picked up. A call
    that fails after both sides had answered, as by an error in what the exchange shall do
    next, was a talk.
    """
    if not customer.is_ended:
        return _rep_hung_up(parties, customer)
    cause = _ended_with(customer)
    if cause is None:
        return of_end(Reason.CAUSE_MISSING, customer)
    reason = Reason.CUSTOMER_LEG_ENDED
    if _is_broken_off(customer, parties.agents):
        cause = HangupCause.COMPLETED
        reason = Reason.BROKEN_OFF
    result = OUTBOUND_RESULTS[cause]
    if result is not Result.CONNECTED:
        return of_end(reason, customer, result)
    if customer.is_never_bridged:
        return of_end(Reason.NEVER_JOINED, customer, Result.FAILED)
    if customer.answered_by is None or customer.answered_by is AnsweredBy.HUMAN:
        return of_end(reason, customer, result)
    machine_result = OUTBOUND_MACHINE_RESULTS[customer.answered_by]
    return of_end(Reason.MACHINE_ANSWERED, customer, machine_result)


def _is_broken_off(customer: Leg, agents: Sequence[Leg]) -> bool:
    is_failed = customer.hangup_cause is HangupCause.FAILED
    return is_failed and customer.is_answered and any(leg.is_answered for leg in agents)


def _rep_hung_up(parties: Parties, customer: Leg) -> Basis:
    """
    An outbound call whose customer's leg has no end yet: cancelled if the leg that it was dialled
    from is over while it rings.
    """
    root = parties.root
    is_dialled_from_root = root is not None and root is not customer and customer.party is None
    if root is None or not is_dialled_from_root or not root.is_ended:
        return Basis(Reason.NOT_OVER)
    if customer.unknown_values:
        return Basis(Reason.CUSTOMER_LEG_UNKNOWN, leg_id=customer.leg_id)
    if customer.stage is Stage.RINGING:
        return of_end(Reason.REP_HUNG_UP, root, Result.CANCELLED)
    return Basis(Reason.NOT_OVER)


def _undialled_result(agent_root: Leg) -> Basis:
    """
    How an outbound call ended that has no leg of the customer, only an agent's own first leg.

    Where the agent never answered, the customer was never dialled, and the cause is the call's. An
    agent's leg that was completed shows nothing of the customer.
    """
    cause = agent_root.hangup_cause
    if not agent_root.is_ended:
        return Basis(Reason.NOT_OVER)
    if cause is None or cause is HangupCause.COMPLETED:
        return of_end(Reason.CUSTOMER_LEG_MISSING, agent_root)
    return of_end(Reason.CUSTOMER_NEVER_DIALLED, agent_root, OUTBOUND_RESULTS[cause])


def _ended_with(leg: Leg) -> HangupCause | None:
    """The cause of a leg's end; an answered leg without one was completed."""
    if leg.hangup_cause is None and leg.is_answered:
        return HangupCause.COMPLETED
    return leg.hangup_cause


def _inbound_result(parties: Parties, talks: Sequence[Talk], voicemail: Basis | None) -> Basis:
    """
    How an inbound call ended: the customer's leg shows when, what proves a talk shows how.
    """
    if not _is_inbound_over(parties):
        return Basis(Reason.NOT_OVER)
    if talks:
        return _of_talk(min(talks, key=_talk_order))
    if voicemail is not None:
        return voicemail
    return _missed_or_abandoned(parties)


def _of_talk(talk: Talk) -> Basis:
    began_at, _ = talk.span
    return Basis(talk.reason, Result.CONNECTED, leg_id=talk.leg.leg_id, occurred_at=began_at)


def _talk_order(talk: Talk) -> tuple[datetime, str]:
    began_at, _ = talk.span
    return began_at or MAX_UTC, talk.leg.leg_id


def _is_inbound_over(parties: Parties) -> bool:
    if parties.customer is not None:
        return parties.customer.is_ended
    return bool(parties.agents) and all(leg.is_ended for leg in parties.agents)


def _missed_or_abandoned(parties: Parties) -> Basis:
    """Missed if the call failed to reach an agent, abandoned if the caller gave up before."""
    customer = parties.customer
    if customer is None:
        return Basis(Reason.CALLERS_LEG_MISSING)
    for leg in (customer, *parties.agents):
        if leg.conference_stays and leg.hangup_cause not in AGENT_UNREACHED:
            return Basis(Reason.ALONE_IN_CONFERENCE, leg_id=leg.leg_id)
    # A leg with an unknown event may have ended in any way.
    for leg in parties.agents:
        if leg.unknown_values and not leg.is_ended:
            return Basis(Reason.AGENT_LEG_UNKNOWN, leg_id=leg.leg_id)
    for leg in parties.agents:
        if leg.hangup_cause in AGENT_UNREACHED or leg.is_answered:
            return of_end(Reason.AGENT_UNREACHED, leg, Result.MISSED_INBOUND)
    if parties.agents:
        return of_end(Reason.CALLER_GAVE_UP, customer, Result.ABANDONED)
    return _result_without_agents(customer)


def _result_without_agents(customer: Leg) -> Basis:
    cause = _ended_with(customer)
    if cause is None:
        return of_end(Reason.CAUSE_MISSING, customer)
    results = INBOUND_RESULTS_NO_AGENT
    if customer.party is Party.CUSTOMER:
        results = INBOUND_RESULTS_STATED_CUSTOMER
    return of_end(Reason.CUSTOMER_LEG_ENDED, customer, results[cause])
