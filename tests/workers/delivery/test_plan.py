"""
What is to be done about a call: a pure decision.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Result,
)
from service.settings import SettleTimes
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcomes import Notes, OutcomeConfig
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.links import Link
from service.store.rate_limit.lanes import Lane
from workers.calls.fold import Call, fold
from workers.delivery.dry_run import WOULD_FAIL, WOULD_WRITE
from workers.delivery.plan import make_plan
from workers.delivery.plan_types import Plan, PlanInputs, Timing
from workers.outcomes.decide import outcome_key

NOW = datetime(2026, 11, 2, 10, 1, tzinfo=UTC)
TIMING = Timing(settle=SettleTimes(), ringing_timeout_s=300, in_progress_timeout_s=3600)
REPLAY_REQUEST = ReplayRequest(lane=Lane.REPLAY, at=NOW)
NAMES = {
    outcome_key(name): number
    for name, number in (("Connected", "786"), ("No Answer", "789"), ("Busy", "790"))
}


def call(
    cause: HangupCause | None = HangupCause.COMPLETED, *, buildr_call_id: str | None = "110"
) -> Call:
    """An outbound call that has ended so, or that rings."""
    event_type = EventType.ENDED
    if cause is None:
        event_type = EventType.RINGING
    event = CallEvent(
        source="twilio",
        message_id="m1",
        source_call_id="CA1",
        leg_id="CA1",
        event_type=event_type,
        hangup_cause=cause,
        occurred_at=datetime(2026, 11, 2, 10, 0, tzinfo=UTC),
        direction=Direction.OUTBOUND,
        from_number="+15005550006",
        to_number="+15005550001",
        buildr_call_id=buildr_call_id,
    )
    return fold([event])


# A record whose last message came at NOW.
record = partial(DeliveryRecord, ref="twilio:CA1", last_received_at=NOW)


def plan_for(
    folded: Call,
    *,
    before: DeliveryRecord | None = None,
    link: Link | None = None,
    names: Mapping[str, str] | None = NAMES,
    config: OutcomeConfig | None = None,
    after_s: float = 60,
    replay_request: ReplayRequest | None = None,
    protects_hand_edits: bool = False,
) -> Plan:
    """The plan for a call some seconds after its last message."""
    inputs = PlanInputs(
        record=before or record(),
        call=folded,
        link=link,
        config=config or OutcomeConfig(),
        outcome_ids=names,
        timing=TIMING,
        replay_request=replay_request,
        protects_hand_edits=protects_hand_edits,
    )
    return make_plan(inputs, NOW + timedelta(seconds=after_s))


def test_call_that_has_not_ended_waits_until_it_would_stall() -> None:
    """A ringing call is open, and looked at again when its time to ring is over."""
    plan = plan_for(call(None))
    assert (DeliveryState.OPEN, NOW + timedelta(seconds=300), None) == (
        plan.record.state,
        plan.due_at,
        plan.sending,
    )


def test_call_whose_end_never_comes_is_reported_and_not_guessed() -> None:
    """After the timeout the call is stalled, with no result and nothing to send."""
    plan = plan_for(call(None), after_s=301)
    assert (DeliveryState.STALLED, None, None) == (
        plan.record.state,
        plan.record.result,
        plan.sending,
    )


def test_call_that_nobody_linked_waits_for_its_link() -> None:
    """Without an id the call is unmatched, and has no alarm: the link will wake it."""
    plan = plan_for(call(buildr_call_id=None))
    assert (DeliveryState.UNMATCHED, None) == (plan.record.state, plan.due_at)


TEST_LINK = Link(buildr_call_id="0", replaces=True, is_test=True)


def test_test_call_is_planned_and_never_written() -> None:
    """
    Whatever its messages name: it settles like any other, then its reason holds the PATCH; neither
    a write nor a match nor a failure comes of it.
    """
    assert DeliveryState.SETTLING == plan_for(call(), link=TEST_LINK, after_s=1).record.state
    plan = plan_for(call(), link=TEST_LINK)
    assert (DeliveryState.LEFT_ALONE, None, None, None, True) == (
        plan.record.state,
        plan.sending,
        plan.match,
        plan.due_at,
        plan.is_dry_run,
    )
    assert plan.record.reason.startswith(WOULD_WRITE + '{"call": {"call_outcome_id": "786"')
    assert plan.record.buildr_call_id is None
    unknown = OutcomeConfig(outcomes={Result.CONNECTED: OutcomeRef(name="Spoken")})
    failing = plan_for(call(), link=TEST_LINK, config=unknown)
    assert (None, None) == (failing.failed_cause, failing.sending)
    assert failing.record.reason.startswith(WOULD_FAIL)


def test_final_call_settles_first() -> None:
    """For two seconds after its last message nothing is sent."""
    plan = plan_for(call(), after_s=1)
    assert (DeliveryState.SETTLING, NOW + timedelta(seconds=2), None) == (
        plan.record.state,
        plan.due_at,
        plan.sending,
    )


def test_messages_that_keep_coming_do_not_hold_a_call_for_ever() -> None:
    """A call settles for at most five times the settle time."""
    before = record(unsettled_since=NOW - timedelta(seconds=9.5))
    assert NOW + timedelta(seconds=0.5) == plan_for(call(), before=before, after_s=0).due_at


def test_call_that_waits_for_budget_keeps_its_place_when_more_comes() -> None:
    """An event for a call that already waits does not make it settle again."""
    assert (
        plan_for(call(), before=record(state=DeliveryState.WAITING), after_s=0).sending is not None
    )


def test_settled_call_is_sent_with_everything_that_differs() -> None:
    """The first write holds the outcome, the time, and what the link files it under."""
    link = Link(buildr_call_id="110", project_id="372")
    sending = plan_for(call(), link=link).sending
    assert sending is not None
    assert {
        "call_outcome_id": "786",
        "recorded_at": "2026-11-02T10:00:00Z",
        "project_id": "372",
    } == dict(sending.fields)


def test_nothing_is_sent_that_buildr_holds_already() -> None:
    """A call whose fields are all written is delivered."""
    before = record(
        written={"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"}, written_to="110"
    )
    plan = plan_for(call(), before=before)
    assert (DeliveryState.DELIVERED, None) == (plan.record.state, plan.sending)


def test_another_time_alone_is_not_worth_a_write() -> None:
    """A late first event that moves the start by seconds costs no second PATCH."""
    before = record(
        written={"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:49Z"}, written_to="110"
    )
    assert plan_for(call(), before=before).sending is None


def test_better_result_sends_only_what_differs() -> None:
    """When the outcome changes, the time that is written already is not sent again."""
    before = record(
        written={"call_outcome_id": "789", "recorded_at": "2026-11-02T10:00:00Z"}, written_to="110"
    )
    sending = plan_for(call(), before=before).sending
    assert sending is not None
    assert {"call_outcome_id": "786"} == dict(sending.fields)


def test_other_buildr_call_gets_everything() -> None:
    """What was written to one Buildr call does not count for another."""
    before = record(
        written={"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"}, written_to="99"
    )
    sending = plan_for(call(), before=before).sending
    assert sending is not None
    assert {"call_outcome_id", "recorded_at"} == set(sending.fields)


def test_backoff_is_kept_when_new_messages_come() -> None:
    """A call that waits after an error is not sent earlier because an event arrived."""
    before = record(
        retry_at=NOW + timedelta(seconds=500), state=DeliveryState.RETRYING, buildr_call_id="110"
    )
    plan = plan_for(call(), before=before)
    assert (NOW + timedelta(seconds=500), None) == (plan.due_at, plan.sending)


def test_failed_call_stays_parked() -> None:
    """A call that was given up on is not tried again by itself."""
    before = record(state=DeliveryState.FAILED, buildr_call_id="110")
    assert (DeliveryState.FAILED, None) == (
        (plan := plan_for(call(), before=before)).record.state,
        plan.sending,
    )


@pytest.mark.parametrize(
    ("buildr_call_id", "replay_request"), [("110", REPLAY_REQUEST), ("99", None)]
)
def test_failed_call_goes_on_when_replayed_or_linked_elsewhere(
    buildr_call_id: str, replay_request: ReplayRequest | None
) -> None:
    """
    A replay, or a link to another Buildr call, takes the call up again with a fresh count of
    attempts.
    """
    before = record(state=DeliveryState.FAILED, buildr_call_id=buildr_call_id, attempts=7)
    plan = plan_for(call(), before=before, replay_request=replay_request)
    assert plan.sending is not None
    assert 0 == plan.record.attempts


def test_result_mapped_to_nothing_is_left_alone() -> None:
    """A result that the default leaves out is left alone with its reason."""
    plan = plan_for(call(HangupCause.CANCELLED))
    assert (DeliveryState.LEFT_ALONE, None) == (plan.record.state, plan.sending)
    assert "cancelled" in plan.record.reason


def test_names_that_were_never_read_are_waited_for() -> None:
    """While Buildr's names are unknown the call waits instead of failing."""
    plan = plan_for(call(), names=None)
    assert (DeliveryState.RETRYING, None) == (plan.record.state, plan.sending)
    assert plan.awaits_names


def test_name_that_the_account_lacks_fails_if_the_operator_wrote_it() -> None:
    """
    A configured name that does not exist files the call as failed and names those that do exist; a
    default one leaves the call alone.
    """
    config = OutcomeConfig(outcomes={Result.CONNECTED: OutcomeRef(name="Talked")})
    written = plan_for(call(), config=config)
    assert (DeliveryState.FAILED, "unknown_outcome") == (written.record.state, written.failed_cause)
    assert "no answer" in written.record.reason.casefold()
    assert DeliveryState.LEFT_ALONE is plan_for(call(), names={"x": "1"}).record.state


def test_ids_need_no_names() -> None:
    """An outcome given by its id is sent although no name was ever read."""
    config = OutcomeConfig(outcomes={Result.CONNECTED: OutcomeRef(id="5")})
    sending = plan_for(call(), names=None, config=config).sending
    assert sending is not None
    assert "5" == sending.fields["call_outcome_id"]


def test_new_note_alone_costs_a_harmless_patch_to_read_the_notes() -> None:
    """
    When only the note is new, a field that is written already is sent again, so that Buildr's
    answer shows the notes.
    """
    before = record(
        written={"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"},
        written_to="110",
        note_block="old",
    )
    sending = plan_for(
        call(), before=before, config=OutcomeConfig(notes=Notes(mode="append", template="new"))
    ).sending
    assert sending is not None
    assert ({"recorded_at": "2026-11-02T10:00:00Z"}, "new") == (
        dict(sending.fields),
        sending.note_block,
    )


def test_what_is_known_better_waits_behind_what_is_new() -> None:
    """
    A call that was never written goes in the lane of final results, one that was written in that of
    refinements, and a replayed one in the lane of its request.
    """
    written = record(written={"call_outcome_id": "789"}, written_to="110", buildr_call_id="110")
    lanes = [
        plan_for(call(), before=before, replay_request=replay_request).sending
        for before, replay_request in ((None, None), (written, None), (None, REPLAY_REQUEST))
    ]
    assert [Lane.FINAL, Lane.REFINEMENT, Lane.REPLAY] == [
        sending.lane for sending in lanes if sending is not None
    ]


@pytest.mark.parametrize(
    ("written_id", "replay_request", "is_protected", "allowed"),
    [
        (None, None, True, None),
        ("789", None, False, None),
        ("789", None, True, {"789", "786"}),
        (None, REPLAY_REQUEST, False, {"", "786"}),
        ("789", REPLAY_REQUEST, False, {"789", "786"}),
        ("789", replace(REPLAY_REQUEST, is_forced=True), True, None),
    ],
)
def test_when_buildr_is_read_first(
    written_id: str | None,
    replay_request: ReplayRequest | None,
    is_protected: bool,
    allowed: set[str] | None,
) -> None:
    """
    With PROTECT_HAND_EDITS before an outcome is changed, and always before a replay that is not
    forced; it then costs two requests.
    """
    before = record(buildr_call_id="110")
    if written_id is not None:
        before = replace(before, written={"call_outcome_id": written_id}, written_to="110")
    sending = plan_for(
        call(), before=before, replay_request=replay_request, protects_hand_edits=is_protected
    ).sending
    assert sending is not None
    assert allowed == sending.allowed_outcome_ids
    assert 1 + (allowed is not None) == sending.requests


def test_forced_replay_writes_what_buildr_holds_already() -> None:
    """
    A call whose outcome was written is written again in full when an operator forces it, and not
    when they only ask.
    """
    fields = {"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"}
    before = record(
        written=fields, written_to="110", buildr_call_id="110", state=DeliveryState.DELIVERED
    )
    assert plan_for(call(), before=before, replay_request=REPLAY_REQUEST).sending is None
    forced = plan_for(
        call(), before=before, replay_request=replace(REPLAY_REQUEST, is_forced=True)
    ).sending
    assert forced is not None
    assert fields == forced.fields


def test_hand_edited_call_stays_so() -> None:
    """Later events change nothing about it; a replay request does."""
    before = record(
        state=DeliveryState.HAND_EDITED,
        buildr_call_id="110",
        written_to="110",
        written={"call_outcome_id": "789"},
    )
    assert plan_for(call(), before=before).sending is None
    assert plan_for(call(), before=before, replay_request=REPLAY_REQUEST).sending is not None


def test_settle_time_of_a_source() -> None:
    """A source may have a settle time of its own."""
    timing = Timing(
        settle=SettleTimes(default_s=2, by_source={"twilio": 0}),
        ringing_timeout_s=300,
        in_progress_timeout_s=3600,
    )
    inputs = PlanInputs(
        record=record(),
        call=call(),
        link=None,
        config=OutcomeConfig(),
        outcome_ids=NAMES,
        timing=timing,
    )
    assert make_plan(inputs, NOW).sending is not None
    assert make_plan(replace(inputs, timing=TIMING), NOW).sending is None


@pytest.mark.parametrize("after_s", [60, 301])
def test_call_that_waits_for_an_operator_is_not_reopened_by_a_message(after_s: float) -> None:
    """A late event that leaves the call without a result does not take it off the failed list."""
    failed = record().to_failed("Buildr refused it")
    plan = plan_for(call(None), before=failed, after_s=after_s)
    assert (DeliveryState.FAILED, "Buildr refused it", None) == (
        plan.record.state,
        plan.record.reason,
        plan.sending,
    )


def test_call_among_ourselves_without_a_result_is_not_listed_as_stalled() -> None:
    """Nobody has to look for the end of a call that nothing is written about."""
    inputs = PlanInputs(
        record=record(),
        call=call(None),
        link=None,
        config=OutcomeConfig(),
        outcome_ids=NAMES,
        timing=TIMING,
        internal="both ends are our own",
    )
    plan = make_plan(inputs, NOW + timedelta(seconds=301))
    assert (DeliveryState.LEFT_ALONE, "both ends are our own") == (
        plan.record.state,
        plan.record.reason,
    )
