"""
What somebody has changed in Buildr is left as it is, where it is asked for and on every replay.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.outcomes import StoredOutcomes
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness

MakeWorld = Callable[..., WorkerHarness]
MACHINE = {"CallSid": "CA1", "AnsweredBy": "machine_end_beep"}
READ: dict[str, str] = {}


@pytest.fixture
async def make_world(
    store: Store, make_settings: Callable[..., Settings], tmp_path: Path
) -> MakeWorld:
    """Make a world; with `notes` they are appended."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))

    def make(*, notes: bool = False, **values: str) -> WorkerHarness:
        if notes:
            (tmp_path / "buildr-calls.toml").write_text(
                '[notes]\nmode = "append"\ntemplate = "{{ result }}"\n', encoding="utf-8"
            )
        return WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", **values))

    return make


async def deliver(world: WorkerHarness) -> None:
    """Have the call written as Connected."""
    for callback in CALL:
        await world.receive(callback)
    await world.drain()


async def replay(world: WorkerHarness, *, is_forced: bool = False) -> None:
    """Have the call replayed."""
    assert await world.store.calls.request_replay(
        "twilio:CA1", ReplayRequest(lane=Lane.REPLAY, at=world.clock(), is_forced=is_forced)
    )
    await world.drain()


async def state(world: WorkerHarness) -> DeliveryState:
    """How far the call is."""
    return (await world.stored()).record.state


async def test_persons_outcome_is_left_alone(make_world: MakeWorld) -> None:
    """
    With PROTECT_HAND_EDITS a better result does not overwrite the outcome that was chosen by hand;
    nothing does later.
    """
    world = make_world(PROTECT_HAND_EDITS="true")
    await deliver(world)
    world.buildr.held["110"]["call_outcome_id"] = "790"
    await world.receive(MACHINE)
    await world.drain()
    assert (DeliveryState.HAND_EDITED, [("110", READ)]) == (
        await state(world),
        world.buildr.requests[1:],
    )
    await world.receive({"CallSid": "CA1", "AnsweredBy": "fax"})
    await world.drain()
    assert 2 == len(world.buildr.requests)


async def test_untouched_outcome_is_changed(make_world: MakeWorld) -> None:
    """
    Where nobody has changed it, the better result is written, at the cost of one request more.
    """
    world = make_world(PROTECT_HAND_EDITS="true")
    await deliver(world)
    await world.receive(MACHINE)
    await world.drain()
    assert [READ, {"call_outcome_id": "787"}] == [fields for _, fields in world.buildr.requests[1:]]
    assert DeliveryState.DELIVERED is await state(world)


async def test_without_the_setting_nothing_is_read(make_world: MakeWorld) -> None:
    """By default a better result costs one request, whatever was changed in Buildr."""
    world = make_world()
    await deliver(world)
    world.buildr.held["110"]["call_outcome_id"] = "790"
    await world.receive(MACHINE)
    await world.drain()
    assert [("110", {"call_outcome_id": "787"})] == world.buildr.requests[1:]


async def test_outcome_that_was_emptied_by_hand_stays_so(make_world: MakeWorld) -> None:
    """Taking an outcome away is a change as any other."""
    world = make_world(PROTECT_HAND_EDITS="true")
    await deliver(world)
    del world.buildr.held["110"]["call_outcome_id"]
    await world.receive(MACHINE)
    await world.drain()
    assert DeliveryState.HAND_EDITED is await state(world)


async def test_replay_of_a_failed_call_finds_what_was_done_by_hand(
    make_world: MakeWorld,
) -> None:
    """
    A call that failed, and that was given an outcome by hand, is not overwritten by its
    replay; a forced one does it.
    """
    world = make_world()
    world.buildr.faults = ["422"]
    await deliver(world)
    assert DeliveryState.FAILED is await state(world)
    world.buildr.held["110"] = {"call_outcome_id": "790"}
    await replay(world)
    assert (DeliveryState.HAND_EDITED, "790") == (
        await state(world),
        world.buildr.held["110"]["call_outcome_id"],
    )
    await replay(world, is_forced=True)
    assert (DeliveryState.DELIVERED, "786") == (
        await state(world),
        world.buildr.held["110"]["call_outcome_id"],
    )


async def test_replay_of_a_written_call_writes_nothing(make_world: MakeWorld) -> None:
    """What Buildr holds from us is not written again, and costs no request."""
    world = make_world()
    await deliver(world)
    await replay(world)
    assert (DeliveryState.DELIVERED, 1) == (await state(world), len(world.buildr.requests))


async def test_reading_and_notes_share_their_request(make_world: MakeWorld) -> None:
    """
    A replay with notes reads once and writes once: outcome and notes together, with what somebody
    wrote kept.
    """
    world = make_world(notes=True)
    world.buildr.faults = ["422"]
    await deliver(world)
    world.buildr.held["110"] = {"notes": "Typed by a person"}
    await replay(world)
    sent = [fields for _, fields in world.buildr.requests[1:]]
    assert [
        READ,
        {
            "call_outcome_id": "786",
            "recorded_at": "2026-11-02T10:00:00Z",
            "notes": "Typed by a person\n\nconnected",
        },
    ] == sent


async def test_mark_survives_an_error_and_ends_with_the_call_at_rest(make_world: MakeWorld) -> None:
    """
    A replay that meets an outage is still a replay when Buildr is back; afterwards the call is an
    ordinary one.
    """
    world = make_world()
    world.buildr.faults = ["422"]
    await deliver(world)
    world.buildr.held["110"] = {"call_outcome_id": "790"}
    world.buildr.faults = ["500"] * 5
    await replay(world)
    assert (DeliveryState.HAND_EDITED, None) == (
        await state(world),
        (await world.stored()).record.replay_request,
    )


async def test_buildr_that_shows_no_call_by_an_empty_update(make_world: MakeWorld) -> None:
    """
    Where Buildr refuses to be read so, nothing is changed and nothing has failed; the reason says
    what to do.
    """
    world = make_world(PROTECT_HAND_EDITS="true")
    await deliver(world)
    world.buildr.faults = ["422"]
    await world.receive(MACHINE)
    await world.drain()
    record = (await world.stored()).record
    assert (DeliveryState.HAND_EDITED, "786") == (
        record.state,
        world.buildr.held["110"]["call_outcome_id"],
    )
    assert 0 == await world.store.failed.count()
    assert "--force" in record.reason
