"""
Talk and waiting: both sides count, waiting does not, and who talked is the agent.
"""

from collections.abc import Iterable

import pytest

from service.events import AnsweredBy, CallEvent, EventType, HangupCause, Party, Result, Voicemail
from tests.workers.calls.call_events import (
    ANSWERED,
    CREATED,
    CUSTOMER,
    ENDED,
    IN,
    OTHER,
    OURS,
    OUT,
    REP,
    RINGING,
    Line,
    browser_call,
    dialled,
    event,
    inbound,
    inbound_answered,
    inbound_untaken,
    inbound_voicemail,
    outbound,
    outbound_answered,
    results,
    unanswered,
)
from workers.calls.basis import Reason
from workers.calls.fold import Call, fold

JOINED = EventType.JOINED
LEFT = EventType.LEFT
COMPLETED = HangupCause.COMPLETED


def times(events: Iterable[CallEvent]) -> tuple[int | None, int | None]:
    """Talk and waiting of a call, in seconds."""
    call = fold(events)
    return call.duration_s, call.wait_s


def agents(call: Call) -> tuple[str | None, tuple[str, ...]]:
    """Who talked, and who was only rung."""
    return call.agent, call.rang_agents


def test_waiting_of_a_caller_is_no_talk() -> None:
    """A caller who waits for 300 s and talks for 4 s has talked for 4 s."""
    line = inbound()
    agent = dialled("client:ana")
    assert (4, 300) == times(
        [agent(ANSWERED, 300), agent.end(304, COMPLETED, 4), line.end(304, COMPLETED, 304)]
    )


def test_caller_who_waited_in_vain() -> None:
    """The waiting of a call that nobody took lasts until the caller is gone."""
    assert (0, 21) == times(inbound_untaken(HangupCause.NO_ANSWER))


def test_waiting_before_a_voicemail_does_not_count_the_message() -> None:
    """Before a message of 15 s at the end of 21 s lie 6 s; of unknown length, an unknown time."""
    assert (0, 6) == times(inbound_voicemail())
    unknown = event(EventType.VOICEMAIL, 40, voicemail=Voicemail("https://x.example"))
    assert (0, None) == times([*inbound_untaken(HangupCause.NO_ANSWER), unknown])


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (outbound_answered(), (49, 11)),
        (unanswered(HangupCause.NO_ANSWER), (0, 30)),
        (browser_call(), (42, 6)),
        ([outbound().end(60, COMPLETED, 49)], (49, None)),
    ],
)
def test_waiting_of_an_outbound_call_is_the_ringing(
    events: list[CallEvent], expected: tuple[int, int | None]
) -> None:
    """It is how long the customer's telephone rang, and unknown where no event says since when."""
    assert expected == times(events)


def test_waiting_without_times_is_what_the_talk_leaves() -> None:
    """Of a caller's 100 s on the line, those without an agent were waiting."""
    line = inbound()
    agent = dialled("client:ana")
    untimed = [
        event(ENDED, direction=IN, from_number=CUSTOMER, hangup_cause=COMPLETED, duration_s=100),
        event(
            ENDED,
            leg_id="CA2",
            parent_leg_id="CA1",
            direction=OUT,
            hangup_cause=COMPLETED,
            duration_s=60,
        ),
    ]
    assert (60, 40) == times(untimed)
    assert (60, 35) == times(
        [agent(ANSWERED, 35), agent.end(95, COMPLETED, 60), line.end(100, COMPLETED, 100)]
    )


def test_call_of_which_only_the_end_is_known_waited_for_an_unknown_time() -> None:
    """An end without a duration says nothing of how long the caller waited before."""
    end = event(ENDED, 60, direction=IN, party=Party.CUSTOMER, hangup_cause=HangupCause.NO_ANSWER)
    assert (0, None) == times([end])
    assert (0, 20) == times([end, event(RINGING, 40, direction=IN)])


def test_stated_waiting_counts_first() -> None:
    """What the vendor says of the waiting beats what the times say."""
    stated = event(EventType.UPDATED, 60, wait_s=17)
    assert (42, 17) == times([*inbound_answered(), stated])
    assert (None, None) == times([stated, inbound()(RINGING, 0)])


def test_agents_who_talk_one_after_the_other_are_added() -> None:
    """A transfer from one agent to the next is both talks; what overlaps counts once."""
    line = inbound()
    first = dialled("client:ana", agent="ana")
    second = dialled("client:bob", OTHER, agent="bob")
    call = fold(
        [
            line(RINGING, 0),
            first(ANSWERED, 10),
            first.end(40, COMPLETED, 30),
            second(ANSWERED, 35),
            second.end(90, COMPLETED, 55),
            line.end(91, COMPLETED, 91),
        ]
    )
    assert (80, 10, "bob", ()) == (call.duration_s, call.wait_s, *agents(call))


def test_call_that_was_passed_on_out_of_sight_goes_on() -> None:
    """A caller whom an agent transferred to a leg that is not reported talks until the end."""
    line = inbound()
    agent = dialled("client:ana", is_transferred=True)
    events = [agent(ANSWERED, 10), agent.end(40, COMPLETED, 30)]
    assert (80, 10) == times([line(RINGING, 0), *events, line.end(90, COMPLETED, 90)])
    other = dialled("client:bob", OTHER)
    later = [other(ANSWERED, 45), other.end(75, COMPLETED, 30)]
    assert (60, 10) == times([line(RINGING, 0), *events, *later, line.end(90, COMPLETED, 90)])


def test_agents_leg_without_an_end_talks_until_the_caller_is_gone() -> None:
    """That its end was never reported does not lose the talk."""
    line = inbound()
    agent = dialled("client:ana")
    assert (40, 11) == times([line(ANSWERED, 0), agent(ANSWERED, 11), line.end(51, COMPLETED, 51)])


def test_missed_call_has_no_agent() -> None:
    """Whose telephone rang in vain did not take part: the names are beside."""
    line = inbound()
    legs = [dialled("client:ana", agent="ana"), dialled("client:bob", OTHER, agent="bob")]
    rings = [leg(RINGING, 2) for leg in legs]
    ends = [leg.end(20, HangupCause.NO_ANSWER) for leg in legs]
    call = fold([line(ANSWERED, 0), *rings, *ends, line.end(21, COMPLETED, 21)])
    assert (Result.MISSED_INBOUND, None, ("ana", "bob")) == (call.result, *agents(call))


def test_agent_on_the_callers_own_leg_counts_if_the_call_was_taken() -> None:
    """A source with one leg for the whole call names there who took it, or whom it rang."""
    line = inbound(party=Party.CUSTOMER, agent="ana")
    assert ("ana", ()) == agents(fold([line.end(30, COMPLETED, 30)]))
    assert (None, ("ana",)) == agents(fold([line.end(30, HangupCause.NO_ANSWER)]))


def test_one_of_several_agents_who_rang_on_one_leg_is_not_chosen() -> None:
    """Where the answer names nobody, the last one who was rung need not be who took the call."""
    line = inbound(party=Party.CUSTOMER)
    rings = [line(RINGING, 1, agent="ana"), line(RINGING, 2, agent="bob")]
    end = line.end(30, COMPLETED, 20)
    assert (None, ("ana", "bob")) == agents(fold([*rings, end]))
    assert ("bob", ("ana",)) == agents(fold([*rings, line(ANSWERED, 10, agent="bob"), end]))
    assert ("ana", ()) == agents(fold([rings[0], end]))


def test_rep_of_an_outbound_call_is_its_agent_however_it_ends() -> None:
    """Who called is known, whether or not the customer picked up."""
    call = fold(browser_call(HangupCause.BUSY, 0))
    assert (Result.BUSY, "alice", ()) == (call.result, *agents(call))


def test_leg_that_was_never_joined_is_no_talk() -> None:
    """
    A mobile telephone whose voicemail picked up, or whose owner refused the call, leaves the caller
    alone, though its own leg was completed.
    """
    line = inbound()
    mobile = dialled(REP)
    dial = event(
        ENDED,
        leg_id="CA2",
        parent_leg_id="CA1",
        direction=OUT,
        hangup_cause=COMPLETED,
        is_bridged=False,
    )
    events = [mobile.end(30, COMPLETED, 12), line.end(31, COMPLETED, 31)]
    assert (Result.CONNECTED, 12) == results(*events)
    assert (Result.MISSED_INBOUND, 0) == results(*events, dial)


def test_customer_who_was_never_joined_was_not_reached() -> None:
    """A customer who picked up and was not joined with the rep talked to nobody."""
    events = browser_call()
    dial = event(ENDED, leg_id="CA2", parent_leg_id="CA1", is_bridged=False)
    call = fold([*events, dial])
    assert (Result.FAILED, 0, Reason.NEVER_JOINED) == (
        call.result,
        call.duration_s,
        call.basis.reason,
    )


def test_call_that_failed_after_both_sides_had_answered_was_a_talk() -> None:
    """An error of the exchange or the network broke it off; else nobody was reached."""
    customer = Line(direction=OUT, to_number=CUSTOMER)
    agent = Line("CA2", party=Party.AGENT)
    failed = [customer(ANSWERED, 5), customer(ENDED, 70, hangup_cause=HangupCause.FAILED)]
    assert (Result.FAILED, 65) == results(*failed)
    assert (Result.FAILED, 65) == results(*failed, agent.end(40, HangupCause.NO_ANSWER))
    call = fold([*failed, agent(ANSWERED, 9), agent.end(69, COMPLETED, 60)])
    assert (Result.CONNECTED, 65, Reason.BROKEN_OFF) == (
        call.result,
        call.duration_s,
        call.basis.reason,
    )


def test_rep_who_hangs_up_while_it_rings_cancels_the_call() -> None:
    """
    Where the end of the customer's leg never comes, that of the rep's decides, and a later end of
    the customer's corrects it.
    """
    rep = Line(direction=IN, from_number="client:ana", to_number="")
    customer = dialled(CUSTOMER)
    events = [customer(RINGING, 3), rep.end(12, COMPLETED, 12)]
    call = fold(events)
    assert (Result.CANCELLED, Reason.REP_HUNG_UP) == (call.result, call.basis.reason)
    assert (None, None) == results(events[0], rep(ANSWERED, 0))
    assert (Result.BUSY, 0) == results(*events, customer.end(12, HangupCause.BUSY))


def test_rep_who_is_gone_does_not_end_a_talk() -> None:
    """A customer who was answered may have been passed on: the call goes on."""
    rep = Line(direction=IN, from_number="client:ana", to_number="")
    customer = dialled(CUSTOMER)
    assert (None, None) == results(customer(ANSWERED, 3), rep.end(12, COMPLETED, 12))


def member(leg_id: str, **more: object) -> Line:
    """A leg that is known from a conference only."""
    return Line(leg_id, parent_leg_id="CA1", conference_id="CF1", **more)


def test_caller_and_agent_in_one_conference_talked() -> None:
    """The talk lasts as long as both were there; the caller waited before."""
    line = inbound()
    agent = member("CA7", agent="ana")
    events = [
        line(ANSWERED, 0),
        line(JOINED, 2, conference_id="CF1"),
        agent(JOINED, 30),
        agent(LEFT, 90),
        line.end(100, COMPLETED, 100),
    ]
    call = fold(events)
    assert (Result.CONNECTED, 60, 30, "ana", Reason.CONFERENCE_SHARED) == (
        call.result,
        call.duration_s,
        call.wait_s,
        call.agent,
        call.basis.reason,
    )
    assert (Result.CONNECTED, 60) == results(*reversed(events))


@pytest.mark.parametrize(
    "agent_events",
    [
        [],
        [member("CA7")(JOINED, 120)],
        [Line("CA7", parent_leg_id="CA1", conference_id="CF2")(JOINED, 30)],
    ],
    ids=["nobody", "too late", "another conference"],
)
def test_caller_alone_in_a_conference_is_not_judged(agent_events: list[CallEvent]) -> None:
    """Who else was there is not known: neither missed nor connected, and the reason is given."""
    line = inbound()
    events = [line(JOINED, 2, conference_id="CF1"), line.end(100, COMPLETED, 100)]
    call = fold([*events, *agent_events])
    assert (None, None, Reason.ALONE_IN_CONFERENCE) == (
        call.result,
        call.duration_s,
        call.basis.reason,
    )


def test_agent_in_a_conference_without_the_caller_is_not_judged() -> None:
    """The caller's own join may be lost."""
    line = inbound()
    call = fold([member("CA7")(JOINED, 5), line.end(100, COMPLETED, 100)])
    assert (None, Reason.ALONE_IN_CONFERENCE) == (call.result, call.basis.reason)


def test_agent_who_never_answered_was_not_in_the_conference() -> None:
    """A join that is reported while the telephone rings shows no talk once it ends unanswered."""
    line = inbound()
    agent = dialled(REP, "CA7")
    events = [
        line(JOINED, 2, conference_id="CF1"),
        agent(JOINED, 5, conference_id="CF1"),
        line.end(100, COMPLETED, 100),
    ]
    assert (Result.CONNECTED, 95) == results(*events)
    assert (None, None) == results(*events, agent.end(30, HangupCause.NO_ANSWER))


def test_caller_alone_in_a_conference_who_leaves_a_message() -> None:
    """The message shows that nobody took the call."""
    line = inbound(party=Party.CUSTOMER)
    events = [
        line(ANSWERED, 0),
        line(JOINED, 2, conference_id="CF1"),
        line(EventType.VOICEMAIL, 60, voicemail=Voicemail("https://x.example", 9)),
        line.end(70, COMPLETED, 70),
    ]
    assert (Result.VOICEMAIL_RECEIVED, 0) == results(*events)


def test_two_stays_in_a_conference_are_two_talks() -> None:
    """A caller who is held outside in between talked twice."""
    line = inbound()
    agent = member("CA7")
    events = [
        agent(JOINED, 0),
        line(JOINED, 10, conference_id="CF1"),
        line(LEFT, 20, conference_id="CF1"),
        line(JOINED, 50, conference_id="CF1"),
        line(LEFT, 80, conference_id="CF1"),
        line.end(90, COMPLETED, 90),
    ]
    assert (Result.CONNECTED, 40) == results(*events)


def test_conference_without_times_shows_no_meeting() -> None:
    """Two who were in one conference, nobody knows when, may never have met."""
    line = inbound()
    untimed = event(JOINED, conference_id="CF1")
    agent = event(JOINED, leg_id="CA7", parent_leg_id="CA1", conference_id="CF1")
    assert (None, None) == results(untimed, agent, line.end(100, COMPLETED, 100))


def test_leave_shows_that_somebody_was_there_until_then() -> None:
    """Of the caller only the leaving is known, and the agent was there at that moment."""
    line = inbound()
    events = [
        member("CA7")(JOINED, 10),
        line(LEFT, 60, conference_id="CF1"),
        line.end(61, COMPLETED, 61),
    ]
    assert (Result.CONNECTED, None) == results(*events)


def test_agent_who_picked_up_when_the_caller_was_gone_took_nothing() -> None:
    """The caller gave up a second before."""
    line = inbound()
    agent = dialled("client:ana")
    events = [agent(RINGING, 2), line.end(20, COMPLETED, 20), agent(ANSWERED, 21)]
    assert (Result.MISSED_INBOUND, 0) == results(*events, agent.end(25, COMPLETED, 4))


def test_talk_is_no_longer_than_the_call() -> None:
    """An agent who was on the line before the caller came talked no longer than the caller."""
    line = inbound()
    agent = dialled("client:ana")
    events = [line(RINGING, 100), agent.end(130, COMPLETED, 130), line.end(130, COMPLETED, 30)]
    assert (Result.CONNECTED, 30) == results(*events)


def test_machine_in_the_agents_place_is_no_talk() -> None:
    """An agent's mailbox that picked up took the call for nobody."""
    line = inbound()
    agent = dialled(REP, answered_by=AnsweredBy.MACHINE)
    assert (0, 41) == times(
        [line(CREATED, 0), agent.end(40, COMPLETED, 20), line.end(41, COMPLETED, 41)]
    )


def test_facts_of_a_call_are_gathered() -> None:
    """Queue, team, who hung up, and what became of the call come from any of its events."""
    line = inbound()
    call = fold(
        [
            line(RINGING, 0, queue="Sales", is_forwarded=True),
            line(EventType.UPDATED, 5, team="North", is_transferred=True),
            line(ENDED, 20, hangup_cause=COMPLETED, hung_up_by=Party.CUSTOMER),
        ]
    )
    assert ("Sales", "North", Party.CUSTOMER) == (call.queue, call.team, call.hung_up_by)
    assert (True, True, False) == (
        call.is_forwarded,
        call.is_transferred,
        call.is_answered_elsewhere,
    )
    assert OURS == call.to_number


def test_basis_names_the_event_that_decided() -> None:
    """An operator reads which event of which leg decided, in one sentence."""
    end = outbound().end(60, HangupCause.BUSY)
    sentence = fold([end]).basis.sentence
    assert "the customer's leg ended so (leg CA1, 2026-11-02 10:01:00 UTC)" == sentence
    assert "no final event yet" == fold([outbound()(RINGING, 0)]).basis.sentence
