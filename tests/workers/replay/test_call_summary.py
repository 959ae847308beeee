"""
A call in one sentence, with the command to type next.
"""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.store.calls import StoredCall
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import Answer, DeliveryState
from service.store.failed import Failed
from service.store.rate_limit.backlog import Outage
from workers.replay.call_summary import moment_text, span_text, summarize
from workers.replay.explain import DeliveryExplanation

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=58)
RECORD = DeliveryRecord(
    ref="twilio:CA1",
    reason="why",
    result="busy",
    outcome="Busy",
    buildr_call_id="110",
    due_at=SOON,
    retry_at=SOON,
    written_at=NOW - timedelta(hours=3),
    last_received_at=NOW - timedelta(hours=3),
    answers=(Answer(at=NOW, cause="buildr_rejected", status_code=422, text="phone is invalid"),),
)


def delivery(record: DeliveryRecord, *, version: int = 1, unread: int = 0) -> DeliveryExplanation:
    """How far a call is, with so many messages that no worker has read."""
    return DeliveryExplanation(
        stored=StoredCall(version=version, record=record, events={}),
        pending_messages=tuple(f"m{number}" for number in range(unread)),
        link=None,
        failed=None,
        failed_messages=(),
    )


@pytest.mark.parametrize(
    ("state", "sentence", "command"),
    [
        (
            "open",
            "the message of its end is missing: without it the call counts as stalled in 58 s.",
            "tail --call twilio:CA1",
        ),
        ("settling", "ended as busy; Busy goes to Buildr in 58 s.", ""),
        ("unmatched", "no Buildr call is known for it. why", "links set twilio CA1 BUILDR_CALL_ID"),
        ("waiting", "Not in Buildr yet: Busy waits: why.", "status"),
        ("retrying", "yet: Busy was not taken: why. It is sent again in 58 s.", "status"),
        ("delivered", "call 110 holds Busy since 2026-11-02 07:00:00 UTC (3 h ago).", ""),
        ("left_alone", "Nothing is written to Buildr: why.", ""),
        (
            "failed",
            "Not in Buildr: Busy was given up on. why. Its words: phone is invalid",
            "failed replay twilio:CA1 --dry-run",
        ),
        ("stalled", "end was never reported: why.", "backfill twilio --dry-run"),
        ("hand_edited", "was edited by hand", "replay twilio:CA1 --force --dry-run"),
    ],
)
def test_each_state_has_its_sentence(state: str, sentence: str, command: str) -> None:
    """What is, and what can be done about it."""
    record = replace(RECORD, state=DeliveryState(state))
    summary = summarize(delivery(record), now=NOW, worker_count=1)
    assert sentence in summary.sentence
    assert command == summary.next_command


def test_call_that_buildr_does_not_know_gets_another_id() -> None:
    """A 404 says which call it is, and the next command corrects the link."""
    answer = Answer(at=NOW, cause="buildr_rejected", status_code=404, text="{}")
    record = replace(RECORD, state=DeliveryState.FAILED, answers=(answer, answer))
    summary = summarize(delivery(record), now=NOW, worker_count=1)
    assert summary.sentence.startswith("Not in Buildr: it knows no call 110 (404).")
    assert "after 2 answers" in summary.sentence
    assert "links set twilio CA1 BUILDR_CALL_ID --replace" == summary.next_command
    asked_again = replace(record, state=DeliveryState.RETRYING)
    summary = summarize(delivery(asked_again), now=NOW, worker_count=1)
    assert "(404). It is sent again in 58 s. If the id is wrong, correct it." in summary.sentence
    assert "links set twilio CA1 BUILDR_CALL_ID --replace" == summary.next_command
    waiting = replace(
        RECORD, state=DeliveryState.WAITING, reason="waits until Buildr is back; see: x"
    )
    sentence = summarize(delivery(waiting), now=NOW, worker_count=1).sentence
    assert "Not in Buildr yet: Busy waits until Buildr is back." == sentence


def test_while_buildr_is_away_a_waiting_call_needs_nothing() -> None:
    """Since when it is away, and when it is asked again; other calls do not mind."""
    outage = Outage(
        since=NOW - timedelta(seconds=30),
        cause="buildr_unavailable",
        next_try_at=NOW + timedelta(seconds=4),
    )

    def sentence(state: DeliveryState) -> str:
        record = replace(RECORD, state=state)
        return summarize(delivery(record), now=NOW, worker_count=1, outage=outage).sentence

    for state in (DeliveryState.WAITING, DeliveryState.RETRYING):
        assert "(30 s ago), and is asked again in 4 s. Busy is sent" in sentence(state)
    assert "away" not in sentence(DeliveryState.DELIVERED)


def test_every_state_is_summarized_without_times() -> None:
    """Where nothing else is known."""
    for state in DeliveryState:
        record = DeliveryRecord(ref="twilio:CA1", state=state)
        assert summarize(delivery(record), now=NOW, worker_count=0).sentence.endswith(".")


def test_messages_that_no_worker_has_read_are_counted() -> None:
    """Whether nothing is known of the call, or more than that; without a worker, start one."""
    new = summarize(delivery(RECORD, version=0, unread=3), now=NOW, worker_count=0)
    assert ("3 messages wait for a worker; none is running. Start it, or its service.", "work") == (
        new.sentence,
        new.next_command,
    )
    delivered = replace(RECORD, state=DeliveryState.DELIVERED)
    more = summarize(delivery(delivered, unread=1), now=NOW, worker_count=2)
    assert more.sentence.endswith("1 message waits for a worker; 2 running.")
    assert "" == more.next_command


def test_times_say_how_far_away_they_are() -> None:
    """Beside UTC, in the largest unit that fits."""
    assert "2026-11-02 10:00:58 UTC (in 58 s)" == moment_text(SOON, NOW)
    spans = {119: "119 s", 180: "3 min", 7200: "2 h", 200_000: "2 d", -1: "0 s"}
    assert list(spans.values()) == [span_text(seconds) for seconds in spans]


def test_a_failure_names_its_place_in_the_runbook() -> None:
    """By its cause, which a heading of the page has."""
    failed = Failed(
        entry_id="twilio:CA1",
        kind="call",
        source="twilio",
        source_call_id="CA1",
        cause="unknown_outcome",
        detail="why",
        failed_at=NOW,
    )
    record = replace(RECORD, state=DeliveryState.FAILED)
    explanation = replace(delivery(record, unread=1), failed=failed)
    summary = summarize(explanation, now=NOW, worker_count=1)
    assert "docs/runbook.md#unknown_outcome" == summary.runbook
    assert "1 message waits" in summary.sentence
