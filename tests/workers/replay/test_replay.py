"""
Replaying calls when time has passed: what is foretold is what is done, and nothing
newer is overwritten.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.errors import BuildrRejected, BuildrUnavailable
from service.phone_numbers import Number
from service.settings import Budget, Settings
from service.settings.conditions import When
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcomes import Notes, OutcomeConfig, Rule
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.expectations import Expectation
from service.store.failed import Failed, FailedFilter, to_text
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import (
    CALL,
    NAMES,
    form,
)
from tests.workers.replay.harness import REF, ReplayHarness
from workers.replay.candidates import failed_candidates
from workers.replay.cost import budget_minutes, budget_text
from workers.replay.failed_entries import select_failed
from workers.replay.replay import replay
from workers.replay.verdicts import WRITES, Verdict

OTHER = OutcomeConfig.model_validate(
    {"outcomes": {"connected": "Left Voicemail", "no_answer": "Busy"}}
)


@pytest.fixture
async def desk(
    store: Store, make_settings: Callable[..., Settings]
) -> AsyncIterator[ReplayHarness]:
    """A desk with the account's outcomes known and a wide budget."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    made = ReplayHarness(store, make_settings(BUILDR_BUDGETS="1000/1s"))
    yield made
    await made.inbox.close()
    await made.client.close()


async def _delivered(desk: ReplayHarness) -> None:
    await desk.deliver()


async def _other_map(desk: ReplayHarness) -> None:
    await desk.deliver()
    desk.decide_by(OTHER)


async def _changed_by_hand(desk: ReplayHarness) -> None:
    await _other_map(desk)
    desk.mirror.held["110"]["call_outcome_id"] = "790"


async def _emptied_by_hand(desk: ReplayHarness) -> None:
    await _other_map(desk)
    del desk.mirror.held["110"]["call_outcome_id"]


async def _wanted_by_hand(desk: ReplayHarness) -> None:
    await _other_map(desk)
    desk.mirror.held["110"]["call_outcome_id"] = "787"


async def _gone_in_buildr(desk: ReplayHarness) -> None:
    await _other_map(desk)
    desk.mirror.missing.add("110")


async def _nobody_linked(desk: ReplayHarness) -> None:
    await desk.deliver(query="")


async def _expected_by_number(desk: ReplayHarness) -> None:
    await desk.store.expected.put(
        Expectation(buildr_call_id="110", numbers=(Number("+15005550001"),))
    )
    at = {"Timestamp": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}"}
    await desk.receive({**CALL[3], **at}, query="")
    await desk.drain()
    desk.mirror.requests.clear()
    desk.decide_by(OTHER)


async def _mapped_to_nothing(desk: ReplayHarness) -> None:
    await desk.deliver()
    desk.decide_by(OutcomeConfig.model_validate({"outcomes": {"connected": ""}}))


async def _rings(desk: ReplayHarness) -> None:
    await desk.receive(CALL[1])
    await desk.drain()


async def _unknown_outcome(desk: ReplayHarness) -> None:
    await desk.deliver()
    desk.decide_by(
        OutcomeConfig(
            outcomes={},
            rules=(Rule(when=When(source=("twilio",)), outcome=OutcomeRef(name="Nonsense")),),
        )
    )


async def _refused(desk: ReplayHarness) -> None:
    desk.mirror.faults = ["422"]
    await desk.deliver()


SITUATIONS = [
    (_delivered, Verdict.ALREADY_WRITTEN, 0, ("Connected", "Connected")),
    (_other_map, Verdict.WRITE, 1, ("Connected", "Left Voicemail")),
    (_changed_by_hand, Verdict.HAND_EDITED, 0, ("Busy", "Busy")),
    (_emptied_by_hand, Verdict.HAND_EDITED, 0, (None, None)),
    (_wanted_by_hand, Verdict.WRITE, 1, ("Left Voicemail", "Left Voicemail")),
    (_gone_in_buildr, Verdict.NOT_FOUND, 0, ("Connected", "Left Voicemail")),
    (_nobody_linked, Verdict.UNMATCHED, 0, (None, None)),
    (_expected_by_number, Verdict.WRITE, 1, ("Connected", "Left Voicemail")),
    (_mapped_to_nothing, Verdict.LEFT_ALONE, 0, ("Connected", "Connected")),
    (_rings, Verdict.NOT_FINAL, 0, (None, None)),
    (_unknown_outcome, Verdict.NO_OUTCOME, 0, ("Connected", "Connected")),
    (_refused, Verdict.WRITE, 1, (None, "Connected")),
]


@pytest.mark.parametrize(
    ("situation", "verdict", "writes", "outcomes"),
    SITUATIONS,
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_is_foretold_is_what_is_done(
    desk: ReplayHarness,
    situation: Callable[[ReplayHarness], Awaitable[None]],
    verdict: Verdict,
    writes: int,
    outcomes: tuple[str | None, str | None],
) -> None:
    """
    A dry run changes nothing, the real run gives the same verdict, and the worker then writes as
    often as that says, and no more.
    """
    await situation(desk)
    before = await desk.stored()
    foretold = await desk.replay_call(is_dry_run=True)
    assert before == await desk.stored()
    assert [] == desk.mirror.writes
    done = await desk.replay_call()
    assert (verdict, verdict) == (foretold.verdict, done.verdict)
    assert outcomes == (foretold.outcome_now, foretold.outcome_then)
    desk.mirror.requests.clear()
    await desk.drain()
    assert writes == len(desk.mirror.writes)
    assert (done.requests if verdict in WRITES else 0) == len(desk.mirror.requests)
    again = await desk.replay_call()
    assert again.verdict is (Verdict.ALREADY_WRITTEN if verdict is Verdict.WRITE else verdict)


async def test_persons_change_is_left_alone_and_overridden_by_force(desk: ReplayHarness) -> None:
    """
    A hand edit survives a replay and not a forced one, which looks at nothing first and writes
    once.
    """
    await _changed_by_hand(desk)
    assert Verdict.HAND_EDITED is (await desk.replay_call()).verdict
    await desk.drain()
    assert "790" == desk.mirror.held["110"]["call_outcome_id"]
    desk.mirror.requests.clear()
    forced = await desk.replay_call(is_forced=True)
    await desk.drain()
    assert (Verdict.FORCED, 1) == (forced.verdict, forced.requests)
    assert "787" == desk.mirror.held["110"]["call_outcome_id"]
    assert 1 == len(desk.mirror.requests)


async def test_force_writes_what_is_written_already(desk: ReplayHarness) -> None:
    """
    An outcome that an operator has changed back is put there again by force, although we know no
    difference.
    """
    await desk.deliver()
    desk.mirror.held["110"]["call_outcome_id"] = "790"
    assert Verdict.ALREADY_WRITTEN is (await desk.replay_call()).verdict
    assert Verdict.FORCED is (await desk.replay_call(is_forced=True)).verdict
    await desk.drain()
    assert "786" == desk.mirror.held["110"]["call_outcome_id"]


async def test_change_between_look_and_write_is_respected(desk: ReplayHarness) -> None:
    """
    Who edits a call after the verdict and before the worker's turn keeps what they have written.
    """
    await _other_map(desk)
    assert Verdict.WRITE is (await desk.replay_call()).verdict
    desk.mirror.held["110"]["call_outcome_id"] = "790"
    await desk.drain()
    assert "790" == desk.mirror.held["110"]["call_outcome_id"]
    assert DeliveryState.HAND_EDITED is (await desk.stored()).record.state


async def test_offline_replay_leaves_the_look_to_the_worker(desk: ReplayHarness) -> None:
    """
    Without a read the verdict says what it rests on, and the worker still leaves an operator's
    change alone.
    """
    await _changed_by_hand(desk)
    assert Verdict.UNCHECKED is (await desk.replay_call(is_offline=True)).verdict
    assert [] == desk.mirror.requests
    await desk.drain()
    assert [] == desk.mirror.writes


async def test_failed_call_is_written_and_leaves_the_list(desk: ReplayHarness) -> None:
    """
    A call that Buildr refused goes through when the cause is gone; the second replay finds nothing.
    """
    await _refused(desk)
    assert Verdict.WRITE is (await desk.replay_failed(is_dry_run=True))[0].verdict
    assert 1 == await desk.store.failed.count()
    (done,) = await desk.replay_failed()
    assert Verdict.WRITE is done.verdict
    await desk.drain()
    assert "786" == desk.mirror.held["110"]["call_outcome_id"]
    assert [] == await desk.replay_failed()


async def test_failed_call_that_was_delivered_meanwhile_is_left(desk: ReplayHarness) -> None:
    """
    An entry that was chosen before the call went through by itself is reported as taken, and
    nothing is sent.
    """
    desk.mirror.faults = ["404"] * 4
    await desk.store.links.put("twilio", "CA1", Link(buildr_call_id="99"))
    await desk.deliver(query="")
    entries = await select_failed(desk.store, FailedFilter())
    await desk.store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    await desk.drain()
    desk.mirror.requests.clear()
    for is_dry_run in (True, False):
        (result,) = await desk.replay_failed(entries=entries, is_dry_run=is_dry_run)
        assert Verdict.TAKEN is result.verdict
    await desk.drain()
    assert [] == desk.mirror.requests


async def test_failed_call_that_an_operator_has_changed_stays_on_the_list(
    desk: ReplayHarness,
) -> None:
    """
    What an operator has written over stays failed for an operator to decide, until it is forced.
    """
    await _refused(desk)
    desk.mirror.held["110"] = {"call_outcome_id": "790"}
    assert [Verdict.HAND_EDITED] == [item.verdict for item in await desk.replay_failed()]
    assert 1 == await desk.store.failed.count()
    assert [Verdict.FORCED] == [item.verdict for item in await desk.replay_failed(is_forced=True)]
    await desk.drain()
    assert ("786", 0) == (
        desk.mirror.held["110"]["call_outcome_id"],
        await desk.store.failed.count(),
    )


async def test_failed_message_whose_call_was_written_since_says_so(desk: ReplayHarness) -> None:
    """
    A message that could not be read, and can be now, changes nothing about a call that is newer; it
    leaves the list without a write.
    """
    await desk.receive(CALL[1])
    await desk.run()
    message = next(iter((await desk.stored()).events))
    await _file(desk, message, "malformed_payload")
    desk.advance(60)
    for item in CALL[2:]:
        await desk.receive(item)
    await desk.drain()
    # It was taken off the list by a run that read it well; put it there again, as it was before.
    await _file(desk, message, "malformed_payload")
    desk.mirror.requests.clear()
    (foretold,) = await desk.replay_failed(is_dry_run=True)
    (done,) = await desk.replay_failed()
    await desk.drain()
    assert (Verdict.NEWER, Verdict.NEWER) == (foretold.verdict, done.verdict)
    assert ([], 0) == (desk.mirror.requests, await desk.store.failed.count())


async def _file(desk: ReplayHarness, message_id: str, cause: str) -> None:
    """Put a message on the failed list as it was an hour ago."""
    entry = Failed(
        entry_id=message_id,
        kind="message",
        source="twilio",
        source_call_id="CA1",
        cause=cause,
        detail="told to",
        failed_at=datetime.now(UTC) - timedelta(hours=1),
        message_ids=(message_id,),
    )
    await desk.store.redis.set(f"bc:default:f:{message_id}", to_text(entry))
    await desk.store.redis.zadd("bc:default:failed", {message_id: 1})


async def test_word_that_is_still_unknown_stays(desk: ReplayHarness) -> None:
    """A message that today's tables cannot read either is not replayed in vain."""
    for item in (*CALL, form("teleported", 4)):
        await desk.receive(item)
    await desk.drain()
    (result,) = await desk.replay_failed()
    assert (Verdict.UNREADABLE, False) == (result.verdict, result.is_settled)
    assert 1 == await desk.store.failed.count()


async def test_message_whose_raw_form_is_gone_is_reported_to_be(desk: ReplayHarness) -> None:
    """Nothing can be read anew of a message whose time is over."""
    await _file(desk, "m404", "unsupported_event")
    (result,) = await desk.replay_failed()
    assert Verdict.GONE is result.verdict


async def test_a_damaged_message_is_in_no_other_entrys_way(desk: ReplayHarness) -> None:
    """It counts as gone; an entry is not lost by a message that is damaged only then."""
    for item in (*CALL, form("teleported", 4)):
        await desk.receive(item)
    await desk.drain()
    await _file(desk, "m404", "damaged_record")
    await desk.store.redis.set(desk.store.keys.message("m404"), "damaged")
    verdicts = [result.verdict for result in await desk.replay_failed(is_dry_run=True)]
    assert [Verdict.GONE, Verdict.UNREADABLE] == verdicts
    entry = await desk.store.failed.get("m404")
    assert entry is not None
    ids = ["m404", *(await desk.stored()).events]
    request = ReplayRequest(lane=Lane.REPLAY, at=desk.clock())
    replay_ids = desk.store.failed.replay(entry, ref=REF, message_ids=ids, replay_request=request)
    assert len(ids) - 1 == await replay_ids


async def test_second_replay_in_a_row_is_harmless(desk: ReplayHarness) -> None:
    """A call that waits to be written again is reported to be on its way, and is written once."""
    await _other_map(desk)
    assert Verdict.WRITE is (await desk.replay_call()).verdict
    assert Verdict.ALREADY_QUEUED is (await desk.replay_call()).verdict
    await desk.drain()
    assert 1 == len(desk.mirror.writes)


async def test_notes_are_counted_and_written_with_the_rest(desk: ReplayHarness) -> None:
    """
    Where notes are written too, the read_buildr_call serves both, so that the foretold number of
    requests is the true one.
    """
    await desk.deliver()
    desk.decide_by(
        OTHER.model_copy(update={"notes": Notes(mode="append", template="{{ outcome }}")})
    )
    result = await desk.replay_call()
    desk.mirror.requests.clear()
    await desk.drain()
    assert result.requests == len(desk.mirror.requests)
    assert "Left Voicemail" in desk.mirror.held["110"]["notes"]


async def test_look_that_buildr_limits_is_made_again(desk: ReplayHarness) -> None:
    """A 429 to a read costs a wait, not the verdict."""
    await _other_map(desk)
    desk.mirror.faults = ["429"]
    assert Verdict.WRITE is (await desk.replay_call(is_dry_run=True)).verdict
    assert 2 == len(desk.mirror.requests)


@pytest.mark.parametrize(("fault", "error"), [("500", BuildrUnavailable), ("422", BuildrRejected)])
async def test_buildr_that_cannot_be_asked_is_an_error(
    desk: ReplayHarness, fault: str, error: type[Exception]
) -> None:
    """
    Buildr away, or not able to read an empty update, is no verdict about a call; permits are given
    back.
    """
    await _other_map(desk)
    desk.mirror.faults = [fault]
    with pytest.raises(error):
        await desk.replay_call(is_dry_run=True)
    assert [] == await desk.store.pool.keys("bc:default:permit:*")


async def test_forced_mark_is_written_down(desk: ReplayHarness) -> None:
    """The option that the worker finds is the one that was expressed: lane and force."""
    await _other_map(desk)
    await desk.replay_call(is_forced=True)
    replay_request = (await desk.stored()).replay_request
    assert isinstance(replay_request, ReplayRequest)
    assert (Lane.REPLAY, True) == (replay_request.lane, replay_request.is_forced)


def test_minutes_go_by_the_budget_that_lasts_longest() -> None:
    """Of several budgets the slowest counts: 2,000 an hour is less than 20 in 10 seconds."""
    budgets = (Budget(requests=20, window_s=10), Budget(requests=2000, window_s=3600))
    assert 30 == budget_minutes(1000, budgets)
    assert "about 30 min of budget (1,000 requests)" == budget_text(1000, budgets)
    assert "no budget" == budget_text(0, budgets)


async def test_replay_of_a_message_whose_call_nobody_knew_looks_first(desk: ReplayHarness) -> None:
    """
    A message that was kept as failed at the door makes a call by its replay, and what an operator
    has done meanwhile is left to them.
    """
    await desk.receive(form("busy", 4))
    (message_id,) = [
        item.decode() for item in await desk.store.redis.zrange("bc:default:inbox", 0, -1)
    ]
    await desk.store.pool.delete(f"bc:default:pending:{REF}", "bc:default:inbox", "bc:default:due")
    entry = Failed(
        entry_id=message_id,
        kind="message",
        source="twilio",
        source_call_id="CA1",
        cause="malformed_payload",
        detail="",
        failed_at=desk.clock(),
        message_ids=(message_id,),
    )
    await desk.store.pool.set(f"bc:default:f:{message_id}", to_text(entry))
    await desk.store.pool.zadd("bc:default:failed", {message_id: 1})
    desk.mirror.held["110"] = {"call_outcome_id": "787"}
    replayer = await desk.replayer(is_offline=True)
    cases = failed_candidates(
        desk.store,
        await select_failed(desk.store, FailedFilter()),
        replayer.context.rules,
        clock=desk.clock,
    )
    assert [Verdict.UNCHECKED] == [item.verdict async for item in replay(replayer, cases)]
    await desk.drain()
    assert (DeliveryState.HAND_EDITED, "787") == (
        (await desk.stored()).record.state,
        desk.mirror.held["110"]["call_outcome_id"],
    )
