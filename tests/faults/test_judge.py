"""
The judge sees what is lost, wrong or not taken: each figure is turned red by one message.
"""

from dataclasses import replace
from pathlib import Path

from tests.faults.calls import (
    BUSY,
    CONNECTED,
    MISSED,
    MIXED,
    STANDARD_TAGGED,
    STANDARD_VOICEMAIL,
    TWILIO_CONNECTED,
    VOICEMAIL_RECEIVED,
    CallKind,
    make_calls,
)
from tests.faults.catalogue import SCENARIOS
from tests.faults.http_client import Ending
from tests.faults.judge import Evidence, Holding, Row, Verdicts, judge
from tests.faults.report import figures
from tests.faults.scenario import Scenario
from tests.faults.senders import DIALPAD, TWILIO, TWILIO_ONCE
from tests.faults.stage import Stage
from tests.faults.traffic import Attempt, SentMessage

ROOT = Path(__file__).parents[2]


def sent(kind: CallKind, *acknowledged: bool) -> list[SentMessage]:
    """The messages of one call, each acknowledged or not."""
    (call,) = make_calls(1, (kind,))
    endings = [Ending.ACKNOWLEDGED if value else Ending.TOO_LATE for value in acknowledged]
    return [
        SentMessage(call, position, [Attempt(1000, 1000.5, ending, 204)])
        for position, ending in enumerate(endings)
    ]


def patch(call_id: str, outcome_id: str, *, status: int = 200) -> dict[str, object]:
    """A request as the sandbox has it in its list."""
    return {
        "method": "PATCH",
        "path": f"/api/2023-01/calls/{call_id}",
        "status": status,
        "fault": None,
        "body": {"call": {"call_outcome_id": outcome_id}},
        "at_s": 2000,
    }


def judged(
    tmp_path: Path,
    messages: list[SentMessage],
    holding: Holding | None,
    *requests: dict[str, object],
) -> Row:
    """The row of a trial with one call and nothing broken."""
    call = messages[0].call
    holdings = {}
    if holding is not None:
        holdings[call.buildr_call_id] = holding
    stage = Stage(Scenario(name="one", title="one call", is_faultless=True), tmp_path)
    state = {"rate_limited": 0, "most_in_a_window": []}
    return judge(stage, Evidence([call], messages, holdings, requests, state))


def test_call_that_holds_its_outcome_is_green(tmp_path: Path) -> None:
    """One message, acknowledged, delivered once."""
    messages = sent(TWILIO_CONNECTED, True)
    write = patch(messages[0].call.buildr_call_id, CONNECTED)
    row = judged(tmp_path, messages, Holding(CONNECTED, ""), write)
    assert [] == row.faults
    assert (1, 1, 0) == (row.sent, row.acknowledged, row.not_taken)


def test_acknowledged_message_that_does_not_show_is_lost(tmp_path: Path) -> None:
    """Also where Buildr does not know the call at all."""
    messages = sent(TWILIO_CONNECTED, True)
    for place, holding in enumerate((None, Holding(None, ""))):
        folder = tmp_path / str(place)
        folder.mkdir()
        assert ["1 acknowledged and lost"] == judged(folder, messages, holding).faults


def test_other_outcome_is_wrong(tmp_path: Path) -> None:
    """An outcome that the call's messages do not make."""
    row = judged(tmp_path, sent(TWILIO_CONNECTED, True), Holding(BUSY, ""))
    assert ["1 calls with a wrong outcome"] == row.faults


def test_message_that_was_never_acknowledged_is_not_taken(tmp_path: Path) -> None:
    """Nothing is lost by it, and the row is red all the same."""
    row = judged(tmp_path, sent(TWILIO_CONNECTED, False), None)
    assert ["1 messages not taken"] == row.faults


def test_repeated_write_is_red_where_nothing_was_broken(tmp_path: Path) -> None:
    """A write that repeats the one before it; one that was refused is none."""
    messages = sent(TWILIO_CONNECTED, True)
    call_id = messages[0].call.buildr_call_id
    write = patch(call_id, CONNECTED)
    refused = patch(call_id, CONNECTED, status=500)
    row = judged(tmp_path, messages, Holding(CONNECTED, ""), write, refused, write)
    assert ["1 writes repeated without a fault"] == row.faults


def test_message_that_may_or_may_not_have_arrived_allows_both_outcomes() -> None:
    """A voicemail whose answer was lost; one that was acknowledged must show."""
    unsure = Verdicts(sent(STANDARD_VOICEMAIL, True, False))
    certain = Verdicts(sent(STANDARD_VOICEMAIL, True, True))
    (call,) = make_calls(1, (STANDARD_VOICEMAIL,))
    for outcome_id, is_allowed in ((MISSED, False), (VOICEMAIL_RECEIVED, True)):
        holding = Holding(outcome_id, "")
        assert not unsure.is_wrong(call, holding)
        assert is_allowed is not certain.is_wrong(call, holding)


def test_each_of_ten_messages_is_looked_for_by_its_tag() -> None:
    """Two tags that are missing are two lost messages, whatever the outcome is."""
    verdicts = Verdicts(sent(STANDARD_TAGGED, *[True] * 10))
    (call,) = make_calls(1, (STANDARD_TAGGED,))
    tags = " ".join(f"t{position}" for position in range(10) if position not in (3, 7))
    assert 2 == verdicts.lost(call, Holding(CONNECTED, tags))
    assert 10 == verdicts.lost(call, None)


def test_senders_retry_as_their_vendors_do() -> None:
    """Dialpad not after a 4xx, Twilio once after a failed connection, the strictest never."""
    assert (2, 4, 8) == tuple(DIALPAD.delay_s(Ending.REFUSED_5XX, number) for number in range(3))
    assert DIALPAD.delay_s(Ending.REFUSED_5XX, 3) is None
    assert DIALPAD.delay_s(Ending.REFUSED_4XX, 0) is None
    assert TWILIO.delay_s(Ending.NOT_CONNECTED, 0) is not None
    assert TWILIO.delay_s(Ending.REFUSED_5XX, 0) is None
    assert [] == [ending for ending in Ending if TWILIO_ONCE.delay_s(ending, 0) is not None]


def test_half_of_the_senders_of_each_kind_never_retry() -> None:
    """They are the ones for whom an answer of 503 is a loss."""
    for kind in MIXED:
        strict = [model for model in kind.models if not model.retries]
        assert len(kind.models) == 2 * len(strict)


def test_catalogue_holds_forty_faults_and_enough_messages() -> None:
    """At least 40 scenarios, and more than 100,000 messages in all."""
    messages = 0
    for scenario in SCENARIOS.values():
        kinds = scenario.traffic.kinds
        per_round = sum(len(kind.payloads(0)) for kind in kinds)
        messages += scenario.traffic.calls * per_round // len(kinds)
    assert 40 <= len(SCENARIOS)
    assert 100_000 < messages


def test_red_and_skipped_rows_show_in_the_report() -> None:
    """Neither is hidden, and the sums leave out what was skipped."""
    scenarios = (Scenario(name="a", title="first"), Scenario(name="b", title="second"))
    rows = [
        replace(Row("a", "first"), sent=4, acknowledged=3, lost=1, faults=["1 acknowledged"]),
        Row("b", "second", skipped="no clock"),
    ]
    text = figures({"Group": scenarios}, rows, commit="abc")
    assert "1 scenarios, 1 skipped, 1 red" in text
    assert "**RED**: 1 acknowledged" in text
    assert "**SKIPPED**: no clock" in text
