"""
Scenarios: every one can be read, filled and signed, and tells the call that its name promises.
"""

import random
from datetime import UTC, datetime
from typing import Final

import pytest
from msgspec.structs import replace

from service.events import Direction, Result
from service.sources import SOURCES
from service.sources.common.ids import queried_buildr_call_id
from service.sources.settings import Secrets
from tests.sources.cases import CONTRACTS
from workers.calls.fold import fold
from workers.simulator.scenarios import (
    Ends,
    Scenario,
    ScenarioError,
    load,
    names,
)

START_AT: Final = datetime(2026, 11, 2, 10, 0, 0, 123456, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
ENDS: Final = Ends(result=Result.BUSY, direction=Direction.OUTBOUND, duration_s=0)
ALL: Final = [
    pytest.param(source, name, id=f"{source}-{name}")
    for source in SOURCES
    for name in names(source)
]


@pytest.mark.parametrize(("source", "name"), ALL)
def test_scenario_tells_the_call_of_its_name(source: str, name: str) -> None:
    """
    The requests of a scenario are genuine once signed, and fold into the call that the scenario
    says it ends as.
    """
    scenario = load(source, name)
    secrets = Secrets(CONTRACTS[source].own_secrets or CONTRACTS[source].secrets)
    output = []
    # Where the vendor has no field that we could fill, the id is in the call's note; some give
    # nothing back at all.
    by_name = {"buildr_call_id": "110", "note": "buildr_call_id=110"}
    value = next(({name: text} for name, text in by_name.items() if name in scenario.values), {})
    assert bool(value) == (SOURCES[source].call_id_carrier is not None)
    for request in scenario.build_requests(
        value, base_url=BASE_URL, start_at=START_AT, rng=random.Random(1)
    ):
        signed = SOURCES[source].sign(request, secrets, START_AT)
        SOURCES[source].verify(signed, secrets, START_AT)
        # Where the vendor does not sign the address, `trigger` adds a signature of ours, which the
        # receiver has checked by now.
        proved = replace(
            SOURCES[source].redact(signed), buildr_call_id=queried_buildr_call_id(signed)[0]
        )
        output += SOURCES[source].read(proved, SOURCES[source].keys(proved).message_key)
    call = fold(output)
    assert call.is_final
    assert scenario.ends == Ends(
        result=call.result, direction=call.direction, duration_s=call.duration_s
    )
    assert call.buildr_call_id == ("110" if value else None)
    assert call.unknown_values == ()


@pytest.mark.parametrize(("source", "name"), ALL)
def test_scenario_is_the_same_for_the_same_dice(source: str, name: str) -> None:
    """Chance comes in through one door: same seed, same requests; another seed, another call."""
    scenario = load(source, name)
    one, same, other = (scenario.requests({}, START_AT, random.Random(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert scenario.title
    assert scenario.about


@pytest.mark.parametrize(("source", "name"), ALL)
def test_no_blank_is_left(source: str, name: str) -> None:
    """Every blank is filled, and every value is used."""
    scenario = load(source, name)
    separators = {key: f"marker-{key.replace('_', '-')}" for key in scenario.values}
    requests = scenario.requests(separators, START_AT, random.Random(1))
    assert "$" not in repr(requests)
    # Some values are in base64, so that only what they change shows that they are used.
    others = {
        key: scenario.requests({**separators, key: "another"}, START_AT, random.Random(1))
        for key in separators
    }
    assert [key for key, other in others.items() if other == requests] == []


@pytest.mark.parametrize(("source", "name"), ALL)
def test_all_requests_of_a_call_differ(source: str, name: str) -> None:
    """No two requests of a scenario are taken for a repetition of one another."""
    requests = load(source, name).build_requests(
        {}, base_url=BASE_URL, start_at=START_AT, rng=random.Random(1)
    )
    keys = [SOURCES[source].keys(request).message_key for request in requests]
    assert len(keys) == len(set(keys))


def test_times_are_written_as_the_source_does() -> None:
    """
    Twilio's times are RFC 2822, those of `standard` RFC 3339, JustCall's in two halves; all count
    from the start of the call.
    """
    twilio = load("twilio", "answered").requests({}, START_AT, random.Random(1))[-1]["body_form"]
    assert isinstance(twilio, dict)
    assert twilio["Timestamp"] == "Mon, 02 Nov 2026 10:00:46 +0000"
    standard = load("standard", "answered").requests({}, START_AT, random.Random(1))[-1][
        "body_json"
    ]
    assert isinstance(standard, dict)
    assert standard["occurred_at"] == "2026-11-02T10:00:46Z"
    justcall = load("justcall", "answered").requests({}, START_AT, random.Random(1))[-1][
        "body_json"
    ]
    assert isinstance(justcall, dict)
    assert isinstance(justcall["data"], dict)
    assert ("2026-11-02", "10:00:00") == (
        justcall["data"]["call_date"],
        justcall["data"]["call_time"],
    )


def test_empty_value_is_left_out() -> None:
    """
    Without a Buildr call id the request carries no such field; an empty field of the vendor's
    stays.
    """
    request = load("twilio", "answered").requests({}, START_AT, random.Random(1))[0]
    assert request["query"] == {}
    assert isinstance(request["body_form"], dict)
    assert request["body_form"]["CallerCity"] == ""


def test_value_is_taken_literally() -> None:
    """A value that looks like a blank is not filled again."""
    scenario = Scenario(
        source="x",
        name="y",
        title="t",
        about="a",
        ends=ENDS,
        values={"to": ""},
        templates=({"body": "$to and $to"},),
    )
    assert [{"body": "$hex$rfc+1 and $hex$rfc+1"}] == scenario.requests(
        {"to": "$hex$rfc+1"}, START_AT, random.Random(1)
    )


def test_unknown_value_names_the_known_ones() -> None:
    """A typing error in `--set` is reported with what was probably meant."""
    with pytest.raises(
        ScenarioError,
        match=(
            r"no value 'buildr_id'; did you mean buildr_call_id\? There are: call_id, from, to, "
            r"buildr_call_id"
        ),
    ):
        load("twilio", "busy").requests({"buildr_id": "110"}, START_AT, random.Random(1))


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("no_answer", "did you mean no-answer"),
        ("../twilio/busy", "There are: answered,"),
        ("", "There are:"),
    ],
)
def test_unknown_scenario_names_the_known_ones(name: str, reported: str) -> None:
    """A scenario that does not exist is reported with those that do; a path is no name."""
    with pytest.raises(ScenarioError, match=reported):
        load("twilio", name)


def test_source_without_scenarios_has_none() -> None:
    """A source that has no folder has no scenarios, which is no error until one is asked for."""
    assert names("nobody") == ()
    with pytest.raises(ScenarioError, match="there is none"):
        load("nobody", "answered")


@pytest.mark.parametrize("blank", ["$nobody", "$to+5"])
def test_blank_without_a_value_is_reported(blank: str) -> None:
    """A scenario file with a blank that nothing fills is refused."""
    scenario = Scenario(
        source="x",
        name="y",
        title="t",
        about="a",
        ends=ENDS,
        values={"to": "1"},
        templates=({"body": f"- {blank}"},),
    )
    with pytest.raises(ScenarioError, match="not among its values"):
        scenario.requests({}, START_AT, random.Random(1))
