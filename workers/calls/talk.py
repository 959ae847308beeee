"""
Who talked on a call, for how long, and how long the other side waited before.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeGuard

from msgspec import Struct
from msgspec.structs import replace

from service.events import AnsweredBy, Direction, Party, Result, Voicemail
from workers.calls.basis import Reason
from workers.calls.conferences import Span, shared_spans
from workers.calls.legs import Leg
from workers.calls.parties import Parties

MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.FAX})
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
KnownSpan: TypeAlias = tuple[datetime, datetime]


class Talk(Struct, frozen=True):
    """
    The talk that a leg proves on an inbound call.

    `leg` is the agent's, or the customer's own where the source states that a human took it, or no
    leg of the agent is known; `reason` is how it proves the talk. `span` is from when until when
    (UTC), `duration_s` the seconds that the vendor states or that follow from the times.
    """

    reason: Reason
    leg: Leg
    span: Span
    duration_s: int | None


def read_talks(parties: Parties) -> tuple[Talk, ...]:
    """
    What proves that an agent took an inbound call, one for each leg; empty if nothing does, and for
    an outbound call, which the customer's leg decides.

    That the customer's leg itself was answered proves nothing, since exchanges pick up by
    themselves, unless the source states that it is the `customer`'s (it then means a human), that
    a human answered it, or that it was joined with a leg that this call does not have.
    """
    if parties.direction is not Direction.INBOUND:
        return ()
    customer = parties.customer
    talks = [talk for leg in parties.agents for talk in _agent_talks(leg, customer)]
    if customer is not None:
        talks += _customer_talks(customer, parties.agents)
        talks = [_with_transfer(talk, talks, customer) for talk in talks]
    return tuple(talks)


def _with_transfer(talk: Talk, talks: Sequence[Talk], customer: Leg) -> Talk:
    """
    The same talk, until the caller's end if its agent passed the call on to a leg that is not part
    of this call, such as a telephone outside of the account.
    """
    began_at, ended_at = talk.span
    if not talk.leg.is_transferred or ended_at is None or customer.ended_at is None:
        return talk
    if any(_ends_after(other, ended_at) for other in talks) or customer.ended_at <= ended_at:
        return talk
    span = (began_at, customer.ended_at)
    return replace(talk, span=span, duration_s=_seconds_between(*span))


def _ends_after(talk: Talk, moment: datetime) -> bool:
    _, ended_at = talk.span
    return ended_at is None or ended_at > moment


def _agent_talks(leg: Leg, customer: Leg | None) -> list[Talk]:
    """The talks of an agent's leg; in a conference only while the customer was there too."""
    if leg.conference_stays and _ended_unanswered(leg):
        # Some exchanges report a join while the telephone still rings.
        return []
    if customer is not None and customer.conference_stays and leg.conference_stays:
        spans = shared_spans(customer.conference_stays, leg.conference_stays)
        return [
            Talk(Reason.CONFERENCE_SHARED, leg, span, _seconds_between(*span)) for span in spans
        ]
    if not _is_taken_by_human(leg) or _is_answered_too_late(leg, customer):
        return []
    return [_answered_talk(leg, customer)]


def _is_answered_too_late(leg: Leg, customer: Leg | None) -> bool:
    """Whether an agent's telephone was picked up when the caller was gone already."""
    if not _is_line_of_caller(customer) or customer.ended_at is None or leg.answered_at is None:
        return False
    return leg.answered_at > customer.ended_at


def _ended_unanswered(leg: Leg) -> bool:
    return leg.hangup_cause is not None and not leg.is_answered


def _customer_talks(customer: Leg, agents: Sequence[Leg]) -> list[Talk]:
    """The talk that the customer's own leg proves, if it does."""
    # One that was in a conference may have waited there, however it was answered.
    if not _is_taken_by_human(customer) or customer.conference_stays:
        return []
    if customer.party is Party.CUSTOMER or customer.answered_by is AnsweredBy.HUMAN:
        span = (customer.answered_at, customer.ended_at)
        return [Talk(Reason.HUMAN_ANSWERED, customer, span, customer.duration_s)]
    # There may be no other proof that somebody took it.
    if customer.is_bridged and not any(leg.is_answered for leg in agents):
        return [_bridged_talk(customer)]
    return []


def _is_taken_by_human(leg: Leg) -> bool:
    return leg.is_answered and not leg.is_never_bridged and leg.answered_by not in MACHINES


def _answered_talk(leg: Leg, customer: Leg | None) -> Talk:
    ended_at = leg.ended_at
    duration_s = leg.duration_s
    # An agent's leg whose end was not reported lasted until the caller's at the latest.
    if ended_at is None and customer is not None:
        ended_at = customer.ended_at
        if duration_s is None:
            duration_s = _seconds_between(leg.answered_at, ended_at)
    return Talk(Reason.AGENT_ANSWERED, leg, (leg.answered_at, ended_at), duration_s)


def _bridged_talk(customer: Leg) -> Talk:
    # What the exchange played before the two were joined is waiting: without the time of the join
    # the talk is of an unknown length.
    span = (customer.bridged_at, customer.ended_at)
    return Talk(Reason.JOINED_ELSEWHERE, customer, span, _seconds_between(*span))


def read_answered_at(parties: Parties, talks: Sequence[Talk]) -> datetime | None:
    """When the two sides could first talk (UTC): the customer picked up, or an agent did."""
    if parties.direction is Direction.INBOUND:
        return min((talk.span[0] for talk in talks if talk.span[0] is not None), default=None)
    if parties.customer is None:
        return None
    return parties.customer.answered_at


def read_duration_s(parties: Parties, result: Result | None, talks: Sequence[Talk]) -> int | None:
    """
    How long both sides talked, in seconds; 0 if nobody answered, None if unknown or not over.

    Waiting is never part of it. Agents who talked at the same time, as in a transfer, count once.
    """
    if result is None:
        return None
    if result in UNANSWERED:
        return 0
    if parties.direction is Direction.INBOUND and talks:
        return _within_line_time(_talk_time_s(talks), parties.customer)
    customer = parties.customer
    if customer is not None and not customer.is_never_bridged:
        return customer.duration_s
    # It failed before the customer was dialled, or before the two were joined.
    if result is Result.FAILED:
        return 0
    return None


def _is_line_of_caller(customer: Leg | None) -> TypeGuard[Leg]:
    """
    Whether a leg is the caller's own line, from the beginning to the end of the call. A leg that
    the source states to be the customer's may be only one part of it, or be made from a record.
    """
    return customer is not None and customer.party is None


def _within_line_time(talk_s: int | None, customer: Leg | None) -> int | None:
    """A talk is no longer than the caller was on the line: an agent may have waited for callers."""
    if talk_s is None or not _is_line_of_caller(customer):
        return talk_s
    line_s = _seconds_since_start(customer, customer.ended_at)
    if line_s is None:
        return talk_s
    return min(talk_s, line_s)


def _talk_time_s(talks: Sequence[Talk]) -> int | None:
    if len(talks) == 1:
        return talks[0].duration_s
    spans = [span for span in map(_known_span, talks) if span is not None]
    if len(spans) == len(talks):
        return round(_union(spans).total_seconds())
    return max((talk.duration_s for talk in talks if talk.duration_s is not None), default=None)


def _known_span(talk: Talk) -> KnownSpan | None:
    """From when until when a talk was; a time that is missing follows from its duration."""
    began_at, ended_at = talk.span
    if began_at is not None and ended_at is not None:
        return began_at, ended_at
    if talk.duration_s is None:
        return None
    duration = timedelta(seconds=talk.duration_s)
    try:
        if began_at is not None:
            return began_at, began_at + duration
        if ended_at is not None:
            return ended_at - duration, ended_at
    except OverflowError:  # before the year 1, or after the year 9999
        return None
    return None


def _union(spans: Iterable[KnownSpan]) -> timedelta:
    """How long at least one of some spans lasted."""
    total = timedelta()
    covered_until: datetime | None = None
    for began_at, ended_at in sorted(spans):
        start = began_at
        if covered_until is not None:
            start = max(began_at, covered_until)
        if ended_at > start:
            total += ended_at - start
            covered_until = ended_at
    return total


def read_wait_s(
    parties: Parties, talks: Sequence[Talk], *, voicemail: Voicemail | None
) -> int | None:
    """
    How long the other side of a call that is over waited for a person, ring and queue together, in
    seconds; None if unknown.

    Of an inbound call it lasts from its start until an agent took it, or until the caller hung up
    or began to leave a message. Of an outbound call it is the ringing of the customer's telephone.
    """
    customer = parties.customer
    if customer is None:
        return None
    if parties.direction is not Direction.INBOUND:
        return _seconds_between(customer.rang_at, customer.answered_at or customer.ended_at)
    if talks:
        return _wait_before_talk_s(customer, talks, read_answered_at(parties, talks))
    return _wait_in_vain_s(customer, voicemail)


def _wait_in_vain_s(customer: Leg, voicemail: Voicemail | None) -> int | None:
    wait_s = _seconds_since_start(customer, customer.ended_at)
    if voicemail is None or wait_s is None:
        return wait_s
    if voicemail.duration_s is None:
        return None
    return max(0, wait_s - voicemail.duration_s)


def _wait_before_talk_s(
    customer: Leg, talks: Sequence[Talk], answered_at: datetime | None
) -> int | None:
    wait_s = _seconds_since_start(customer, answered_at)
    if wait_s is not None or customer.party is not None:
        return wait_s
    # Without times: the whole time on the line, less the talk.
    talk_s = _talk_time_s(talks)
    if customer.duration_s is None or talk_s is None:
        return None
    return max(0, customer.duration_s - talk_s)


def _seconds_since_start(customer: Leg, moment: datetime | None) -> int | None:
    """Unknown if the moment's own event is the first that is known of the leg."""
    started_at = customer.started_at
    if started_at is None or moment is None:
        return None
    if customer.rang_at is None and started_at >= moment:
        return None
    return _seconds_between(started_at, moment)


def _seconds_between(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return max(0, round((end - start).total_seconds()))
