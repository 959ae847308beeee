"""
Rules, outcomes and the body of the PATCH.
"""

import re
from datetime import UTC, datetime
from typing import Literal

import pytest
from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Result,
)
from service.settings.conditions import When
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcomes import OutcomeConfig
from service.store.links import Link
from workers.calls.fold import Call, fold
from workers.outcomes.conditions import CONDITIONS, HOURS_CONDITIONS
from workers.outcomes.decide import (
    Decision,
    build_patch,
    decide,
    outcome_key,
    resolve,
    unknown_names,
)

STARTED_AT = datetime(2026, 11, 2, 16, 0, 0, 250_000, tzinfo=UTC)
IDS = {"connected": "786", "no answer": "789", "busy": "790"}
EVENT = CallEvent(
    source="twilio",
    message_id="m1",
    source_call_id="CA1",
    leg_id="CA1",
    event_type=EventType.ENDED,
    direction=Direction.OUTBOUND,
    hangup_cause=HangupCause.COMPLETED,
)


def call(**more: object) -> Call:
    """A connected outbound call of 49 seconds, with fields to taste."""
    usual: dict[str, object] = {
        "result": Result.CONNECTED,
        "duration_s": 49,
        "started_at": STARTED_AT,
    }
    return replace(fold([EVENT]), **(usual | more))


def config(**tables: object) -> OutcomeConfig:
    """What the operator wrote."""
    return OutcomeConfig.model_validate(tables)


def rules(*whens: dict[str, object], **tables: object) -> OutcomeConfig:
    """Rules that lead to outcomes named after their place."""
    return config(
        rules=[{"when": when, "outcome": f"Outcome {place}"} for place, when in enumerate(whens)],
        **tables,
    )


def decided(call_: Call, config_: OutcomeConfig) -> str:
    """The outcome's name, or `nothing`."""
    outcome = decide(call_, config_).outcome
    if outcome is None:
        return "nothing"
    return str(outcome)


def test_default_outcome_is_not_the_operators() -> None:
    """A result that nobody mapped falls back to the default, and the decision says so."""
    expected = Decision(
        result=Result.CONNECTED,
        outcome=OutcomeRef(name="Connected"),
        rule="default.connected",
        is_explicit=False,
    )
    assert expected == decide(call(), config())


def test_outcomes_table_beats_the_default() -> None:
    """What the operator mapped counts, by id too."""
    expected = Decision(
        result=Result.CONNECTED,
        outcome=OutcomeRef(id="42"),
        rule="outcomes.connected",
        is_explicit=True,
    )
    assert expected == decide(call(), config(outcomes={"connected": "42"}))


def test_result_mapped_to_nothing_is_left_alone() -> None:
    """An empty outcome is a decision too."""
    decision = decide(call(), config(outcomes={"connected": ""}))
    assert (None, "outcomes.connected", True) == (
        decision.outcome,
        decision.rule,
        decision.is_explicit,
    )
    assert build_patch(call(), decision, outcome_id=None, link=None, recorded_at="start") is None


def test_first_rule_that_holds_decides() -> None:
    """Rules are asked in order, before the table, and named as an operator would look for them."""
    written = config(
        rules=[
            {"when": {"duration_at_least_s": 600}, "outcome": "Long"},
            {"name": "Machines", "when": {"answered_by": "machine"}, "outcome": "Machine"},
            {"when": {"result": "connected"}, "outcome": "Talk"},
            {"when": {"source": "twilio"}, "outcome": "Never"},
        ],
        outcomes={"connected": "Never"},
    )
    assert ("rules[0]", "Long") == (
        decide(call(duration_s=600), written).rule,
        decided(call(duration_s=600), written),
    )
    assert 'rules[1] "Machines"' == decide(call(answered_by=AnsweredBy.MACHINE), written).rule
    assert "Talk" == decided(call(), written)


def test_rule_may_leave_a_call_alone() -> None:
    """A rule with an empty outcome stops the search."""
    decision = decide(call(), config(rules=[{"when": {"result": "connected"}, "outcome": ""}]))
    assert (None, True) == (decision.outcome, decision.is_explicit)


@pytest.mark.parametrize(
    ("when", "fields", "holds"),
    [
        ({"result": ["busy", "connected"]}, {}, True),
        ({"result": "busy"}, {}, False),
        ({"source": "Twilio"}, {}, True),
        ({"source": "standard"}, {}, False),
        ({"direction": "outbound"}, {}, True),
        ({"direction": "inbound"}, {}, False),
        ({"answered_by": "human"}, {"answered_by": AnsweredBy.HUMAN}, True),
        ({"answered_by": "human"}, {}, False),
        ({"duration_at_least_s": 49}, {}, True),
        ({"duration_at_least_s": 50}, {}, False),
        ({"result": "connected", "duration_below_s": 50}, {}, True),
        ({"result": "connected", "duration_below_s": 49}, {}, False),
        ({"result": "connected", "duration_at_least_s": 0}, {"duration_s": None}, False),
        ({"result": "connected", "duration_below_s": 50}, {"duration_s": None}, False),
        ({"duration_at_least_s": 20, "duration_below_s": 60}, {}, True),
        ({"disposition": "Wrong Person"}, {"disposition": " wrong person"}, True),
        ({"disposition": ["won", "lost"]}, {"disposition": "Lost"}, True),
        ({"disposition": "won"}, {}, False),
        ({"tag": "vip"}, {"tags": ("x", "VIP")}, True),
        ({"tag": ["vip"]}, {"tags": ("vips",)}, False),
        ({"tag": []}, {"tags": ("vip",)}, False),
        ({"agent": "Alice"}, {"agent": "alice"}, True),
        ({"agent": "alice"}, {}, False),
        ({"result": "connected", "agent": "alice"}, {"agent": "bob"}, False),
    ],
)
def test_conditions(when: dict[str, object], fields: dict[str, object], *, holds: bool) -> None:
    """
    All conditions of a rule must hold, of a list any one; a value that is not known holds nothing.
    """
    assert holds == ("Outcome 0" == decided(call(**fields), rules(when)))


def test_every_condition_is_applied() -> None:
    """Each condition that a rule may have has its function; business hours need the hours too."""
    assert set(When.model_fields) == {*CONDITIONS, *HOURS_CONDITIONS}


HOURS = {"timezone": "America/Chicago", "mon": "08:00-17:30", "fri": "08:00-16:00"}


@pytest.mark.parametrize(
    ("started_at", "is_open"),
    [
        ("2026-11-02T13:59:59Z", False),
        ("2026-11-02T14:00:00Z", True),
        ("2026-11-02T23:29:59Z", True),
        ("2026-11-02T23:30:00Z", False),
        ("2026-11-03T15:00:00Z", False),
        ("2026-10-26T13:00:00Z", True),
        ("2026-10-31T00:00:00Z", False),
        ("0001-01-01T00:00:00Z", None),
        (None, None),
    ],
)
def test_business_hours(started_at: str | None, is_open: bool | None) -> None:
    """
    Hours are judged in their own time zone, summer time included; a start that is not known is
    neither within nor outside.
    """
    moment = None
    if started_at is not None:
        moment = datetime.fromisoformat(started_at)
    written = rules({"business_hours": True}, {"business_hours": False}, business_hours=HOURS)
    expected = {True: "Outcome 0", False: "Outcome 1", None: "Connected"}[is_open]
    assert expected == decided(call(started_at=moment), written)


def test_call_without_result_is_left_alone() -> None:
    """A call that is not over maps to nothing, whatever the rules say."""
    running = call(result=None, is_final=False)
    decision = decide(running, rules({"direction": "outbound"}))
    assert (None, None, False) == (decision.result, decision.outcome, decision.is_explicit)


@pytest.mark.parametrize("result", Result)
def test_every_result_is_decided_about(result: Result) -> None:
    """No word of the vocabulary is without a default."""
    assert f"default.{result.value}" == decide(call(result=result), config()).rule


def test_names_resolve_without_case_and_outer_spaces() -> None:
    """A name is found however it is typed, an id stands for itself."""
    assert ["786", "789", None, "4711"] == [
        resolve(OutcomeRef(name=" CONNECTED "), IDS),
        resolve(OutcomeRef(name="No  answer"), IDS),
        resolve(OutcomeRef(name="Gone"), IDS),
        resolve(OutcomeRef(id="4711"), IDS),
    ]
    assert outcome_key("Straße  X") == outcome_key(" STRASSE x ")


def test_unknown_names_come_with_their_place() -> None:
    """
    Each name that the operator wrote and the account lacks is named with its place and the names
    there are; defaults are not.
    """
    written = config(
        outcomes={"connected": "Conected", "busy": "Busy", "no_answer": "789", "failed": ""},
        rules=[{"name": "Long", "when": {"duration_at_least_s": 9}, "outcome": "Zzz"}],
    )
    first, second = unknown_names(written, IDS)
    assert re.fullmatch(
        r'outcomes\.connected: .*"Conected"; did you mean "connected"\?'
        r" It has: busy, connected, no answer",
        first,
    )
    assert re.fullmatch(r'rules\[0\] "Long": .*"Zzz"\. It has: .*', second)
    assert () == unknown_names(config(), {})


def test_patch_holds_only_what_is_to_change() -> None:
    """The body is the outcome and the start, to the second, in UTC."""
    expected = {"call": {"call_outcome_id": "786", "recorded_at": "2026-11-02T16:00:00Z"}}
    assert expected == build_patch(
        call(), decide(call(), config()), outcome_id="786", link=None, recorded_at="start"
    )


def test_patch_takes_along_what_the_link_files_under() -> None:
    """Company, contact and project of a link are sent."""
    link = Link(buildr_call_id="110", company_id="753", contact_id="144", project_id="372")
    patch = build_patch(
        call(), decide(call(), config()), outcome_id="786", link=link, recorded_at="never"
    )
    assert {
        "call": {
            "call_outcome_id": "786",
            "company_id": "753",
            "contact_id": "144",
            "project_id": "372",
        }
    } == patch


def test_link_about_another_call_sends_nothing_along() -> None:
    """
    Where the message names another Buildr call than the link, the link's company is not that
    call's.
    """
    link = Link(buildr_call_id="999", company_id="753")
    patch = build_patch(
        call(buildr_call_id="110"),
        decide(call(), config()),
        outcome_id="786",
        link=link,
        recorded_at="never",
    )
    assert {"call": {"call_outcome_id": "786"}} == patch


@pytest.mark.parametrize(
    ("mode", "fields", "expected"),
    [
        ("start", {}, "2026-11-02T16:00:00Z"),
        (
            "answer",
            {"answered_at": datetime(2026, 11, 2, 16, 0, 9, tzinfo=UTC)},
            "2026-11-02T16:00:09Z",
        ),
        ("answer", {"answered_at": None}, "2026-11-02T16:00:00Z"),
        ("end", {"ended_at": datetime(2026, 11, 2, 16, 1, tzinfo=UTC)}, "2026-11-02T16:01:00Z"),
        ("end", {"ended_at": None}, "2026-11-02T16:00:00Z"),
        ("start", {"started_at": None}, None),
        ("start", {"started_at": datetime(1, 1, 1, tzinfo=UTC)}, "0001-01-01T00:00:00Z"),
        ("never", {}, None),
    ],
)
def test_recorded_at(
    mode: Literal["start", "answer", "end", "never"],
    fields: dict[str, object],
    expected: str | None,
) -> None:
    """
    The moment is the one that is asked for, the start where there is none, and left out if that is
    not known either.
    """
    patch = build_patch(
        call(**fields), decide(call(), config()), outcome_id="786", link=None, recorded_at=mode
    )
    assert patch is not None
    assert expected == patch["call"].get("recorded_at")


def test_no_patch_without_a_final_result_or_an_outcome() -> None:
    """A call that is not over, or whose outcome has no id, is not written."""
    decision = decide(call(), config())
    assert (
        build_patch(
            call(is_final=False), decision, outcome_id="786", link=None, recorded_at="start"
        )
        is None
    )
    assert build_patch(call(), decision, outcome_id=None, link=None, recorded_at="start") is None
