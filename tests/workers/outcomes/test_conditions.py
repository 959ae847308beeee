"""
Conditions of rules over calls: each means one thing, and what is not known meets none.
"""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from service.events import (
    CallEvent,
    EventType,
    Party,
    Result,
    Voicemail,
)
from service.settings.business_hours import BusinessHours
from service.settings.conditions import When
from workers.calls.fold import Call, fold
from workers.calls.legs import Stage
from workers.outcomes.conditions import applies

CALL = fold(
    [
        CallEvent(
            source="twilio",
            message_id="m1",
            source_call_id="CA1",
            leg_id="CA1",
            event_type=EventType.UPDATED,
        )
    ]
)
# A Monday, at noon in Chicago.
NOON = datetime(2026, 11, 2, 18, tzinfo=UTC)
HOURS = BusinessHours.model_validate(
    {
        "timezone": "America/Chicago",
        "mon": "08:00-12:00",
        "sales": {"mon": "08:00-20:00"},
    }
)


def holds(when: dict[str, object], **values: object) -> bool:
    """Whether the conditions hold for a call with these values, of which nothing else is known."""
    call = replace(CALL, **values)
    return applies(When.model_validate(when), call, HOURS)


@pytest.mark.parametrize(
    ("result", "duration_s", "talk_s"),
    [
        (Result.CONNECTED, 12, 12),
        (Result.CONNECTED, 0, 0),
        (Result.CONNECTED, None, None),
        (Result.LEFT_VOICEMAIL, 0, 0),
        (Result.FAILED, 12, 12),
        (Result.UNKNOWN_END, None, None),
        (Result.ABANDONED, 0, None),
        (Result.MISSED_INBOUND, 0, None),
        (Result.VOICEMAIL_RECEIVED, 0, None),
        (Result.NO_ANSWER, 0, None),
        (Result.BUSY, None, None),
    ],
)
def test_talk_is_of_answered_calls_only(
    result: Result, duration_s: int | None, talk_s: int | None
) -> None:
    """A call that nobody answered talked neither long nor briefly, whatever the limit."""
    limits = range(14)
    is_answered = talk_s is not None and result is not Result.UNKNOWN_END
    assert [is_answered and talk_s is not None and talk_s < limit for limit in limits] == [
        holds({"talk_below_s": limit}, result=result, duration_s=duration_s) for limit in limits
    ]
    assert [is_answered and talk_s is not None and talk_s >= limit for limit in limits] == [
        holds({"talk_at_least_s": limit}, result=result, duration_s=duration_s) for limit in limits
    ]


SECONDS = st.one_of(st.none(), st.integers(0, 100))


@given(
    st.sampled_from(list(Result)),
    st.fixed_dictionaries({"talk": SECONDS, "wait": SECONDS, "voicemail": SECONDS}),
    st.integers(0, 100),
)
def test_below_and_at_least_are_opposites_where_the_value_is_known(
    result: Result, seconds: dict[str, int | None], limit: int
) -> None:
    """Of one value exactly one of both holds, of a value that is not known none."""
    call_values = {
        "result": result,
        "duration_s": seconds["talk"],
        "wait_s": seconds["wait"],
        "voicemail": Voicemail(duration_s=seconds["voicemail"]),
    }
    for name, value in seconds.items():
        below = holds({f"{name}_below_s": limit}, **call_values)
        at_least = holds({f"{name}_at_least_s": limit}, **call_values)
        if value is None or result is Result.UNKNOWN_END:
            assert (False, False) == (below, at_least)
        elif name != "talk" or value > 0:
            assert (value < limit, value >= limit) == (below, at_least)


@pytest.mark.parametrize("hours", ["talk", "wait", "voicemail"])
def test_each_duration_is_its_own(hours: str) -> None:
    """The talk, the wait and the message that was left are three lengths."""
    values = {
        "result": Result.CONNECTED,
        "duration_s": 10,
        "wait_s": 20,
        "voicemail": Voicemail(duration_s=30),
    }
    expected = {"talk": 10, "wait": 20, "voicemail": 30}[hours]
    assert holds({f"{hours}_at_least_s": expected, f"{hours}_below_s": expected + 1}, **values)


@pytest.mark.parametrize(
    ("when", "values", "expected"),
    [
        ({"wait_at_least_s": 20}, {"wait_s": 90}, True),
        ({"wait_below_s": 5}, {"wait_s": 90}, False),
        ({"wait_below_s": 5}, {"wait_s": 0}, True),
        ({"voicemail_below_s": 3}, {"voicemail": Voicemail(duration_s=45)}, False),
        ({"voicemail_below_s": 3}, {"voicemail": Voicemail(duration_s=2)}, True),
        ({"voicemail_below_s": 3}, {"voicemail": Voicemail(url="https://a.test/1")}, False),
        ({"voicemail_below_s": 3}, {"voicemail": None}, False),
        ({"transferred": True}, {"is_transferred": True}, True),
        ({"transferred": True}, {}, False),
        ({"forwarded": True}, {"is_forwarded": True}, True),
        ({"forwarded": True}, {"is_transferred": True}, False),
        ({"answered_elsewhere": True}, {"is_answered_elsewhere": True}, True),
        ({"answered_elsewhere": True}, {}, False),
        ({"queue": "sales  team"}, {"queue": "Sales Team"}, True),
        ({"queue": "Sales"}, {"queue": None}, False),
        ({"queue": "Sales"}, {"team": "Sales"}, False),
        ({"team": ["Sales", "Support"]}, {"team": "support"}, True),
        ({"rang_agent": "Ana"}, {"rang_agents": ("Ben", "ana")}, True),
        ({"rang_agent": "Ana"}, {"agent": "Ana"}, False),
        ({"agent": "Ana"}, {"rang_agents": ("Ana",)}, False),
        ({"hung_up_by": "customer"}, {"hung_up_by": Party.CUSTOMER}, True),
        ({"hung_up_by": "customer"}, {"hung_up_by": Party.AGENT}, False),
        ({"hung_up_by": "agent"}, {}, False),
        ({"to_number": "+15005550006"}, {"to_number": "+15005550006"}, True),
        ({"to_number": "+15005550006"}, {"from_number": "+15005550006"}, False),
        ({"from_number": ["+1500*"]}, {"from_number": "+15005550001"}, True),
        ({"from_number": ["+1500*"]}, {"from_number": "client:+15005550001"}, False),
        ({"from_number": ["+1500*"]}, {"from_number": None}, False),
        ({"stalled": False}, {"result": Result.BUSY}, True),
        ({"stalled": True}, {"result": Result.BUSY}, False),
        ({"business_hours": True}, {"started_at": NOON}, False),
        ({"business_hours": False}, {"started_at": NOON}, True),
        ({"business_hours": "sales"}, {"started_at": NOON}, True),
        ({"outside_business_hours": True}, {"started_at": NOON}, True),
        ({"outside_business_hours": False}, {"started_at": NOON}, False),
        ({"outside_business_hours": "sales"}, {"started_at": NOON}, False),
        ({"business_hours": "sales", "outside_business_hours": True}, {"started_at": NOON}, True),
        ({"business_hours": "sales"}, {}, False),
        ({"outside_business_hours": "sales"}, {}, False),
    ],
)
def test_conditions(when: dict[str, object], values: dict[str, object], *, expected: bool) -> None:
    """Each holds for its own fact alone, and not where that is not known."""
    assert expected == holds(when, **values)


@pytest.mark.parametrize(
    ("when", "stage", "expected"),
    [
        ({"stalled": True}, Stage.RINGING, True),
        ({"result": "unknown_end"}, Stage.RINGING, True),
        ({"result": ["unknown_end", "busy"]}, Stage.RINGING, True),
        ({"stalled": True, "stage": "in_progress"}, Stage.IN_PROGRESS, True),
        ({"stalled": True, "stage": "in_progress"}, Stage.RINGING, False),
        ({"stalled": True, "source": "plivo"}, Stage.RINGING, False),
        ({"source": "twilio"}, Stage.RINGING, False),
        ({"result": "busy", "source": "twilio"}, Stage.RINGING, False),
        ({"stalled": False, "source": "twilio"}, Stage.RINGING, False),
    ],
)
def test_call_without_an_end_needs_a_rule_that_is_about_such(
    when: dict[str, object], stage: Stage, *, expected: bool
) -> None:
    """A rule that only names a source, an agent or the like decides about no such call."""
    assert expected == holds(when, result=Result.UNKNOWN_END, stage=stage)


CONDITIONS = [
    {"direction": "inbound"},
    {"answered_by": "human"},
    {"talk_below_s": 10**6},
    {"talk_at_least_s": 0},
    {"wait_below_s": 10**6},
    {"wait_at_least_s": 0},
    {"voicemail_below_s": 10**6},
    {"voicemail_at_least_s": 0},
    {"disposition": ""},
    {"tag": ""},
    {"agent": ""},
    {"rang_agent": ""},
    {"queue": ""},
    {"team": ""},
    {"from_number": "*0"},
    {"to_number": "*0"},
    {"hung_up_by": "customer"},
    {"hung_up_by": "agent"},
    {"transferred": True},
    {"forwarded": True},
    {"answered_elsewhere": True},
    {"business_hours": True},
    {"business_hours": False},
    {"outside_business_hours": "sales"},
]


@pytest.mark.parametrize("when", CONDITIONS, ids=str)
@pytest.mark.parametrize("result", Result)
def test_call_of_which_nothing_is_known_meets_no_condition(
    when: dict[str, object], result: Result
) -> None:
    """Every condition but those on result and source needs a fact."""
    assert not holds(when, result=result, duration_s=None)


def test_values_of_the_fold_are_those_that_conditions_read() -> None:
    """The call of the tests has every fact of a call, so that none is left out above."""
    assert {field.name for field in fields(Call)} >= {
        "wait_s",
        "rang_agents",
        "queue",
        "team",
        "hung_up_by",
        "is_transferred",
        "is_forwarded",
        "is_answered_elsewhere",
    }
