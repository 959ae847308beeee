"""
The states of a call's delivery: what each transition changes about its record.
"""

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from service.store.delivery_record import HISTORY_LENGTH, MAX_ANSWERS, DeliveryRecord
from service.store.delivery_state import Answer, DeliveryState, ReplayRequest
from service.store.rate_limit.lanes import Lane

AT = datetime(2026, 11, 2, 10, 1, tzinfo=UTC)
LATER = AT + timedelta(seconds=8)
REQUEST = ReplayRequest(lane=Lane.REPLAY, at=AT)
ANSWER = Answer(at=AT, cause="buildr_unavailable", status_code=503, text="down")
# A call in the middle of everything: it is being replayed, has failed twice and is to be retried.
BUSY = DeliveryRecord(
    ref="twilio:CA1",
    state=DeliveryState.RETRYING,
    buildr_call_id="110",
    outcome="Connected",
    unsettled_since=AT,
    attempts=2,
    unauthorized=1,
    first_failed_at=AT,
    retry_at=LATER,
    answers=(ANSWER,),
    replay_request=REQUEST,
)
ROOT = Path(__file__).parents[3]


def entries(record: DeliveryRecord) -> list[tuple[str, str]]:
    """The history without its times."""
    return [(entry.summary, entry.detail) for entry in record.history]


@pytest.mark.parametrize(
    ("transition", "state"),
    [
        (BUSY.to_open, DeliveryState.OPEN),
        (BUSY.to_stalled, DeliveryState.STALLED),
        (BUSY.to_unmatched, DeliveryState.UNMATCHED),
        (BUSY.to_left_alone, DeliveryState.LEFT_ALONE),
        (BUSY.to_failed, DeliveryState.FAILED),
    ],
)
def test_state_at_rest_ends_the_replay_and_keeps_the_failures(
    transition: Callable[[str], DeliveryRecord], state: DeliveryState
) -> None:
    """State and reason are set and the replay request is done; the counters stay as they are."""
    expected = replace(BUSY, state=state, reason="why", replay_request=None)
    assert expected == transition("why")


def test_settling_keeps_everything_else() -> None:
    """A call that settles keeps its replay request and its failures."""
    reason = "waits a moment for what else comes"
    assert replace(BUSY, state=DeliveryState.SETTLING, reason=reason) == BUSY.to_settling()


def test_waiting_keeps_everything_else() -> None:
    """A call in a lane keeps its replay request and its failures."""
    assert replace(BUSY, state=DeliveryState.WAITING, reason="why") == BUSY.to_waiting("why")


def test_waiting_for_outcomes_counts_no_attempt() -> None:
    """A call whose outcome has no id yet is retrying, with nothing counted."""
    expected = replace(BUSY, state=DeliveryState.RETRYING, reason="why")
    assert expected == BUSY.to_waiting_for_outcomes("why")


def test_rate_limited_call_waits_and_counts_no_attempt() -> None:
    """A 429 sends the call back to its lane; the history has how long everybody waits."""
    record = BUSY.to_rate_limited(AT, wait_s=3.25)
    assert (DeliveryState.WAITING, 2, LATER) == (record.state, record.attempts, record.retry_at)
    assert "Buildr asked everybody to wait (429)" == record.reason
    assert [("rate limited", "wait 3.2 s")] == entries(record)


def test_outage_ends_the_wait_for_a_retry() -> None:
    """A call that waits for Buildr to be back is sent at once then, whatever its backoff was."""
    record = BUSY.to_waiting_for_buildr(AT, error="no answer")
    assert (DeliveryState.WAITING, 2, None) == (record.state, record.attempts, record.retry_at)
    assert "waits until Buildr is back: no answer" == record.reason
    assert [("waits for Buildr", "no answer")] == entries(record)


def test_retry_has_its_time_in_record_and_history() -> None:
    """A retry is due at its time, and the history tells the attempt and the seconds until then."""
    record = BUSY.to_retrying(AT, error="503", retry_at=AT + timedelta(seconds=4))
    assert (DeliveryState.RETRYING, "503") == (record.state, record.reason)
    assert AT + timedelta(seconds=4) == record.retry_at
    assert [("will retry", "503 (attempt 2, again in 4 s)")] == entries(record)


def test_delivered_call_has_nothing_outstanding() -> None:
    """Delivery ends the replay request and the failures; the last answers stay to be read."""
    assert (
        replace(
            BUSY,
            state=DeliveryState.DELIVERED,
            reason="Buildr holds Connected",
            attempts=0,
            unauthorized=0,
            first_failed_at=None,
            retry_at=None,
            unsettled_since=None,
            replay_request=None,
        )
        == BUSY.to_delivered()
    )


def test_patched_call_is_delivered_with_an_entry() -> None:
    """A confirmed write is a delivery that the history names."""
    record = BUSY.to_patched(AT, "call 110: Connected")
    assert replace(record, history=()) == BUSY.to_delivered()
    assert [("patched", "call 110: Connected")] == entries(record)


def test_call_that_is_given_up_on_keeps_its_failures() -> None:
    """The attempts and answers of a failed call are there for the operator."""
    record = BUSY.to_given_up(AT, "refused")
    assert replace(record, history=()) == BUSY.to_failed("refused")
    assert [("failed", "refused")] == entries(record)


def test_hand_edited_call_has_nothing_outstanding() -> None:
    """The call is left as it is in Buildr, and the history has the command that writes it."""
    record = BUSY.to_hand_edited(AT, "edited")
    assert (DeliveryState.HAND_EDITED, "edited") == (record.state, record.reason)
    assert (None, None, None) == (record.replay_request, record.retry_at, record.unsettled_since)
    assert "buildr-calls replay twilio:CA1 --force" in entries(record)[0][1]


def test_reopened_call_starts_afresh() -> None:
    """A replay request ends a parked state, and no earlier failure counts."""
    parked = replace(BUSY, state=DeliveryState.FAILED, replay_request=None)
    assert parked.is_parked
    record = parked.reopened(REQUEST)
    assert (DeliveryState.OPEN, REQUEST) == (record.state, record.replay_request)
    assert (0, 0, None, None, ()) == (
        record.attempts,
        record.unauthorized,
        record.first_failed_at,
        record.retry_at,
        record.answers,
    )


def test_failures_count_for_one_buildr_call_only() -> None:
    """A call that is matched to another Buildr call starts afresh, to the same one it does not."""
    assert BUSY == BUSY.matched("110")
    record = BUSY.matched("111")
    assert ("111", 0, None, ()) == (
        record.buildr_call_id,
        record.attempts,
        record.retry_at,
        record.answers,
    )


def test_written_fields_are_those_of_one_buildr_call() -> None:
    """What was written to one Buildr call is not in another."""
    written = replace(BUSY, written={"a": "1"}, written_to="110", note_block="note")
    assert written == written.with_written_fields_of("110")
    other = written.with_written_fields_of("111")
    assert ({}, None) == (other.written, other.note_block)


def test_outcome_is_in_doubt_until_one_is_confirmed() -> None:
    """Every outcome that was sent is in doubt, once each, until a write of one is confirmed."""
    sent = BUSY.with_unconfirmed("110", "786").with_unconfirmed("110", "789")
    sent = sent.with_unconfirmed("110", "786").with_unconfirmed("111", "5")
    assert {"110": ("786", "789"), "111": ("5",)} == sent.in_doubt
    noted = sent.with_written("110", {"project_id": "3"}, at=AT, has_outcome=False)
    assert sent.in_doubt == noted.in_doubt
    written = sent.with_written("110", {"call_outcome_id": "789"}, at=AT, has_outcome=True)
    assert {"111": ("5",)} == written.in_doubt
    assert ({"call_outcome_id": "789"}, "110", AT) == (
        written.written,
        written.written_to,
        written.written_at,
    )


def test_refused_token_is_counted_apart() -> None:
    """A failure counts from the first one's time; a refused token is no attempt."""
    fresh = DeliveryRecord(ref="twilio:CA1")
    failed = fresh.with_failure(AT, is_unauthorized=False)
    failed = failed.with_failure(LATER, is_unauthorized=True)
    assert (1, 1, AT) == (failed.attempts, failed.unauthorized, failed.first_failed_at)


def test_messages_in_any_order_have_their_times() -> None:
    """The first and the last time are kept, the newest message is the one received last here."""
    record = DeliveryRecord(ref="twilio:CA1").received(LATER, "m2", "ended")
    record = record.received(AT, "m1", "ringing")
    assert (AT, LATER, "m1") == (
        record.first_received_at,
        record.last_received_at,
        record.message_id,
    )
    assert [("received", "ended (m2)"), ("received", "ringing (m1)")] == entries(record)


def test_history_and_answers_are_limited() -> None:
    """The oldest entries and answers are dropped, and an entry is not repeated."""
    record = BUSY.with_history(AT, "a").with_history(LATER, "a")
    assert [("a", "")] == entries(record)
    for number in range(HISTORY_LENGTH + 1):
        record = record.with_history(AT, str(number)).with_answer(ANSWER)
    assert (HISTORY_LENGTH, "1") == (len(record.history), record.history[0].summary)
    assert MAX_ANSWERS == len(record.answers)


def test_news_of_a_plan_come_in_order() -> None:
    """Result, Buildr call and state are added to the history if a plan has changed them."""
    before = DeliveryRecord(ref="twilio:CA1")
    planned = replace(before.matched("110"), result="connected").to_settling()
    record = planned.with_news_since(before, AT, match_reason="linked")
    assert [
        ("result", "connected"),
        ("matched", "linked"),
        ("settling", "waits a moment for what else comes"),
    ] == entries(record)
    assert [] == entries(planned.with_news_since(planned, AT, match_reason="linked"))
    waiting = before.to_waiting("turn")
    assert [] == entries(waiting.with_news_since(before, AT, match_reason=""))


def test_states_are_set_by_the_record_alone() -> None:
    """No other module gives a record a state, by `replace` or by making one."""
    places = []
    for folder in ("service", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name != "delivery_record.py":
                tree = ast.parse(path.read_text(encoding="utf-8"))
                places += [f"{path.name}:{line}" for line in _state_settings(tree)]
    assert [] == places


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("replace(record, state=DeliveryState.OPEN)", [1]),
        ("replace(record, state=state)", [1]),
        ("DeliveryRecord(ref='a', state=DeliveryState.OPEN)", [1]),
        ("CallFilter(state=state)", []),
        ("record.to_open('why')", []),
    ],
)
def test_setting_of_a_state_is_found(text: str, lines: list[int]) -> None:
    """The check itself sees a state that is set, and leaves filters alone."""
    assert lines == _state_settings(ast.parse(text))


def _state_settings(tree: ast.AST) -> list[int]:
    """Lines of calls of `replace` or `DeliveryRecord` with a state."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("replace", "DeliveryRecord")
        and any(keyword.arg == "state" for keyword in node.keywords)
    ]
