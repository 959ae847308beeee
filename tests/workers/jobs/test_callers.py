"""
Who called goes along with the outcome, and never over what was chosen in Buildr.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.links import Link
from service.store.outcomes import StoredOutcomes
from service.store.phone_book import PhoneBookEntry
from service.store.rate_limit.lanes import Lane
from tests.workers.jobs.harness import CALL, CUSTOMER, NAMES, WorkerHarness

MakeWorld = Callable[..., WorkerHarness]
ANA = PhoneBookEntry(number=CUSTOMER, contact_id="418", company_id="101")
IDS = {"contact_id": "418", "company_id": "101"}
OUTCOME = {"call_outcome_id": "786", "recorded_at": "2026-11-02T10:00:00Z"}
READ: dict[str, str] = {}
MACHINE = {"CallSid": "CA1", "AnsweredBy": "machine_end_beep"}


@pytest.fixture
async def make_world(
    store: Store, make_settings: Callable[..., Settings], tmp_path: Path
) -> MakeWorld:
    """Make a world whose phone book has the customer; with `notes` they are appended."""
    await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
    await store.phone_book.put([ANA])

    def make(*, notes: bool = False, **values: str) -> WorkerHarness:
        if notes:
            (tmp_path / "buildr-calls.toml").write_text(
                '[notes]\nmode = "append"\ntemplate = "{{ result }}"\n', encoding="utf-8"
            )
        world = WorkerHarness(store, make_settings(BUILDR_BUDGETS="1000/1s", **values))
        world.buildr.shows_filing = True
        return world

    return make


@pytest.fixture
def guarded(make_world: MakeWorld) -> WorkerHarness:
    """A world that protects hand edits."""
    return make_world(PROTECT_HAND_EDITS="true")


async def deliver(world: WorkerHarness) -> list[dict[str, str]]:
    """Have the call written as Connected; the requests that this took."""
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    assert DeliveryState.DELIVERED is (await world.stored()).record.state
    return requests(world)


def requests(world: WorkerHarness) -> list[dict[str, str]]:
    """The fields of each request so far."""
    return [fields for _, fields in world.buildr.requests]


async def test_ids_go_along_in_the_same_request(make_world: MakeWorld) -> None:
    """One request writes the outcome and who called."""
    assert [{**OUTCOME, **IDS}] == await deliver(make_world())


async def test_several_people_send_none(make_world: MakeWorld) -> None:
    """A number of two people of different companies leaves the call's filing alone."""
    world = make_world()
    await world.store.phone_book.put(
        [PhoneBookEntry(number=CUSTOMER, contact_id="419", company_id="102")]
    )
    assert [OUTCOME] == await deliver(world)


async def test_ids_of_a_link_count_first(make_world: MakeWorld) -> None:
    """A link's project goes beside the contact; a link to another contact stays alone."""
    world = make_world()
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110", project_id="7"))
    assert [{**OUTCOME, **IDS, "project_id": "7"}] == await deliver(world)
    await world.store.links.put("twilio", "CA1", Link(buildr_call_id="110", contact_id="500"))
    await world.drain()
    assert {"contact_id": "500"} == requests(world)[-1]


async def test_later_message_sends_no_id_again(make_world: MakeWorld) -> None:
    """What Buildr holds from here is not written again."""
    world = make_world()
    await deliver(world)
    await world.receive(MACHINE)
    await world.drain()
    assert {"call_outcome_id": "787"} == requests(world)[-1]


async def test_empty_fields_are_filled(guarded: WorkerHarness) -> None:
    """With PROTECT_HAND_EDITS the outcome goes first; who called follows where nothing is set."""
    assert [OUTCOME, IDS] == await deliver(guarded)


async def test_filling_takes_the_notes_along(make_world: MakeWorld) -> None:
    """Ids and notes share the second request."""
    world = make_world(notes=True, PROTECT_HAND_EDITS="true")
    assert [OUTCOME, {**IDS, "notes": "connected"}] == await deliver(world)


async def test_chosen_contact_is_left(guarded: WorkerHarness) -> None:
    """A contact that was chosen in Buildr stays, and costs no second request, now or later."""
    guarded.buildr.held["110"] = {"contact_id": "500"}
    assert [OUTCOME] == await deliver(guarded)
    record = (await guarded.stored()).record
    assert {"110": IDS} == record.left_ids
    detail = "company_id 101, contact_id 418 of the phone book; Buildr holds contact 500"
    assert ("not filed", detail) in [(entry.summary, entry.detail) for entry in record.history]
    await guarded.receive({**CALL[-1], "SequenceNumber": "4"})
    await guarded.drain()
    assert [OUTCOME] == requests(guarded)


async def test_chosen_project_is_left_beside_the_contact(guarded: WorkerHarness) -> None:
    """Contacts have many projects: one that was chosen by hand contradicts nothing."""
    await guarded.store.phone_book.put(
        [PhoneBookEntry(number=CUSTOMER, contact_id="418", company_id="101", project_id="129")]
    )
    guarded.buildr.held["110"] = {"project_id": "7"}
    assert [OUTCOME, IDS] == await deliver(guarded)


async def test_what_is_there_already_is_not_written(guarded: WorkerHarness) -> None:
    """A call that was made from the contact's page needs nothing, and nothing is reported."""
    guarded.buildr.held["110"] = dict(IDS)
    assert [OUTCOME] == await deliver(guarded)
    history = (await guarded.stored()).record.history
    assert "not filed" not in [entry.summary for entry in history]


async def test_contact_that_was_changed_later_is_left(guarded: WorkerHarness) -> None:
    """The book changes after somebody has corrected the contact in Buildr: theirs stays."""
    await deliver(guarded)
    guarded.buildr.held["110"]["contact_id"] = "500"
    await guarded.store.phone_book.remove(CUSTOMER)
    await guarded.store.phone_book.put([PhoneBookEntry(number=CUSTOMER, contact_id="419")])
    await guarded.receive({**CALL[-1], "SequenceNumber": "4", "CallDuration": "10"})
    await guarded.drain()
    assert [OUTCOME, IDS, READ] == requests(guarded)


async def test_contact_of_ours_follows_the_book(guarded: WorkerHarness) -> None:
    """What was written from here, and is unchanged in Buildr, is replaced."""
    await deliver(guarded)
    await guarded.store.phone_book.remove(CUSTOMER)
    await guarded.store.phone_book.put([PhoneBookEntry(number=CUSTOMER, contact_id="419")])
    await guarded.receive({**CALL[-1], "SequenceNumber": "4", "CallDuration": "10"})
    await guarded.drain()
    assert [OUTCOME, IDS, READ, {"contact_id": "419"}] == requests(guarded)


async def test_contact_that_was_emptied_stays_so(guarded: WorkerHarness) -> None:
    """Taking the contact away in Buildr is a choice too."""
    await deliver(guarded)
    del guarded.buildr.held["110"]["contact_id"]
    moved = PhoneBookEntry(number=CUSTOMER, contact_id="418", company_id="102")
    await guarded.store.phone_book.put([moved])
    await guarded.receive({**CALL[-1], "SequenceNumber": "4", "CallDuration": "10"})
    await guarded.drain()
    assert [OUTCOME, IDS, READ] == requests(guarded)


async def test_answer_that_shows_no_filing_leaves_all(guarded: WorkerHarness) -> None:
    """Where Buildr does not show what a call is filed under, nothing could be compared."""
    guarded.buildr.shows_filing = False
    assert [OUTCOME] == await deliver(guarded)


@pytest.mark.parametrize("fault", ["500", "timeout"])
async def test_second_request_that_fails_is_made_again(guarded: WorkerHarness, fault: str) -> None:
    """The outcome is not written twice for it: the call is read, then filed."""
    guarded.buildr.faults = ["", fault]
    assert [OUTCOME, IDS, READ, IDS] == await deliver(guarded)


async def test_second_request_whose_answer_was_lost_is_not_repeated(
    guarded: WorkerHarness,
) -> None:
    """Buildr holds the ids already, as reading the call shows."""
    guarded.buildr.faults = ["", "lost answer"]
    assert [OUTCOME, IDS, READ] == await deliver(guarded)


async def test_refused_reading_leaves_ids(guarded: WorkerHarness) -> None:
    """Where Buildr refuses an update without fields, ids that come later are left."""
    guarded.buildr.faults = ["", "500", "422"]
    assert [OUTCOME, IDS, READ] == await deliver(guarded)
    assert {"110": IDS} == (await guarded.stored()).record.left_ids


async def test_replay_files_what_is_empty(make_world: MakeWorld) -> None:
    """A replay reads the call first in any case, and then writes all in one request."""
    world = make_world()
    await world.store.phone_book.remove(CUSTOMER)
    await deliver(world)
    await world.store.phone_book.put([ANA])
    assert await world.store.calls.request_replay(
        "twilio:CA1", ReplayRequest(lane=Lane.REPLAY, at=world.clock(), is_forced=False)
    )
    await world.drain()
    assert [OUTCOME, READ, IDS] == requests(world)


async def test_forced_replay_overwrites(guarded: WorkerHarness) -> None:
    """`--force` writes all that is known, whatever was chosen."""
    guarded.buildr.held["110"] = {"contact_id": "500"}
    await deliver(guarded)
    assert await guarded.store.calls.request_replay(
        "twilio:CA1", ReplayRequest(lane=Lane.REPLAY, at=guarded.clock(), is_forced=True)
    )
    await guarded.drain()
    assert {**OUTCOME, **IDS} == requests(guarded)[-1]


@pytest.mark.parametrize("status", ["400", "404", "409", "422"])
async def test_refused_ids_do_not_cost_the_outcome(make_world: MakeWorld, status: str) -> None:
    """A contact that Buildr does not have any more is left out, and stays out."""
    world = make_world()
    world.buildr.faults = [status]
    assert [{**OUTCOME, **IDS}, OUTCOME] == await deliver(world)
    record = (await world.stored()).record
    assert ({"110": IDS}, 0) == (record.left_ids, record.attempts)
    assert "not filed" in [item.summary for item in record.history]
    await world.receive(MACHINE)
    await world.drain()
    assert {"call_outcome_id": "787"} == requests(world)[-1]


async def test_refused_ids_of_a_second_request_are_left(guarded: WorkerHarness) -> None:
    """The outcome is in Buildr by then."""
    guarded.buildr.faults = ["", "422"]
    assert [OUTCOME, IDS] == await deliver(guarded)
    assert {"110": IDS} == (await guarded.stored()).record.left_ids


async def test_call_that_is_missing_fails_all_the_same(make_world: MakeWorld) -> None:
    """Where the ids were not the reason, the call is given up on without them."""
    world = make_world()
    world.buildr.faults = ["404"] * 5
    for callback in CALL:
        await world.receive(callback)
    await world.drain()
    assert [{**OUTCOME, **IDS}, *[OUTCOME] * 4] == requests(world)
    assert DeliveryState.FAILED is (await world.stored()).record.state


async def test_refused_ids_of_a_changed_book_are_tried(make_world: MakeWorld) -> None:
    """Once the number is somebody else's, that contact is written."""
    world = make_world()
    world.buildr.faults = ["422"]
    await deliver(world)
    await world.store.phone_book.remove(CUSTOMER)
    await world.store.phone_book.put([PhoneBookEntry(number=CUSTOMER, contact_id="419")])
    await world.receive(MACHINE)
    await world.drain()
    assert {"call_outcome_id": "787", "contact_id": "419"} == requests(world)[-1]
