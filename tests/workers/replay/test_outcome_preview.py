"""
A changed map, tried on known calls: the preview's counts are what rewriting them then does.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import pytest

from service.clock import utc_now
from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.call_search import CallFilter
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.outcomes import StoredOutcomes
from tests.workers.jobs.harness import NAMES
from tests.workers.replay.harness import ReplayHarness
from workers.outcomes.decide import map_digest
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import call_candidates
from workers.replay.outcome_preview import (
    ChangeKind,
    Comparison,
    Preview,
    apply,
    workers_fault,
)

# Short conversations become "No Answer", busy ones are mapped to nothing, and calls that were hung
# up at once get an outcome.
NEW: Final = OutcomeConfig.model_validate(
    {
        "outcomes": {"busy": "", "cancelled": "Busy"},
        "rules": [
            {
                "name": "short",
                "when": {"result": "connected", "duration_below_s": 10},
                "outcome": "No Answer",
            }
        ],
    }
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


async def end(
    desk: ReplayHarness, number: int, status: str, *, query: str | None = None, **more: str
) -> str:
    """A call that ended so, Buildr's number 100 and so many; returns its name."""
    form = {
        "CallSid": f"CA{number}",
        "CallStatus": status,
        "Direction": "outbound-api",
        "From": "+15005550006",
        "To": "+15005550001",
        "Timestamp": "Mon, 02 Nov 2026 10:00:00 +0000",
        **more,
    }
    await desk.receive(form, query=f"buildr_call_id={100 + number}" if query is None else query)
    ref = f"twilio:CA{number}"
    await desk.drain(ref)
    return ref


async def fill(desk: ReplayHarness) -> list[str]:
    """Calls of every kind, delivered by the present map."""
    talk = {"CallDuration": "9"}
    return [
        await end(desk, 1, "completed", **talk),
        await end(desk, 2, "completed", CallDuration="90"),
        await end(desk, 3, "busy"),
        await end(desk, 4, "canceled"),
        await end(desk, 5, "completed", query="", **talk),
        await end(desk, 6, "ringing"),
        await end(desk, 7, "completed", **talk),
    ]


async def compare(
    desk: ReplayHarness,
    config: OutcomeConfig = NEW,
    *,
    is_forced: bool = False,
    limit: int | None = None,
) -> Preview:
    """The preview over all calls."""
    scan = desk.store.search
    present = await ReplayContext.of(desk.options, desk.store)
    cases = call_candidates(desk.store, await scan.select(CallFilter()), present.rules)
    return await Comparison(present=present, config=config, is_forced=is_forced).run(
        cases, now=utc_now(), limit=limit
    )


def pairs(preview: Preview) -> Mapping[tuple[str | None, str | None, ChangeKind], int]:
    """How often each pair of outcomes comes."""
    return Counter((change.now, change.then, change.kind) for change in preview.changes)


async def test_preview_tells_what_changes_and_by_which_rule(desk: ReplayHarness) -> None:
    """
    Written calls, those that were or are now left alone, and those still to come are reported
    apart; the rest is counted.
    """
    await fill(desk)
    preview = await compare(desk)
    assert {
        ("Connected", "No Answer", ChangeKind.REWRITTEN): 2,
        ("Busy", None, ChangeKind.KEPT): 1,
        (None, "Busy", ChangeKind.REWRITTEN): 1,
        ("Connected", "No Answer", ChangeKind.TO_COME): 1,
    } == pairs(preview)
    assert {'rules[0] "short"', "outcomes.busy", "outcomes.cancelled"} == {
        change.rule for change in preview.changes
    }
    assert (6, {"not final": 1}) == (preview.looked_at, preview.left_out)


async def test_preview_writes_nothing(desk: ReplayHarness) -> None:
    """Looking at a changed map leaves records, alarms and Buildr as they are."""
    refs = await fill(desk)
    before = [await desk.stored(ref) for ref in refs]
    requests = len(desk.mirror.requests)
    await compare(desk)
    assert before == [await desk.stored(ref) for ref in refs]
    assert requests == len(desk.mirror.requests)


async def test_counts_are_what_apply_then_does(desk: ReplayHarness) -> None:
    """
    The calls that were foretold are written, with the outcomes and at the cost foretold, and no
    others; then nothing is left to do.
    """
    refs = await fill(desk)
    preview = await compare(desk)
    before = {
        call_id: fields.get("call_outcome_id") for call_id, fields in desk.mirror.held.items()
    }
    desk.mirror.requests.clear()
    desk.decide_by(NEW)
    assert all(
        [
            item
            async for item in apply(desk.store, preview.rewritten, at=desk.clock(), is_forced=False)
        ]
    )
    for ref in refs[:4] + refs[6:]:
        await desk.drain(ref)
    ids = dict(NAMES)
    foretold = {item.buildr_call_id: ids[item.then or ""] for item in preview.rewritten}
    changed = {
        call_id: fields["call_outcome_id"]
        for call_id, fields in desk.mirror.held.items()
        if fields.get("call_outcome_id") != before.get(call_id)
    }
    assert foretold == changed
    assert preview.requests == len(desk.mirror.requests)
    assert {("Busy", None, ChangeKind.KEPT): 1} == pairs(await compare(desk))


async def test_apply_twice_writes_once(desk: ReplayHarness) -> None:
    """Who says --apply again while the first one is still under way costs Buildr nothing more."""
    await end(desk, 1, "completed", CallDuration="9")
    preview = await compare(desk)
    desk.mirror.requests.clear()
    desk.decide_by(NEW)
    for _ in range(2):
        assert [True] == [
            item
            async for item in apply(desk.store, preview.rewritten, at=desk.clock(), is_forced=False)
        ]
    assert [] == (await compare(desk)).rewritten
    await desk.drain("twilio:CA1")
    assert 1 == len(desk.mirror.writes)


async def test_persons_change_survives_apply_unless_forced(desk: ReplayHarness) -> None:
    """
    A call that an operator has changed is left to them; once that is known the preview counts it
    out, and force takes it in.
    """
    await end(desk, 1, "completed", CallDuration="9")
    desk.mirror.held["101"]["call_outcome_id"] = "787"
    desk.decide_by(NEW)
    preview = await compare(desk)
    assert [True] == [
        item
        async for item in apply(desk.store, preview.rewritten, at=desk.clock(), is_forced=False)
    ]
    await desk.drain("twilio:CA1")
    assert "787" == desk.mirror.held["101"]["call_outcome_id"]
    assert DeliveryState.HAND_EDITED is (await desk.stored("twilio:CA1")).record.state
    assert {"hand-edited in Buildr": 1} == (await compare(desk)).left_out
    forced = await compare(desk, is_forced=True)
    assert [1] == [item.requests for item in forced.rewritten]
    assert [True] == [
        item async for item in apply(desk.store, forced.rewritten, at=desk.clock(), is_forced=True)
    ]
    await desk.drain("twilio:CA1")
    assert "789" == desk.mirror.held["101"]["call_outcome_id"]


async def test_failed_calls_are_left_to_replay(desk: ReplayHarness) -> None:
    """A call that has failed is counted and never rewritten along with the others."""
    desk.mirror.faults = ["422"]
    await end(desk, 1, "completed", CallDuration="9")
    preview = await compare(desk)
    assert ([], {"failed, see: buildr-calls failed replay": 1}) == (
        preview.changes,
        preview.left_out,
    )


async def test_limit_stops_at_the_oldest(desk: ReplayHarness) -> None:
    """A limit is of calls that change, those first whose last message is oldest."""
    await fill(desk)
    assert ["twilio:CA1", "twilio:CA3"] == [
        change.ref for change in (await compare(desk, limit=2)).changes
    ]


async def test_workers_must_decide_by_the_same_map(desk: ReplayHarness) -> None:
    """
    No worker, or one with another map, is a reason not to rewrite; one that was silent for a minute
    does not count.
    """
    assert "no worker is running" == await workers_fault(desk.store, NEW)
    now_ms = int(utc_now().timestamp() * 1000)
    maps = "bc:default:maps"
    await desk.store.redis.hset(maps, "a", f"{now_ms}:{map_digest(NEW)}")
    await desk.store.redis.hset(maps, "b", f"{now_ms}:{map_digest(OutcomeConfig())}")
    assert "1 of 2 running workers decide by another map" == await workers_fault(desk.store, NEW)
    await desk.store.redis.hset(maps, "b", f"{now_ms - 61_000}:{map_digest(OutcomeConfig())}")
    assert ({"a": map_digest(NEW)}, None) == (
        await desk.store.workers.map_digests(),
        await workers_fault(desk.store, NEW),
    )
