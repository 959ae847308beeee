"""
The fold: results, which leg decides, and that neither order nor repetition matters.
"""

import itertools
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from tests.trials import trials
from tests.workers.calls.call_events import (
    ANSWERED,
    CHILD,
    CREATED,
    CUSTOMER,
    ENDED,
    IN,
    OTHER,
    OURS,
    OUT,
    PARENT,
    REP,
    RINGING,
    T0,
    Line,
    browser_call,
    click_to_call,
    dialled,
    event,
    inbound,
    inbound_answered,
    inbound_untaken,
    inbound_voicemail,
    outbound,
    outbound_answered,
    outbound_machine,
    results,
    unanswered,
)
from workers.calls.basis import Reason
from workers.calls.fold import (
    Call,
    Stage,
    as_dict,
    fold,
    stall_deadline,
)

RECORDED: dict[str, tuple[list[CallEvent], Result, int | None, str]] = {
    "answered": (outbound_answered(), Result.CONNECTED, 49, CUSTOMER),
    "machine": (outbound_machine(), Result.LEFT_VOICEMAIL, 49, CUSTOMER),
    "no answer": (unanswered(HangupCause.NO_ANSWER), Result.NO_ANSWER, 0, CUSTOMER),
    "busy": (unanswered(HangupCause.BUSY), Result.BUSY, 0, CUSTOMER),
    "rejected": (unanswered(HangupCause.REJECTED), Result.REJECTED, 0, CUSTOMER),
    "cancelled": (unanswered(HangupCause.CANCELLED), Result.CANCELLED, 0, CUSTOMER),
    "failed": (unanswered(HangupCause.FAILED), Result.FAILED, 0, CUSTOMER),
    "invalid number": (unanswered(HangupCause.INVALID_NUMBER), Result.INVALID_NUMBER, 0, CUSTOMER),
    "inbound answered": (inbound_answered(), Result.CONNECTED, 42, OURS),
    "inbound missed": (inbound_untaken(HangupCause.NO_ANSWER), Result.MISSED_INBOUND, 0, OURS),
    "inbound busy agent": (inbound_untaken(HangupCause.BUSY), Result.MISSED_INBOUND, 0, OURS),
    "inbound abandoned": (inbound_untaken(HangupCause.CANCELLED), Result.ABANDONED, 0, OURS),
    "inbound voicemail": (inbound_voicemail(), Result.VOICEMAIL_RECEIVED, 0, OURS),
    "click to call": (click_to_call(), Result.CONNECTED, 42, CUSTOMER),
    "click to call, customer busy": (click_to_call(HangupCause.BUSY, 0), Result.BUSY, 0, CUSTOMER),
    "browser": (browser_call(), Result.CONNECTED, 42, CUSTOMER),
    "SIP telephone": (
        browser_call(caller="sip:alice@pbx.example.test"),
        Result.CONNECTED,
        42,
        CUSTOMER,
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_every_order_of_a_recorded_call_gives_the_same(name: str) -> None:
    """
    Each permutation of a recorded sequence folds into one and the same call, with the right result.
    """
    events, result, duration_s, to_number = RECORDED[name]
    call = fold(events)
    assert (result, True, duration_s, to_number) == (
        call.result,
        call.is_final,
        call.duration_s,
        call.to_number,
    )
    assert {call} == {fold(order) for order in itertools.permutations(events)}


def test_seven_events_in_every_order() -> None:
    """A call of seven events is the same in all 5,040 orders."""
    events = [
        *inbound_answered(),
        event(EventType.UPDATED, 55, disposition="Won", note="Spoke to Ann"),
    ]
    call = fold(events)
    assert (Result.CONNECTED, "Won", "alice") == (call.result, call.disposition, call.agent)
    assert {call} == {fold(order) for order in itertools.permutations(events)}


TIMES = st.one_of(st.none(), st.integers(0, 3).map(lambda s: T0 + timedelta(seconds=s)))
ADDRESSES = st.sampled_from([None, OURS, CUSTOMER, "client:alice", "sip:desk@pbx.example.test"])
LEGS = st.sampled_from([(PARENT, None), (CHILD, PARENT), (OTHER, PARENT), ("CA4", None)])


@st.composite
def any_event(draw: st.DrawFn) -> CallEvent:
    """Any event of a small alphabet, sensible or not."""
    leg_id, parent = draw(LEGS)
    return event(
        draw(st.sampled_from(EventType)),
        message_id=draw(st.sampled_from(["m1", "m2"])),
        leg_id=leg_id,
        parent_leg_id=parent,
        occurred_at=draw(TIMES),
        sequence=draw(st.one_of(st.none(), st.integers(0, 3))),
        direction=draw(st.sampled_from([None, *Direction])),
        party=draw(st.sampled_from([None, None, *Party])),
        from_number=draw(ADDRESSES),
        to_number=draw(ADDRESSES),
        duration_s=draw(st.sampled_from([None, 0, 42])),
        answered_by=draw(st.sampled_from([None, None, *AnsweredBy])),
        hangup_cause=draw(st.sampled_from([None, *HangupCause])),
        result=draw(st.sampled_from([None, None, None, Result.BUSY, Result.CONNECTED])),
        recording=draw(
            st.sampled_from(
                [None, Recording("RE1"), Recording("RE2", "https://rec.example.test/2")]
            )
        ),
        voicemail=draw(
            st.sampled_from(
                [None, Voicemail(transcript="Call me"), Voicemail("https://rec.example.test/3")]
            )
        ),
        agent=draw(st.sampled_from([None, "alice", "bob"])),
        tags=draw(st.sampled_from([(), ("a",), ("b", "a")])),
        note=draw(st.sampled_from([None, "one", "two"])),
        buildr_call_id=draw(st.sampled_from([None, "110", "111"])),
        conference_id=draw(st.sampled_from([None, "CF1", "CF2"])),
        wait_s=draw(st.sampled_from([None, None, 7])),
        queue=draw(st.sampled_from([None, "Sales", "Support"])),
        hung_up_by=draw(st.sampled_from([None, *Party])),
        is_transferred=draw(st.sampled_from([None, True])),
        is_bridged=draw(st.sampled_from([None, None, False])),
        vendor_status=draw(st.sampled_from([None, "completed", "strange"])),
    )


EVENTS = st.lists(any_event(), min_size=1, max_size=8)


@pytest.mark.slow
@given(EVENTS, st.randoms(use_true_random=False))
@settings(max_examples=trials(300), deadline=None)
def test_order_and_repetition_make_no_difference(
    events: list[CallEvent], rng: random.Random
) -> None:
    """Any events, in any order and repeated at will, fold into the same call."""
    shuffled = events + events[: len(events) // 2]
    rng.shuffle(shuffled)
    assert fold(events) == fold(shuffled)
    assert as_dict(fold(events)) == as_dict(fold(shuffled))


@pytest.mark.slow
@given(st.lists(EVENTS, min_size=1, max_size=4))
@settings(max_examples=trials(100), deadline=None)
def test_batches_make_no_difference(batches: list[list[CallEvent]]) -> None:
    """
    Events that were read in several batches, unioned from either side, fold like all of them at
    once.
    """
    left: frozenset[CallEvent] = frozenset()
    for batch in batches:
        left = left | frozenset(batch)
    right: frozenset[CallEvent] = frozenset()
    for batch in reversed(batches):
        right = frozenset(batch) | right
    assert fold(left) == fold(right) == fold(itertools.chain.from_iterable(batches))


@pytest.mark.slow
@given(EVENTS, st.integers(-12, 12))
@settings(max_examples=trials(100), deadline=None)
def test_ids_of_messages_and_zones_of_times_make_no_difference(
    events: list[CallEvent], hours: int
) -> None:
    """
    The same events under other message ids and with their times in another zone fold into the
    same call.
    """
    zone = timezone(timedelta(hours=hours))
    sent_again = [
        _in_zone(replace(event_, message_id=f"n{number}"), zone)
        for number, event_ in enumerate(events)
    ]
    assert as_dict(fold(events)) == as_dict(fold(sent_again))


def _in_zone(event_: CallEvent, zone: timezone) -> CallEvent:
    if event_.occurred_at is None:
        return event_
    return replace(event_, occurred_at=event_.occurred_at.astimezone(zone))


@pytest.mark.slow
@given(EVENTS)
@settings(max_examples=trials(300), deadline=None)
def test_summary_never_contradicts_itself(events: list[CallEvent]) -> None:
    """
    A call is final exactly if it has a result; then it has ended, and one that nobody answered has
    no talk time.
    """
    call = fold(events)
    assert call.is_final is (call.result is not None)
    assert call.is_final <= (call.stage is Stage.ENDED)
    if call.result in {
        Result.NO_ANSWER,
        Result.BUSY,
        Result.MISSED_INBOUND,
        Result.ABANDONED,
        Result.VOICEMAIL_RECEIVED,
    }:
        assert call.duration_s == 0
    if not call.is_final:
        assert call.duration_s is None


@pytest.mark.slow
@given(EVENTS)
@settings(max_examples=trials(200), deadline=None)
def test_unknown_words_decide_nothing(events: list[CallEvent]) -> None:
    """Events that no table knows, whatever else they carry, give no result and are all reported."""
    unknown = [replace(event_, event_type=EventType.UNKNOWN) for event_ in events]
    call = fold(unknown)
    assert (None, False, Stage.UNKNOWN) == (call.result, call.is_final, call.stage)
    assert {event_.vendor_status or "unknown" for event_ in unknown} == set(call.unknown_values)


def test_no_events_and_two_calls_are_refused() -> None:
    """There is no call without an event, and no call of two ids."""
    with pytest.raises(ValueError, match="no events"):
        fold([])
    with pytest.raises(ValueError, match="different calls"):
        fold([event(RINGING), event(RINGING, source_call_id="CA9")])


def test_sequence_outranks_time() -> None:
    """
    Of two ends the one with the higher number decides, though its clock says that it was earlier.
    """
    first = event(ENDED, 50, sequence=2, direction=OUT, hangup_cause=HangupCause.BUSY)
    second = event(ENDED, 40, sequence=3, direction=OUT, hangup_cause=HangupCause.NO_ANSWER)
    assert Result.NO_ANSWER is fold([first, second]).result


def test_time_decides_where_there_is_no_sequence() -> None:
    """Without numbers the later end decides."""
    first = event(ENDED, 40, direction=OUT, hangup_cause=HangupCause.NO_ANSWER)
    second = event(ENDED, 50, direction=OUT, hangup_cause=HangupCause.BUSY)
    assert Result.BUSY is fold([second, first]).result


def test_sequences_of_two_legs_are_not_compared() -> None:
    """A note on a leg with low numbers counts if it is the later one."""
    early = event(EventType.UPDATED, 10, sequence=9, note="early")
    late = event(EventType.UPDATED, 20, sequence=1, note="late", leg_id=CHILD, parent_leg_id=PARENT)
    assert fold([early, late]).note == "late"


def test_unnumbered_event_takes_its_place_by_time() -> None:
    """A later event without a number counts after earlier ones that have one."""
    numbered = event(ENDED, 50, sequence=3, hangup_cause=HangupCause.COMPLETED, disposition="Open")
    later = event(EventType.UPDATED, 90, disposition="Won")
    assert fold([later, numbered]).disposition == "Won"


def test_fax_is_a_failed_call_with_talk_time() -> None:
    """A fax machine that picks up reaches nobody."""
    end = outbound().end(20, HangupCause.COMPLETED, 9)
    assert (Result.FAILED, 9) == results(
        end, event(EventType.ANSWERED_BY, answered_by=AnsweredBy.FAX)
    )


def test_completed_without_talk_time_is_still_connected() -> None:
    """`completed` means that somebody picked up, were it for less than a second."""
    assert (Result.CONNECTED, 0) == results(outbound().end(20, HangupCause.COMPLETED, 0))


def test_talk_time_is_calculated_if_it_is_not_stated() -> None:
    """Without a duration the time from answer to end is the talk time."""
    line = outbound()
    assert (Result.CONNECTED, 30) == results(
        line(ANSWERED, 10), line(ENDED, 40, hangup_cause=HangupCause.COMPLETED)
    )


def test_call_that_failed_in_the_middle_keeps_its_talk_time() -> None:
    """
    A failure after the answer ends a talk; one before it means that there was none, whatever is
    reported.
    """
    line = outbound()
    end = line.end(40, HangupCause.FAILED, 30)
    assert (Result.FAILED, 0) == results(end)
    assert (Result.FAILED, 30) == results(event(ANSWERED, 10), end)


def test_end_unanswered_beats_an_answer() -> None:
    """A leg that ended unanswered was not answered, though an earlier message has one."""
    line = outbound()
    call = fold([line(ANSWERED, 10), line.end(40, HangupCause.NO_ANSWER, 30)])
    assert (Result.NO_ANSWER, 0, None) == (call.result, call.duration_s, call.answered_at)


def test_end_without_a_cause_after_an_answer_is_a_talk() -> None:
    """A leg that was answered and is over was a talk, also where the source gives no cause."""
    line = outbound()
    assert (Result.CONNECTED, 30) == results(line(ANSWERED, 10), line(ENDED, 40))


def test_talk_of_an_agent_counts_where_the_line_reached_nobody() -> None:
    """
    A line that is stated to be the customer's and unanswered says nothing of how long an agent's
    leg shows that they talked.
    """
    line = inbound(party=Party.CUSTOMER)
    agent = dialled(REP, party=Party.AGENT)
    unreached = line.end(60, HangupCause.CANCELLED)
    assert (Result.ABANDONED, 0) == results(unreached)
    assert (Result.CONNECTED, 42) == results(
        unreached, agent(ANSWERED, 18), agent.end(60, HangupCause.COMPLETED, 42)
    )


def test_start_that_is_known_is_not_calculated() -> None:
    """A talk time that counts the ringing too does not move the start before the first ring."""
    line = outbound()
    assert (
        T0 + timedelta(seconds=5)
        == fold([line(RINGING, 5), line.end(30, HangupCause.COMPLETED, 60)]).started_at
    )


def test_end_alone_gives_the_start() -> None:
    """Of a call that only its end is known of, the start lies its talk time before."""
    call = fold([outbound().end(60, HangupCause.COMPLETED, 49)])
    assert (T0 + timedelta(seconds=11), T0 + timedelta(seconds=60)) == (
        call.started_at,
        call.ended_at,
    )


def test_times_at_the_edge_of_the_calendar() -> None:
    """A talk time that would begin before the year 1 is no error."""
    end = event(
        ENDED,
        hangup_cause=HangupCause.COMPLETED,
        duration_s=60,
        occurred_at=datetime.min.replace(tzinfo=UTC),
        direction=OUT,
    )
    assert datetime.min.replace(tzinfo=UTC) == fold([end]).started_at


@pytest.mark.parametrize("cause", HangupCause)
def test_call_without_direction_has_no_result(cause: HangupCause) -> None:
    """`busy` of a caller and of somebody who is called differ: without direction none is chosen."""
    call = fold([event(ENDED, 20, hangup_cause=cause, duration_s=60)])
    assert (None, None, Reason.DIRECTION_UNKNOWN) == (
        call.result,
        call.direction,
        call.basis.reason,
    )


def test_end_without_a_cause_gives_no_result() -> None:
    """An end that gives no cause and no talk is not guessed at."""
    assert (None, None) == results(event(ENDED, 20, direction=OUT))


@pytest.mark.parametrize("party", [None, *Party])
def test_stated_result_decides_alone(party: Party | None) -> None:
    """A result that the source states beats what the legs would say, and the latest one counts."""
    line = outbound(party=party)
    events = [
        line(EventType.UPDATED, 10, result=Result.NO_ANSWER),
        line(EventType.UPDATED, 20, result=Result.LEFT_VOICEMAIL),
        line.end(30, HangupCause.BUSY),
    ]
    assert Result.LEFT_VOICEMAIL is fold(events).result


def test_stated_result_brings_its_talk_time() -> None:
    """An end with a stated result and no cause keeps the talk time that it names."""
    assert (Result.CONNECTED, 49) == results(
        event(ENDED, 60, result=Result.CONNECTED, duration_s=49, direction=OUT)
    )


def test_agent_who_never_picked_up_leaves_the_customer_uncalled() -> None:
    """A softphone's own leg that failed decides a call whose customer was never dialled."""
    rep = Line(direction=IN, from_number="client:alice", to_number=CUSTOMER)
    call = fold([rep.end(5, HangupCause.FAILED)])
    assert (Result.FAILED, 0, OUT, CUSTOMER) == (
        call.result,
        call.duration_s,
        call.direction,
        call.to_number,
    )


@pytest.mark.parametrize("caller", ["client:alice", "sip:alice@pbx.example.test"])
def test_agent_leg_alone_says_nothing_of_the_customer(caller: str) -> None:
    """A softphone's own leg that completed is no proof that the customer was reached."""
    rep = Line(direction=IN, from_number=caller, to_number=CUSTOMER)
    assert (None, None) == results(rep.end(50, HangupCause.COMPLETED, 50))


def test_call_set_up_to_a_softphone_waits_for_the_customer() -> None:
    """A call that rings the rep's softphone first is decided by the leg that is dialled from it."""
    rep = Line(direction=OUT, from_number=OURS, to_number="client:alice").end(
        50, HangupCause.COMPLETED, 50
    )
    assert (None, None) == results(rep)
    assert (Result.NO_ANSWER, 0) == results(rep, dialled(CUSTOMER).end(40, HangupCause.NO_ANSWER))


def test_customer_called_first_and_bridged_to_an_agent() -> None:
    """The leg to a softphone is the agent's; the customer's is the first one."""
    line = outbound()
    agent = dialled("client:alice", agent="alice")
    events = [
        line(ANSWERED, 5),
        agent.end(30, HangupCause.NO_ANSWER),
        line.end(31, HangupCause.COMPLETED, 26),
    ]
    assert (Result.CONNECTED, 26) == results(*events)


def test_conference_leaves_the_first_leg_the_customers() -> None:
    """
    A dialled leg without address and talk time, as of a conference, is not taken for the
    customer's.
    """
    line = outbound()
    conference = event(
        ENDED,
        leg_id="CA1:dial",
        parent_leg_id=PARENT,
        direction=OUT,
        hangup_cause=HangupCause.COMPLETED,
    )
    assert (Result.CONNECTED, 26) == results(
        line(ANSWERED, 5), conference, line.end(31, HangupCause.COMPLETED, 26)
    )


def test_dialled_leg_of_which_only_the_end_is_known() -> None:
    """
    What the exchange tells of a dialled leg's end decides click-to-call also without the leg's own
    messages.
    """
    rep = Line(direction=OUT, from_number=OURS, to_number=REP)
    end = event(
        ENDED, leg_id=CHILD, parent_leg_id=PARENT, direction=OUT, hangup_cause=HangupCause.BUSY
    )
    call = fold([rep(ANSWERED, 5), end, rep.end(31, HangupCause.COMPLETED, 26)])
    assert (Result.BUSY, OURS, None) == (call.result, call.from_number, call.to_number)


def test_leg_on_which_a_machine_was_looked_for_is_the_customers() -> None:
    """A dialled leg with a verdict on who answered is the customer's, whatever its address."""
    rep = Line(direction=OUT, from_number=OURS, to_number=REP)
    customer = dialled("sip:+15005550001@trunk.example.test")
    events = [rep.end(61, HangupCause.COMPLETED, 56), customer.end(60, HangupCause.COMPLETED, 12)]
    assert (Result.CONNECTED, 56) == results(*events)
    verdict = event(
        EventType.ANSWERED_BY, leg_id=CHILD, parent_leg_id=PARENT, answered_by=AnsweredBy.MACHINE
    )
    assert (Result.LEFT_VOICEMAIL, 12) == results(*events, verdict)


def test_of_several_dialled_legs_the_answered_one_decides() -> None:
    """
    A customer's second number that is picked up counts, also if the first one is reported later.
    """
    rep = Line(direction=IN, from_number="client:alice", to_number=CUSTOMER)(ANSWERED, 0)
    first = dialled(CUSTOMER).end(99, HangupCause.NO_ANSWER)
    second = dialled(REP, OTHER).end(60, HangupCause.COMPLETED, 30)
    assert (Result.CONNECTED, 30) == results(rep, first, second)


def test_of_several_unanswered_dialled_legs_an_open_one_is_waited_for() -> None:
    """
    While one of two numbers still rings, the busy one decides nothing; then the latest decides.
    """
    rep = Line(direction=IN, from_number="client:alice", to_number=CUSTOMER)(ANSWERED, 0)
    first = dialled(CUSTOMER, OTHER)
    second = dialled(REP)
    events = [rep, first(RINGING, 1), first.end(5, HangupCause.BUSY), second(RINGING, 1)]
    assert (None, None) == results(*events)
    assert (Result.NO_ANSWER, 0) == results(
        *events, second(RINGING, 6), second.end(30, HangupCause.NO_ANSWER)
    )


@pytest.mark.parametrize("cause", HangupCause)
@pytest.mark.parametrize("to_number", [CUSTOMER, "client:alice", "sip:desk@pbx.example.test", None])
def test_dialled_leg_decides_nothing_before_its_first_leg(
    cause: HangupCause, to_number: str | None
) -> None:
    """
    A customer who is dialled for a rep and a caller who is forwarded to a mobile telephone look
    the same until the first leg reports.
    """
    call = fold([dialled(to_number).end(60, cause, 30)])
    assert (None, None, None, Reason.DIRECTION_UNKNOWN) == (
        call.result,
        call.duration_s,
        call.direction,
        call.basis.reason,
    )


def test_first_leg_without_direction_beside_an_agents_leg() -> None:
    """
    While the first leg has no direction, an agent's dialled leg leaves open who called whom.
    """
    line = Line(from_number=CUSTOMER, to_number=OURS)
    agent = dialled("client:alice")
    assert (None, None) == results(
        line.end(21, HangupCause.COMPLETED, 21), agent.end(20, HangupCause.NO_ANSWER)
    )


def test_first_leg_that_speaks_up_corrects_the_silent_reading() -> None:
    """
    A call forwarded to an agent's mobile telephone is inbound as soon as its first leg is known.
    """
    agent = dialled(REP).end(60, HangupCause.NO_ANSWER)
    line = inbound()
    assert (None, None) == results(agent)
    assert (None, None) == results(agent, line(ANSWERED, 0))
    assert (Result.MISSED_INBOUND, 0) == results(agent, line.end(61, HangupCause.COMPLETED, 61))


def test_inbound_call_is_over_when_the_caller_is_gone() -> None:
    """
    An agent's leg that ended does not end the call: the caller may be on the way to a colleague.
    """
    assert (None, None) == results(*inbound_answered()[:5])


def test_answering_agent_takes_the_credit() -> None:
    """
    Of two telephones that rang, the one that was picked up names the agent, though the other one
    reported later.
    """
    line = inbound()
    bob = dialled("client:bob", OTHER, agent="bob")
    call = fold(
        [*inbound_answered(), bob(RINGING, 2), bob.end(70, HangupCause.CANCELLED), line(RINGING, 0)]
    )
    assert (Result.CONNECTED, "alice") == (call.result, call.agent)


def test_answer_of_an_inbound_call_is_the_agents() -> None:
    """
    The exchange picks up at once; answered is the call when a person takes it, and never if nobody
    does.
    """
    assert T0 + timedelta(seconds=8) == fold(inbound_answered()).answered_at
    assert fold(inbound_untaken(HangupCause.NO_ANSWER)).answered_at is None


def test_agents_mailbox_is_nobody() -> None:
    """A forwarded call that an agent's mailbox picked up is missed."""
    line = inbound()
    agent = dialled(REP)
    mailbox = event(
        EventType.ANSWERED_BY, leg_id=CHILD, parent_leg_id=PARENT, answered_by=AnsweredBy.MACHINE
    )
    events = [
        agent.end(40, HangupCause.COMPLETED, 20),
        mailbox,
        line.end(41, HangupCause.COMPLETED, 41),
    ]
    assert (Result.MISSED_INBOUND, 0) == results(*events)


def test_caller_who_was_joined_with_an_unknown_leg_was_taken() -> None:
    """
    An agent may be on a call of its own; that the caller's leg was joined with it is all that this
    call knows of it.
    """
    line = inbound()
    events = [
        line(ANSWERED, 0),
        line(EventType.BRIDGED, 8),
        line.end(51, HangupCause.COMPLETED, 51),
    ]
    assert (Result.CONNECTED, 43) == results(*events)
    assert fold(events).legs[0].is_bridged
    in_vain = dialled("client:alice")
    assert (Result.CONNECTED, 43) == results(
        *events, in_vain(RINGING, 2), in_vain.end(6, HangupCause.NO_ANSWER)
    )


def test_known_agents_speak_for_themselves() -> None:
    """
    A caller who was joined with the mailbox of an agent with a leg of its own has missed the agent.
    """
    line = inbound()
    agent = dialled(REP)
    mailbox = event(
        EventType.ANSWERED_BY, leg_id=CHILD, parent_leg_id=PARENT, answered_by=AnsweredBy.MACHINE
    )
    joined = [line(ANSWERED, 0), agent(EventType.BRIDGED, 8), line(EventType.BRIDGED, 8)]
    events = [
        *joined,
        mailbox,
        agent.end(40, HangupCause.COMPLETED, 20),
        line.end(41, HangupCause.COMPLETED, 41),
    ]
    assert (Result.MISSED_INBOUND, 0) == results(*events)


def test_joined_leg_was_picked_up() -> None:
    """
    Some exchanges say of a leg that it was joined, and no more: it was picked up then, by a person
    or a machine.
    """
    line = outbound()
    events = [line(CREATED, 0), line(EventType.BRIDGED, 11), line(ENDED, 60)]
    call = fold(events)
    assert (Result.CONNECTED, 49, T0 + timedelta(seconds=11)) == (
        call.result,
        call.duration_s,
        call.answered_at,
    )
    assert (Result.BUSY, 0) == results(*events[:2], line.end(60, HangupCause.BUSY))


def test_leg_that_failed_before_it_was_answered_was_not_joined() -> None:
    """
    An exchange may tell that legs are joined before the telephone is picked up; if setting it up
    then fails, nobody has talked.
    """
    line = outbound()
    events = [
        line(CREATED, 0),
        line(EventType.BRIDGED, 3),
        line(ENDED, 5, hangup_cause=HangupCause.FAILED),
    ]
    assert (Result.FAILED, 0) == results(*events)
    assert not fold(events).legs[0].is_bridged
    assert (Result.FAILED, 2) == results(*events, line(ANSWERED, 3))


def test_end_without_a_cause_of_an_inbound_call_that_was_answered() -> None:
    """
    The exchange picked up and nobody took the call: the caller hung up. One that was never picked
    up stays open.
    """
    line = inbound()
    assert (Result.ABANDONED, 0) == results(line(ANSWERED, 0), line(ENDED, 21))
    assert (None, None) == results(line(RINGING, 0), line(ENDED, 21))
    assert (Result.MISSED_INBOUND, 0) == results(
        event(ANSWERED, 0, direction=IN, answered_by=AnsweredBy.MACHINE, party=Party.CUSTOMER),
        line(ENDED, 21),
    )


@pytest.mark.parametrize(
    ("ends", "is_answered", "expected"),
    [
        ([HangupCause.HUNG_UP], True, (Result.CONNECTED, 49)),
        ([HangupCause.HUNG_UP], False, (Result.CANCELLED, 0)),
        ([HangupCause.BUSY, HangupCause.HUNG_UP], False, (Result.BUSY, 0)),
        ([HangupCause.HUNG_UP, HangupCause.NO_ANSWER], False, (Result.NO_ANSWER, 0)),
        ([HangupCause.HUNG_UP, None], False, (Result.CANCELLED, 0)),
        ([HangupCause.HUNG_UP, None], True, (Result.CONNECTED, 49)),
    ],
)
def test_hang_up_is_read_by_whether_there_was_an_answer(
    ends: list[HangupCause | None], is_answered: bool, expected: tuple[Result, int]
) -> None:
    """
    Where a source says no more than that somebody hung up, an answer makes it a talk; whatever else
    says more counts before it.
    """
    line = outbound()
    answers = [line(ANSWERED, 11)] if is_answered else []
    events = [
        line(RINGING, 2),
        *answers,
        *(line(ENDED, 60, hangup_cause=cause) for cause in ends),
    ]
    assert expected == results(*events)
    assert 1 == len({fold(order) for order in itertools.permutations(events)})
    assert HangupCause.HUNG_UP not in {leg.hangup_cause for leg in fold(events).legs}


def test_hang_up_keeps_the_talk_time_that_it_tells() -> None:
    """A duration beside it counts as beside any other cause."""
    line = outbound()
    assert (Result.CONNECTED, 40) == results(
        line(ANSWERED, 11), line.end(60, HangupCause.HUNG_UP, 40)
    )


def test_agent_who_takes_the_call_beats_a_voicemail() -> None:
    """A message that was recorded before a colleague took the call does not make it a voicemail."""
    assert (Result.CONNECTED, 42) == results(
        *inbound_answered(), event(EventType.VOICEMAIL, 5, voicemail=Voicemail("https://x.example"))
    )


def test_late_voicemail_refines_an_abandoned_call() -> None:
    """A caller who hung up counts as abandoned until the message arrives."""
    line = inbound()
    events = [line(ANSWERED, 0), line.end(21, HangupCause.COMPLETED, 21)]
    assert (Result.ABANDONED, 0) == results(*events)
    assert (Result.VOICEMAIL_RECEIVED, 0) == results(
        *events, event(EventType.VOICEMAIL, voicemail=Voicemail("https://x.example"))
    )


ABANDONS = {
    HangupCause.COMPLETED,
    HangupCause.CANCELLED,
    HangupCause.NO_ANSWER,
    HangupCause.HUNG_UP,
}


@pytest.mark.parametrize("cause", HangupCause)
def test_inbound_call_that_rang_nowhere(cause: HangupCause) -> None:
    """
    A caller who is gone before a telephone rang has abandoned the call; a fault or a busy line on
    our side has missed it.
    """
    expected = Result.ABANDONED if cause in ABANDONS else Result.MISSED_INBOUND
    assert (expected, 0) == results(inbound().end(20, cause, 20))


def test_telephone_that_only_rang_is_no_miss() -> None:
    """A caller who hangs up while an agent's telephone rings has abandoned the call."""
    line = inbound()
    assert (Result.ABANDONED, 0) == results(
        dialled("client:alice")(RINGING, 2), line.end(20, HangupCause.COMPLETED, 20)
    )


def test_unknown_end_of_an_agents_leg_is_not_guessed() -> None:
    """While an agent's leg ended with a word that nobody knows, the call has no result."""
    line = inbound()
    agent = dialled("client:alice")
    events = [
        agent(RINGING, 2),
        agent(EventType.UNKNOWN, 9, vendor_status="evaporated"),
        line.end(20, HangupCause.COMPLETED, 20),
    ]
    call = fold(events)
    assert (None, False, ("evaporated",)) == (call.result, call.is_final, call.unknown_values)
    assert Result.MISSED_INBOUND is fold([*events, agent.end(20, HangupCause.BUSY)]).result


def test_unknown_word_beside_a_known_end_hides_nothing() -> None:
    """A known end decides, the unknown word is reported."""
    line = outbound()
    odd = event(
        EventType.UNKNOWN,
        25,
        vendor_status="odd",
        hangup_cause=HangupCause.COMPLETED,
        answered_by=AnsweredBy.MACHINE,
    )
    call = fold([line.end(20, HangupCause.BUSY), odd])
    assert (Result.BUSY, None, ("odd",)) == (call.result, call.answered_by, call.unknown_values)


@pytest.mark.parametrize(
    ("party", "cause", "expected"),
    [
        (Party.CUSTOMER, HangupCause.COMPLETED, Result.CONNECTED),
        (Party.CUSTOMER, HangupCause.NO_ANSWER, Result.MISSED_INBOUND),
        (Party.CUSTOMER, HangupCause.CANCELLED, Result.ABANDONED),
        (Party.CUSTOMER, HangupCause.BUSY, Result.MISSED_INBOUND),
        (Party.AGENT, HangupCause.COMPLETED, Result.CONNECTED),
    ],
)
def test_inbound_call_of_one_leg_with_a_stated_party(
    party: Party, cause: HangupCause, expected: Result
) -> None:
    """A source that tells whose the one leg is means a human when it reports an answer."""
    duration_s = 30 if expected is Result.CONNECTED else 0
    assert (expected, duration_s) == results(inbound(party=party).end(30, cause, 30))


@pytest.mark.parametrize("cause", [HangupCause.NO_ANSWER, HangupCause.CANCELLED, HangupCause.BUSY])
def test_agents_leg_alone_does_not_tell_that_a_caller_was_missed(cause: HangupCause) -> None:
    """While the caller's own leg is not known, another telephone may have taken the call."""
    call = fold([inbound(party=Party.AGENT).end(30, cause, 30)])
    assert (None, Reason.CALLERS_LEG_MISSING) == (call.result, call.basis.reason)


def test_mailbox_of_ours_on_a_stated_leg_is_nobody() -> None:
    """An inbound call that a machine of ours picked up is missed."""
    assert (Result.MISSED_INBOUND, 0) == results(
        inbound(party=Party.CUSTOMER, answered_by=AnsweredBy.MACHINE).end(30, HangupCause.COMPLETED)
    )


def test_inbound_call_of_agents_legs_alone_ends_with_the_last() -> None:
    """Where only our own legs report, the call is over when all of them are."""
    first = inbound(party=Party.AGENT)
    second = Line(OTHER, parent_leg_id=None, direction=IN, party=Party.AGENT)
    events = [first.end(20, HangupCause.NO_ANSWER), second(RINGING, 5)]
    assert (None, None) == results(*events)
    assert (Result.CONNECTED, 8) == results(*events, second.end(30, HangupCause.COMPLETED, 8))


def test_human_who_answered_an_inbound_call_is_a_person() -> None:
    """A verdict that a human picked up makes an inbound call of one leg connected."""
    assert (Result.CONNECTED, 30) == results(
        inbound(answered_by=AnsweredBy.HUMAN).end(30, HangupCause.COMPLETED, 30)
    )


def test_stated_parties_on_legs_without_a_first_one() -> None:
    """Legs that hang on no other are distinguished by their stated parties."""
    caller = Line(
        "leg-1",
        parent_leg_id=None,
        direction=IN,
        from_number=CUSTOMER,
        to_number=OURS,
        party=Party.CUSTOMER,
    )
    agent = Line("leg-2", parent_leg_id=None, direction=IN, party=Party.AGENT, agent="bob")
    call = fold(
        [
            agent(ANSWERED, 5),
            agent.end(25, HangupCause.COMPLETED, 20),
            caller.end(30, HangupCause.COMPLETED, 30),
        ]
    )
    assert (Result.CONNECTED, 30, CUSTOMER, "bob") == (
        call.result,
        call.duration_s,
        call.from_number,
        call.agent,
    )


def test_softphone_that_is_stated_to_be_the_customers() -> None:
    """A call from a SIP trunk on a leg that is stated to be the customer's stays inbound."""
    line = Line(
        direction=IN,
        from_number="sip:ann@customer.example.test",
        to_number=OURS,
        party=Party.CUSTOMER,
    )
    assert (Result.CONNECTED, IN) == (
        (call := fold([line.end(30, HangupCause.COMPLETED, 30)])).result,
        call.direction,
    )


def test_machine_on_a_later_message_turns_connected_into_voicemail() -> None:
    """A verdict that arrives after the end refines the result."""
    assert Result.CONNECTED is fold(outbound_machine()[:4]).result
    assert Result.LEFT_VOICEMAIL is fold(outbound_machine()).result


def test_everything_else_is_gathered() -> None:
    """
    Tags are united, of the rest the latest word counts, and a recording with a URL beats one
    without.
    """
    line = outbound()
    call = fold(
        [
            line(
                EventType.UPDATED,
                1,
                tags=("b", "a"),
                note="first",
                disposition="Open",
                buildr_call_id="110",
            ),
            line(EventType.UPDATED, 2, tags=("c", "a"), note="second", agent="ann"),
            line(
                EventType.RECORDING, 3, recording=Recording("RE1", "https://rec.example.test/1", 4)
            ),
            line(EventType.RECORDING, 4, recording=Recording("RE2")),
            line(EventType.VOICEMAIL, 5, voicemail=Voicemail("https://rec.example.test/3", 6)),
            line(EventType.VOICEMAIL, 6, voicemail=Voicemail(transcript="Call me back")),
        ]
    )
    assert (("a", "b", "c"), "second", "Open", "ann", "110") == (
        call.tags,
        call.note,
        call.disposition,
        call.agent,
        call.buildr_call_id,
    )
    assert Recording("RE1", "https://rec.example.test/1", 4) == call.recording
    assert Voicemail("https://rec.example.test/3", 6, "Call me back") == call.voicemail


def test_two_buildr_calls_are_both_kept_and_neither_chosen() -> None:
    """Messages that name different Buildr calls leave the choice to a person."""
    call = fold([event(RINGING, buildr_call_id="111"), event(RINGING, buildr_call_id="110")])
    assert (None, ("110", "111")) == (call.buildr_call_id, call.buildr_call_ids)


def stall(events: Sequence[CallEvent]) -> float | None:
    """After how many seconds a call stalls that rings for at most 300 and lasts at most 14,700."""
    at = stall_deadline(
        fold(events), received_at=T0, ringing_timeout_s=300, in_progress_timeout_s=14_700
    )
    if at is None:
        return None
    return (at - T0).total_seconds()


def test_calls_stall_by_how_far_they_have_come() -> None:
    """
    A call that rings, is unknown or has only an agent's end stalls soon, one in progress late, one
    that is final never.
    """
    assert [300, 14_700, None, 300] == [
        stall([event(RINGING, 0)]),
        stall(outbound_answered()[:3]),
        stall(outbound_answered()),
        stall([event(EventType.UNKNOWN, 0, vendor_status="odd")]),
    ]
    assert (
        stall([Line(direction=IN, from_number="client:alice").end(9, HangupCause.COMPLETED)]) == 300
    )


def test_dict_is_plain_json_with_every_field() -> None:
    """A call as JSON values keeps all fields, its legs included."""
    plain = as_dict(fold(outbound_answered()))
    assert plain == json.loads(json.dumps(plain))
    aliases = {"unknown_values": "unknown_words"}
    assert {aliases.get(name, name) for name in Call.__struct_fields__} == set(plain)
    expected = {
        "source": "twilio",
        "source_call_id": PARENT,
        "result": "connected",
        "is_final": True,
        "duration_s": 49,
        "answered_by": None,
    }
    assert expected.items() <= plain.items()
    assert plain["started_at"] == "2026-11-02T10:00:00Z"
