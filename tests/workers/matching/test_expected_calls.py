"""
Which expected call a telephone call is: what fits, what is best, and that nothing is guessed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
)
from service.phone_numbers import Number
from service.sources import SOURCES
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.store.expectations import CandidateSnapshot, ExpectedCall
from workers.calls.fold import Call, fold
from workers.matching.customer_numbers import (
    MatchingRules,
    Policy,
    customer_numbers,
    start_of,
    why_internal,
)
from workers.matching.expected_calls import choose
from workers.matching.selection import ExpectedCallMatch

START = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OURS = "+15005550006"
CUSTOMER = "+15005550001"
OTHER = "+15005550002"
REF = "standard:c1"
RULES = MatchingRules(own_numbers=(OURS,))
POLICIES: tuple[Policy, ...] = ("nearest", "oldest", "leave_unmatched")
EMPTY = fold(
    [
        CallEvent(
            source="standard",
            message_id="m1",
            source_call_id="c1",
            leg_id="c1",
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.BUSY,
        )
    ]
)


def call(
    *,
    direction: Direction | None = Direction.OUTBOUND,
    from_: str | None = OURS,
    to: str | None = CUSTOMER,
    agent: str | None = None,
) -> Call:
    """A call that began at START."""
    return replace(
        EMPTY, direction=direction, from_number=from_, to_number=to, agent=agent, started_at=START
    )


def entry(
    buildr_call_id: str = "110",
    *,
    after: float = 0,
    number: str = CUSTOMER,
    extension: str | None = None,
    **more: object,
) -> ExpectedCall:
    """A call that is expected with the customer, registered so many minutes after START."""
    registered_at = START + after * MINUTE
    plain = ExpectedCall(
        buildr_call_id=buildr_call_id,
        numbers=(Number(OTHER), Number(number, extension)),
        registered_at=registered_at,
        opens_at=registered_at - 15 * MINUTE,
        closes_at=registered_at + 240 * MINUTE,
        revision=int(buildr_call_id),
    )
    return replace(plain, **more)


def choice(
    *candidates: ExpectedCall,
    of: Call | None = None,
    policy: Policy = "leave_unmatched",
    is_cut: bool = False,
) -> ExpectedCallMatch:
    """What is chosen for a call that began at START."""
    return choose(
        of or call(),
        CandidateSnapshot(candidates=candidates, is_cut=is_cut),
        replace(RULES, policy=policy),
        started_at=START,
    )


def chosen(
    *candidates: ExpectedCall, of: Call | None = None, policy: Policy = "leave_unmatched"
) -> str | None:
    """The Buildr call that is chosen."""
    expected = choice(*candidates, of=of, policy=policy).chosen
    if expected is None:
        return None
    return expected.buildr_call_id


def why(matched: ExpectedCallMatch) -> dict[str, str]:
    """Why each of the others was not chosen."""
    return {rejected.buildr_call_id: rejected.why for rejected in matched.considered}


@pytest.mark.parametrize(
    ("candidate", "of"),
    [
        (entry(), call()),
        (entry(direction=Direction.OUTBOUND), call()),
        (entry(direction=Direction.OUTBOUND), call(direction=None)),
        (entry(agent="Ana@Example.com "), call(agent="ana@example.com")),
        (entry(agent="Ana  Pérez"), call(agent="ana PÉREZ")),
        (entry(agent="ana"), call()),
        (entry(), call(agent="ana")),
        (entry(), call(direction=Direction.INBOUND, from_=CUSTOMER, to=OURS)),
        (entry(), call(direction=None, from_=CUSTOMER, to=OURS)),
        (entry(), call(to="(500) 555-0001")),
        (entry(extension="12"), call()),
        (entry(), call(to="(500) 555-0001 x12")),
        (entry(extension="12"), call(to="(500) 555-0001 x12")),
        (entry(after=15), call()),
        (entry(after=-240), call()),
    ],
)
def test_what_fits(candidate: ExpectedCall, of: Call) -> None:
    """An entry fits if the number is the customer's and nothing that both know contradicts."""
    matched = choice(candidate, of=of)
    assert (candidate, CUSTOMER, ()) == (matched.chosen, matched.number, matched.considered)
    assert "Buildr call 110" in matched.reason


@pytest.mark.parametrize(
    ("candidate", "of", "fault"),
    [
        (entry(number="+15005550003"), call(), "another number"),
        (entry(number=OURS), call(), "another number"),
        (
            entry(),
            call(direction=Direction.INBOUND, from_=OTHER[:-1] + "9", to=CUSTOMER),
            "another number",
        ),
        (entry(), call(to="client:+15005550001"), "another number"),
        (entry(), call(to=None), "another number"),
        (entry(extension="14"), call(to="(500) 555-0001 x12"), "another extension"),
        (entry(direction=Direction.INBOUND), call(), "expected inbound, and this call is outbound"),
        (entry(agent="ben"), call(agent="ana"), "expected from ben, and this call is ana's"),
        (entry(after=20), call(), "on, 5 minutes after this call started"),
        (entry(after=-241), call(), "2026-11-02 09:59 UTC, 60 seconds before this call started"),
        (entry(claimed_by="twilio:CA7"), call(), "taken by another call, twilio:CA7"),
        (entry(after=20, agent="ben"), call(agent="ana"), "; it is expected from"),
    ],
)
def test_what_does_not_fit_says_why(candidate: ExpectedCall, of: Call, fault: str) -> None:
    """
    An entry that anything speaks against is not chosen under any policy; the reason is reported.
    """
    for policy in POLICIES:
        matched = choice(candidate, of=of, policy=policy)
        assert matched.chosen is None
        assert fault in why(matched)["110"]
        assert "No call that fits" in matched.reason


def test_nothing_expected_says_nothing() -> None:
    """Without candidates there is no choice and nothing to say."""
    assert ExpectedCallMatch() == choice()


def test_right_agent_beats_no_agent() -> None:
    """The entry that names the call's agent is chosen, however near or old the others are."""
    for policy in POLICIES:
        matched = choice(
            entry("110"),
            entry("111", after=-30, agent="ana"),
            entry("112", agent="ben"),
            of=call(agent="ana"),
            policy=policy,
        )
        assert "111" == (matched.chosen and matched.chosen.buildr_call_id)
        assert "names no agent, and Buildr call 111" in why(matched)["110"]
        assert "expected from ben" in why(matched)["112"]


def test_several_that_fit_are_left_to_an_operator() -> None:
    """Unless a policy is set, several that fit match nothing, and all are named."""
    matched = choice(entry("110"), entry("111", after=-30))
    assert (None, "2 expected calls fit equally well: Buildr calls 111 and 110.") == (
        matched.chosen,
        matched.reason,
    )
    assert {
        "110": "fits as well as Buildr call 111",
        "111": "fits as well as Buildr call 110",
    } == why(matched)


def test_nearest() -> None:
    """The one whose registration, or stated beginning, is nearest to the start of the call."""
    matched = choice(entry("110", after=-9), entry("111", after=3), policy="nearest")
    assert matched.chosen is not None
    assert "111" == matched.chosen.buildr_call_id
    assert (
        "is expected 9 minutes from the start of the call, and Buildr call 111 3 minutes"
        == why(matched)["110"]
    )
    stated = entry("112", after=-200, not_before=START + MINUTE, opens_at=START - MINUTE)
    assert "112" == chosen(entry("110", after=-9), entry("111", after=3), stated, policy="nearest")


def test_exactly_as_near_is_left_to_an_operator() -> None:
    """
    Two that are exactly as near, one before and one after, are not chosen between; a third one
    farther away loses to both.
    """
    matched = choice(
        entry("110", after=-5), entry("111", after=5), entry("112", after=9), policy="nearest"
    )
    assert matched.chosen is None
    assert {"110", "111", "112"} == set(why(matched))
    assert "fits as well as Buildr call 111" == why(matched)["110"]


def test_oldest() -> None:
    """The one that was registered first, even within the same millisecond."""
    assert "110" == chosen(entry("111", after=1), entry("110", after=-9), policy="oldest")
    assert "110" == chosen(entry("111"), entry("110"), policy="oldest")
    assert (
        "was registered after Buildr call 110"
        == why(choice(entry("111"), entry("110"), policy="oldest"))["111"]
    )


def test_call_keeps_what_it_has_claimed() -> None:
    """
    A later and better entry does not move a call that has its Buildr call already; another number
    does.
    """
    claimed = entry("110", after=-100, claimed_by=REF)
    for policy in POLICIES:
        matched = choice(claimed, entry("111", agent="ana"), of=call(agent="ana"), policy=policy)
        assert (claimed, CUSTOMER) == (matched.chosen, matched.number)
        assert "111" in why(matched)
    late = entry("110", after=60, claimed_by=REF)
    assert late == choice(late).chosen
    assert "112" == chosen(entry("110", number="+15005550003", claimed_by=REF), entry("112"))


def test_too_many_to_compare_match_nothing() -> None:
    """Where not all candidates were read, none is chosen."""
    matched = choice(entry("110"), policy="nearest", is_cut=True)
    assert matched.chosen is None
    assert "too many" in matched.reason
    assert {"110"} == set(why(matched))


def test_without_a_start_nothing_fits() -> None:
    """Of a call whose beginning is not known no window can be compared."""
    matched = choose(call(), CandidateSnapshot(candidates=(entry(),)), RULES, started_at=None)
    assert matched.chosen is None
    assert "not known when" in why(matched)["110"]
    assert START == start_of(call(), None)
    assert START == start_of(replace(call(), started_at=None), START)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (call(), [CUSTOMER]),
        (call(direction=Direction.INBOUND, from_=CUSTOMER, to=OURS), [CUSTOMER]),
        (call(direction=None), [CUSTOMER]),
        (call(direction=None, from_=OTHER), [OTHER, CUSTOMER]),
        (call(direction=None, from_=CUSTOMER), [CUSTOMER]),
        (call(to=OURS), []),
        (call(to="sip:ana@pbx.example.com"), []),
        (call(to="5550001"), []),
        (call(to="sip:+15005550001@pbx.example.com;transport=udp"), [CUSTOMER]),
        (call(to=f"sip:{OURS}@pbx.example.com"), []),
        (call(to="0015005550001"), [CUSTOMER]),
        (
            call(direction=Direction.INBOUND, from_="sip:+15005550001@pbx.example.com", to=OURS),
            [CUSTOMER],
        ),
        (call(to="020 7946 0018"), []),
        (call(to="anonymous"), []),
        (call(to=None), []),
    ],
)
def test_customers_number(of: Call, expected: list[str]) -> None:
    """The customer's end depends on the direction, and an own number is never a customer's."""
    assert expected == [number.e164 for number in customer_numbers(of, RULES)]


def test_number_in_a_sip_address_finds_its_expected_call() -> None:
    """A trunk that names the caller by a SIP address names the number that is expected."""
    body: dict[str, JsonValue] = {
        "version": "1",
        "type": "call.ended",
        "call_id": "pbx-1",
        "occurred_at": "2026-11-28T03:00:00Z",
        "direction": "inbound",
        "from": "sip:+15005550007@pbx.example.com",
        "to": OURS,
        "result": "missed_inbound",
    }
    request = build_request({"body_json": body}, base_url="https://hooks.example.test")
    folded = fold(SOURCES["standard"].parse(request, "m1"))
    assert (Direction.INBOUND, "sip:+15005550007@pbx.example.com") == (
        folded.direction,
        folded.from_number,
    )
    assert (Number("+15005550007"),) == customer_numbers(folded, RULES)


def test_number_without_country_code_is_of_the_region() -> None:
    """What a national number means is a setting."""
    assert ["+442079460018"] == [
        number.e164
        for number in customer_numbers(call(to="020 7946 0018"), MatchingRules(default_region="GB"))
    ]


@pytest.mark.parametrize(
    ("from_", "to", "is_internal"),
    [
        (OURS, CUSTOMER, False),
        (CUSTOMER, OURS, False),
        (OURS, "+15005559123", True),
        (OURS, "(500) 555-9123", True),
        ("client:ana", "client:ben", True),
        ("client:ana", CUSTOMER, False),
        (OURS, "104", True),
        (OURS, "911", False),
        ("client:ana", "sip:104@pbx.example.com", True),
        ("client:ana", f"sip:{OURS}@pbx.example.com;transport=udp", True),
        ("client:ana", "sip:ben@desk.example.com", True),
        ("client:ana", "sip:ben@elsewhere.example.com", False),
        ("104", "anonymous", False),
        (OURS, None, False),
    ],
)
def test_internal_call(from_: str, to: str | None, is_internal: bool) -> None:
    """A call is internal if both ends are ours for certain."""
    rules = MatchingRules(own_numbers=(OURS, "+1500555912*", "sip:*@desk.example.com"))
    for one, two in ((from_, to), (to, from_)):
        assert is_internal == (why_internal(call(from_=one, to=two), rules) is not None)


def test_without_own_numbers_no_call_is_internal() -> None:
    """Nothing is left alone because of a setting that is not set."""
    assert why_internal(call(from_="client:ana", to="client:ben"), MatchingRules()) is None


ENTRIES = st.lists(
    st.builds(
        entry,
        st.integers(100, 115).map(str),
        after=st.integers(-300, 60),
        number=st.sampled_from([CUSTOMER, CUSTOMER, "+15005550003"]),
        extension=st.sampled_from([None, None, "12", "14"]),
        agent=st.sampled_from([None, "ana", "ben"]),
        direction=st.sampled_from([None, *Direction]),
        claimed_by=st.sampled_from([None, None, None, "twilio:CA7"]),
    ),
    max_size=6,
    unique_by=lambda expected: expected.buildr_call_id,
)
CALLS = st.builds(
    call,
    direction=st.sampled_from([None, Direction.OUTBOUND]),
    to=st.sampled_from([CUSTOMER, "(500) 555-0001 x12"]),
    agent=st.sampled_from([None, "ana"]),
)


@given(ENTRIES, CALLS, st.sampled_from(POLICIES), st.randoms(use_true_random=False))
def test_order_of_candidates_makes_no_difference(
    candidates: list[ExpectedCall], of: Call, policy: Policy, random: Random
) -> None:
    """However the candidates are read, the same one is chosen for the same reasons."""
    mixed = sorted(candidates, key=lambda _: random.random())
    assert choice(*candidates, of=of, policy=policy) == choice(*mixed, of=of, policy=policy)


@given(ENTRIES, ENTRIES, CALLS, st.sampled_from(POLICIES))
def test_what_does_not_fit_changes_nothing(
    candidates: list[ExpectedCall], others: list[ExpectedCall], of: Call, policy: Policy
) -> None:
    """
    Candidates that would not be chosen if they were alone change neither the choice nor its reason.
    """
    taken = {expected.buildr_call_id for expected in candidates}
    misfits = [
        other
        for other in others
        if other.buildr_call_id not in taken and choice(other, of=of).chosen is None
    ]
    assume(candidates)
    before = choice(*candidates, of=of, policy=policy)
    after = choice(*candidates, *misfits, of=of, policy=policy)
    assert (before.chosen, before.reason) == (after.chosen, after.reason)
    assert set(why(before).items()) <= set(why(after).items())


@given(ENTRIES, CALLS, st.sampled_from(POLICIES))
def test_every_candidate_is_accounted_for(
    candidates: list[ExpectedCall], of: Call, policy: Policy
) -> None:
    """Each candidate is either the one chosen or has its reason for not being it."""
    matched = choice(*candidates, of=of, policy=policy)
    rest = [entry_.buildr_call_id for entry_ in candidates if entry_ != matched.chosen]
    assert sorted(rest) == sorted(rejected.buildr_call_id for rejected in matched.considered)
    assert all(rejected.why for rejected in matched.considered)


@given(ENTRIES, CALLS)
def test_ambiguity_is_never_guessed(candidates: list[ExpectedCall], of: Call) -> None:
    """Without a policy a call is matched only if one entry fits alone, or alone names its agent."""
    fits = [expected for expected in candidates if choice(expected, of=of).chosen is not None]
    with_agent = [expected for expected in fits if expected.agent and of.agent]
    best: Sequence[ExpectedCall] = with_agent or fits
    chosen_call = choice(*candidates, of=of).chosen
    if len(best) == 1:
        assert best[0] == chosen_call
    else:
        assert chosen_call is None
