"""
Scenarios: every one can be read, filled and signed, and tells the call that its name promises.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import pytest

from service.calls import fold
from service.events import Direction, Result
from service.secrets import Secrets
from service.sources import SOURCES
from workers.cli.scenarios import Scenario, ScenarioError, load, names

START_AT: Final = datetime(2026, 11, 2, 10, 0, 0, 123456, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
SECRETS: Final = {
    "twilio": "FAKE0000000000000000000000000000",
    "standard": "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==",
    "callrail": "fake-callrail-signing-key-000",
    "aircall": "fake-aircall-token-0000000000",
    "zoom": "fake-zoom-secret-token-000",
    "dialpad": "fake-dialpad-webhook-secret-0000",
    "plivo": "FAKEPLIVOTOKEN000000000000000000000000",
    "ringcentral": "fake-rc-verification-token-000",
}
OUTBOUND: Final = Direction.OUTBOUND
INBOUND: Final = Direction.INBOUND
# Result, direction, and seconds of talk.
TOLD: Final[Mapping[tuple[str, str], tuple[Result, Direction, int]]] = {
    ("twilio", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("twilio", "answered-click-to-call"): (Result.CONNECTED, OUTBOUND, 95),
    ("twilio", "voicemail-left"): (Result.LEFT_VOICEMAIL, OUTBOUND, 41),
    ("twilio", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("twilio", "busy"): (Result.BUSY, OUTBOUND, 0),
    ("twilio", "rejected"): (Result.REJECTED, OUTBOUND, 0),
    ("twilio", "invalid-number"): (Result.INVALID_NUMBER, OUTBOUND, 0),
    ("twilio", "cancelled"): (Result.CANCELLED, OUTBOUND, 0),
    ("twilio", "failed"): (Result.FAILED, OUTBOUND, 0),
    ("twilio", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("twilio", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("twilio", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("twilio", "inbound-voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("standard", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("standard", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("standard", "missed-inbound"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("standard", "voicemail-received"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("standard", "stated-result"): (Result.LEFT_VOICEMAIL, OUTBOUND, 30),
    ("callrail", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("callrail", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("callrail", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("callrail", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("callrail", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("callrail", "inbound-voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("plivo", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("plivo", "answered-click-to-call"): (Result.CONNECTED, OUTBOUND, 95),
    ("plivo", "voicemail-left"): (Result.LEFT_VOICEMAIL, OUTBOUND, 41),
    ("plivo", "machine-hung-up"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("plivo", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("plivo", "busy"): (Result.BUSY, OUTBOUND, 0),
    ("plivo", "rejected"): (Result.REJECTED, OUTBOUND, 0),
    ("plivo", "cancelled"): (Result.CANCELLED, OUTBOUND, 0),
    ("plivo", "invalid-number"): (Result.INVALID_NUMBER, OUTBOUND, 0),
    ("plivo", "failed"): (Result.FAILED, OUTBOUND, 0),
    ("plivo", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("plivo", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("plivo", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("plivo", "inbound-voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("aircall", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("aircall", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("aircall", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("aircall", "inbound-transferred"): (Result.CONNECTED, INBOUND, 137),
    ("aircall", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("aircall", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("aircall", "inbound-voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("ringcentral", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("ringcentral", "answered-only-own-party"): (Result.CONNECTED, OUTBOUND, 37),
    ("ringcentral", "answered-click-to-call"): (Result.CONNECTED, OUTBOUND, 95),
    ("ringcentral", "answered-transferred"): (Result.CONNECTED, OUTBOUND, 120),
    ("ringcentral", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("ringcentral", "no-answer-click-to-call"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("ringcentral", "busy"): (Result.BUSY, OUTBOUND, 0),
    ("ringcentral", "rejected"): (Result.REJECTED, OUTBOUND, 0),
    ("ringcentral", "cancelled"): (Result.CANCELLED, OUTBOUND, 0),
    ("ringcentral", "invalid-number"): (Result.INVALID_NUMBER, OUTBOUND, 0),
    ("ringcentral", "failed"): (Result.FAILED, OUTBOUND, 0),
    ("ringcentral", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("ringcentral", "inbound-answered-only-own-party"): (Result.CONNECTED, INBOUND, 37),
    ("ringcentral", "inbound-ring-group"): (Result.CONNECTED, INBOUND, 137),
    ("ringcentral", "inbound-transferred"): (Result.CONNECTED, INBOUND, 137),
    ("ringcentral", "inbound-consulted"): (Result.CONNECTED, INBOUND, 137),
    ("ringcentral", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("ringcentral", "inbound-mailbox"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("ringcentral", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("zoom", "outbound-answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("zoom", "voicemail-left"): (Result.LEFT_VOICEMAIL, OUTBOUND, 41),
    ("zoom", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("zoom", "busy"): (Result.BUSY, OUTBOUND, 0),
    ("zoom", "cancelled"): (Result.CANCELLED, OUTBOUND, 0),
    ("zoom", "answered"): (Result.CONNECTED, INBOUND, 137),
    ("zoom", "transfer"): (Result.CONNECTED, INBOUND, 120),
    ("zoom", "missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("zoom", "abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("zoom", "voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("dialpad", "answered"): (Result.CONNECTED, OUTBOUND, 37),
    ("dialpad", "no-answer"): (Result.NO_ANSWER, OUTBOUND, 0),
    ("dialpad", "inbound-answered"): (Result.CONNECTED, INBOUND, 137),
    ("dialpad", "inbound-transferred"): (Result.CONNECTED, INBOUND, 40),
    ("dialpad", "inbound-missed"): (Result.MISSED_INBOUND, INBOUND, 0),
    ("dialpad", "inbound-abandoned"): (Result.ABANDONED, INBOUND, 0),
    ("dialpad", "inbound-voicemail"): (Result.VOICEMAIL_RECEIVED, INBOUND, 0),
    ("dialpad", "blocked"): (Result.REJECTED, INBOUND, 0),
}
ALL: Final = [pytest.param(source, name, id=f"{source}-{name}") for source in SOURCES for name in names(source)]


def test_every_scenario_is_known_here() -> None:
    """No scenario is untested, and none is missing."""
    assert set(TOLD) == {(source, name) for source in SOURCES for name in names(source)}


@pytest.mark.parametrize(("source", "name"), ALL)
def test_scenario_tells_the_call_of_its_name(source: str, name: str) -> None:
    """The requests of a scenario are genuine once signed, and fold into the result that it is named after."""
    scenario = load(source, name)
    told = []
    # Where the vendor has no field that we could fill, the id stands in the call's note; some give nothing back at all.
    named = {"buildr_call_id": "110", "note": "buildr_call_id=110"}
    given = next(({name: text} for name, text in named.items() if name in scenario.values), {})
    assert bool(given) == (SOURCES[source].carries_id is not None)
    # Where the vendor has no field that we could fill, the id stands in the call's note.
    given = {"buildr_call_id": "110"} if "buildr_call_id" in scenario.values else {"note": "buildr_call_id=110"}
    is_carried = SOURCES[source].carries_id is not None
    given = given if is_carried else {}
    for incoming in scenario.incoming(given, base_url=BASE_URL, start_at=START_AT, rng=random.Random(1)):
        signed = SOURCES[source].sign(incoming, Secrets((SECRETS[source],)), START_AT)
        SOURCES[source].verify(signed, Secrets((SECRETS[source],)), START_AT)
        told += SOURCES[source].parse(signed, SOURCES[source].keys(signed).message_key)
    call = fold(told)
    assert call.is_final
    assert TOLD[source, name] == (call.result, call.direction, call.duration_s)
    assert call.buildr_call_id == ("110" if given else None)
    assert call.buildr_call_id == ("110" if is_carried else None)
    assert call.unknown_words == ()


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
    marks = {key: f"mark-{key.replace('_', '-')}" for key in scenario.values}
    text = repr(scenario.requests(marks, START_AT, random.Random(1)))
    assert "$" not in text
    assert [mark for mark in marks.values() if mark not in text] == []


def test_all_requests_of_a_call_differ() -> None:
    """No two requests of a scenario are taken for a repetition of one another."""
    for source, name in TOLD:
        keys = [
            SOURCES[source].keys(incoming).message_key
            for incoming in load(source, name).incoming({}, base_url=BASE_URL, start_at=START_AT, rng=random.Random(1))
        ]
        assert len(keys) == len(set(keys)), name


def test_times_are_written_as_the_source_does() -> None:
    """Twilio's times are RFC 2822, those of `standard` RFC 3339; both count from the start of the call."""
    twilio = load("twilio", "answered").requests({}, START_AT, random.Random(1))[-1]["body_form"]
    assert isinstance(twilio, dict)
    assert twilio["Timestamp"] == "Mon, 02 Nov 2026 10:00:46 +0000"
    standard = load("standard", "answered").requests({}, START_AT, random.Random(1))[-1]["body_json"]
    assert isinstance(standard, dict)
    assert standard["occurred_at"] == "2026-11-02T10:00:46Z"


def test_empty_value_is_left_out() -> None:
    """Without a Buildr call id the request carries no such field; an empty field of the vendor's stays."""
    request = load("twilio", "answered").requests({}, START_AT, random.Random(1))[0]
    assert request["query"] == {}
    assert isinstance(request["body_form"], dict)
    assert request["body_form"]["CallerCity"] == ""


def test_value_is_taken_literally() -> None:
    """A value that looks like a blank is not filled again."""
    scenario = Scenario(source="x", name="y", title="t", about="a", values={"to": ""}, templates=({"body": "$to and $to"},))
    assert [{"body": "$hex$rfc+1 and $hex$rfc+1"}] == scenario.requests({"to": "$hex$rfc+1"}, START_AT, random.Random(1))


def test_unknown_value_names_the_known_ones() -> None:
    """A typing error in `--set` is told with what was probably meant."""
    with pytest.raises(
        ScenarioError, match=r"no value 'buildr_id'; did you mean buildr_call_id\? There are: call_id, from, to, buildr_call_id"
    ):
        load("twilio", "busy").requests({"buildr_id": "110"}, START_AT, random.Random(1))


@pytest.mark.parametrize(
    ("name", "told"), [("no_answer", "did you mean no-answer"), ("../twilio/busy", "There are: answered,"), ("", "There are:")]
)
def test_unknown_scenario_names_the_known_ones(name: str, told: str) -> None:
    """A scenario that does not exist is told with those that do; a path is no name."""
    with pytest.raises(ScenarioError, match=told):
        load("twilio", name)


def test_source_without_scenarios_has_none() -> None:
    """A source that has no folder has no scenarios, which is no error until one is asked for."""
    assert names("nobody") == ()
    with pytest.raises(ScenarioError, match="there is none"):
        load("nobody", "answered")


@pytest.mark.parametrize("blank", ["$nobody", "$to+5"])
def test_blank_without_a_value_is_told(blank: str) -> None:
    """A scenario file with a blank that nothing fills is refused."""
    scenario = Scenario(source="x", name="y", title="t", about="a", values={"to": "1"}, templates=({"body": f"- {blank}"},))
    with pytest.raises(ScenarioError, match="not among its values"):
        scenario.requests({}, START_AT, random.Random(1))
