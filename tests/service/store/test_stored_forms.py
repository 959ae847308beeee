"""
What version 0.1.0 wrote to Redis before its first release layout is read, shown, and gone on with.

The snapshot and what that version made of it lie in `stored_forms/`; see the README there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from service.errors import FailureCause
from service.events import CallEvent, to_json
from service.phone_numbers import Number
from service.sources import SOURCES
from service.store.backfill import WriteResult
from service.store.call_listing import CallQuery
from service.store.call_search import CallFilter
from service.store.call_update import CallUpdate
from service.store.compression import decompress
from service.store.connection import Store, open_store
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.expectations import Expectation
from service.store.failed import Failed, FailedFilter, to_text
from service.store.links import Link
from service.store.messages import Message, pack_message
from service.store.outcomes import StoredOutcomes
from service.store.phone_book import PhoneBookCounts, PhoneBookEntry
from service.store.rate_limit.backlog import read_backlog
from service.store.rate_limit.grants import GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from service.store.redis_client import Client
from service.store.script_runner import digest_of
from service.store.subscriptions import Upkeep
from service.store.tokens import Tokens
from tests.service.store.restored_worker import (
    OUTCOMES,
    Fields,
    RestoredWorker,
    ends_of,
    environment_of,
    restored_worker,
    settings_of,
    twilio_message,
)
from tests.service.store.script_files import SHARED
from tests.service.store.snapshot import ACCOUNTS, capture, load, read_account, restore
from tests.service.store.stored_commands import COMMANDS, print_of
from workers.maintenance.call_index import CallIndexer
from workers.outcomes.decide import map_digest
from workers.process.timing import in_progress_s

SCRIPTS: Final = Path(__file__).parents[3] / "service" / "store" / "scripts"
SNAPSHOT: Final = load("snapshot.json")
EXPECTED: Final = load("expected.json")
PRESENT: Final = datetime.fromisoformat(SNAPSHOT["taken_at"])
HOLD_S: Final = 10.0
OLD_MAP_DIGEST: Final = "232577a28e33c410"
# Scripts of records that the version before did not have.
NEW_RECORDS: Final = "phone_"
LIVE_WORKER: Final = "host-a:11111111"
DEAD_WORKER: Final = "host-dead:00000009"
TOKEN_OWNER: Final = "fedcba9876543210"
UPKEEP_OWNER: Final = "0123456789abcdef"

# Every kind of key that the version wrote, by what follows the account's prefix, up to a colon.
KINDS: Final = frozenset(
    {
        "allowance",
        "awaits_names",
        "blocked",
        "breaker",
        "call",
        "counts",
        "due",
        "expected",
        "expected_by",
        "expected_for",
        "expected_rev",
        "f",
        "failed",
        "heard",
        "hours",
        "inbox",
        "keeper",
        "lane",
        "lane_cost",
        "limit",
        "link",
        "links",
        "m",
        "maps",
        "outcomes",
        "pending",
        "permit",
        "permit_count",
        "queue",
        "running",
        "seen",
        "stalled",
        "strikes",
        "taken",
        "token",
        "token_lock",
        "turn",
        "unmatched",
        "upkeep",
        "upkeep_lock",
        "worker",
    }
)


def call(number: int) -> str:
    """The name of a call of the snapshot, by its last digits."""
    return f"twilio:CA{number:032d}"


def ended(number: int, status: str = "completed", **more: str) -> Fields:
    """The final callback of an outbound call of the snapshot."""
    return {
        "CallSid": call(number).removeprefix("twilio:"),
        "CallStatus": status,
        "Direction": "outbound-api",
        "SequenceNumber": "8",
        "Timestamp": "Tue, 03 Nov 2026 12:00:01 +0000",
        "From": "+15005550006",
        "To": f"+1500555{100 + number:04d}",
        "CallDuration": "9",
        **more,
    }


def detected(number: int) -> Fields:
    """The callback by which a machine is detected in a call of the snapshot."""
    return {"CallSid": call(number).removeprefix("twilio:"), "AnsweredBy": "machine_end_beep"}


@pytest.fixture
def environment(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of workers and commands, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return environment_of(redis_url, tmp_path)


@pytest.fixture
async def worker(environment: dict[str, str]) -> AsyncIterator[RestoredWorker]:
    """A worker of the default account, which has a record of nearly every kind."""
    async with restored_worker(environment, "default", SNAPSHOT) as restored:
        yield restored


@pytest.fixture
async def outage(environment: dict[str, str]) -> AsyncIterator[RestoredWorker]:
    """A worker of the account for which Buildr is down."""
    async with restored_worker(environment, "outage", SNAPSHOT) as restored:
        yield restored


@pytest.fixture
async def limited(environment: dict[str, str]) -> AsyncIterator[RestoredWorker]:
    """A worker of the account to which Buildr has answered 429."""
    async with restored_worker(environment, "limited", SNAPSHOT) as restored:
        yield restored


@pytest.fixture
def restored(environment: dict[str, str]) -> dict[str, str]:
    """The settings of a command that finds the whole snapshot in Redis."""

    async def fill() -> None:
        async with open_store(settings_of(environment, "default"), role="cli") as store:
            await restore(store.redis, SNAPSHOT["keys"])

    asyncio.run(fill())
    return environment


# The snapshot itself.


def test_every_kind_of_key_is_in_the_snapshot() -> None:
    """The snapshot has each kind of key, and arq's two beside those of the service."""
    keys = [key for key in SNAPSHOT["keys"] if key.startswith("bc:")]
    others = {key.partition("|")[0] for key in SNAPSHOT["keys"] if not key.startswith("bc:")}
    assert KINDS == {key.split(":")[2] for key in keys}
    assert set(ACCOUNTS) == {key.split(":")[1] for key in keys}
    assert {"arq:in-progress:default", "arq:job:default", "arq:job:outage"} == others


def test_every_state_and_lane_is_in_the_snapshot() -> None:
    """There is a call in each state, and something waits in each lane."""
    calls = EXPECTED["read"]["default"]["calls"].values()
    states = {stored["record"].get("state") for stored in calls}
    assert {state.value for state in DeliveryState} == states
    assert {f"bc:default:lane:{lane.value}" for lane in Lane} <= SNAPSHOT["keys"].keys()


async def test_snapshot_is_restored_as_it_was_taken(worker: RestoredWorker) -> None:
    """Every key has its type and value again, and expires if and only if it did before."""
    restored_keys = await capture(worker.store.redis)
    assert SNAPSHOT["keys"].keys() == restored_keys.keys()
    for key, entry in SNAPSHOT["keys"].items():
        assert (entry["type"], entry["value"]) == (
            restored_keys[key]["type"],
            restored_keys[key]["value"],
        )
        assert ("ttl_ms" in entry) is ("ttl_ms" in restored_keys[key]), key


# Reading.


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_everything_reads_as_before(account: str, environment: dict[str, str]) -> None:
    """Each record, read by the store, holds what the version before read from it."""
    async with restored_worker(environment, account, SNAPSHOT) as restored:
        sections = plain(await read_account(restored.store))
    expected = EXPECTED["read"][account]
    assert expected.keys() == sections.keys()
    for section, records in expected.items():
        if not isinstance(records, dict):
            assert records == sections[section], section
            continue
        assert records.keys() == sections[section].keys(), section
        for name, record in records.items():
            assert record == sections[section][name], f"{section} {name}"


def plain(value: object) -> Any:
    """What becomes of a value in a JSON file."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(("account", "command"), COMMANDS)
def test_commands_print_as_before(account: str, command: str, restored: dict[str, str]) -> None:
    """
    A command prints about old records what the version before printed; JSON may have more keys.
    """
    expected = EXPECTED["commands"][f"{account}: {command}"]
    assert expected == common_part(print_of(account, command, restored), expected)


def common_part(value: object, like: object) -> object:
    """A value without the keys that its like does not have, at any depth."""
    if isinstance(value, dict) and isinstance(like, dict):
        return {key: common_part(value[key], like[key]) for key in value if key in like}
    if isinstance(value, list) and isinstance(like, list) and len(value) == len(like):
        return [common_part(item, other) for item, other in zip(value, like, strict=True)]
    return value


async def test_calls_are_chosen_by_their_old_records(worker: RestoredWorker) -> None:
    """Calls are found by state and source, and the oldest come first."""
    scan = worker.store.search
    failed = await scan.select(CallFilter(state=DeliveryState.FAILED))
    assert [call(20), call(18), call(19), call(30)] == failed
    zoom = await scan.select(CallFilter(source="zoom", result="voicemail_received"))
    assert ["zoom:7412175552127889441"] == zoom
    recent = await scan.select(CallFilter(since=PRESENT - timedelta(seconds=5)))
    assert [call(2)] == recent


def without_facts_since(events: Iterable[CallEvent], source: str) -> list[CallEvent]:
    """The events without what the version before did not read."""
    if source == "zoom":
        events = [replace(event, agent=None) for event in events]
    return [replace(event, wait_s=None, queue=None, team=None, hung_up_by=None) for event in events]


async def test_raw_messages_mean_the_same_events(worker: RestoredWorker) -> None:
    """
    Each kept message, read anew by its source, gives the events that were kept of it, but for what
    is read since, and Zoom's agents, who are named by the events that they are about.
    """
    count = 0
    sources = set()
    for ref in EXPECTED["read"]["default"]["calls"]:
        stored = (await worker.store.calls.load(ref)).stored
        messages = await worker.store.messages.get_many(list(stored.events))
        for message_id, message in messages.items():
            events = SOURCES[message.source].read(message.request, message_id)
            known_before = without_facts_since(stored.events[message_id], message.source)
            assert known_before == without_facts_since(events, message.source), message_id
            sources.add(message.source)
            count += 1
    assert set(SOURCES) == sources
    assert count > 100


async def test_jobs_of_arq_are_those_of_the_worker(worker: RestoredWorker) -> None:
    """Each job in arq's queue names the worker's function, its account and a call that is due."""
    jobs = await worker.queued()
    due = await worker.store.redis.zrange(worker.store.keys.named("due"), 0, -1)
    assert {("deliver", "default", ref.decode()) for ref in due} == {
        (function, *arguments) for function, arguments, _ in jobs
    }
    # Jobs whose time has come are to run before those that are only planned.
    assert {call(1), call(2)} <= {str(ref) for _, (_, ref), at in jobs if at > PRESENT}


async def test_maps_of_workers_are_read(worker: RestoredWorker) -> None:
    """
    What each worker of the version before published of its map is read; it differs from today's,
    since results are read otherwise.
    """
    moment = PRESENT + timedelta(seconds=1)
    redis = cast("Client", _TimedClient(worker.store.redis, moment))
    workers = replace(worker.store.workers, redis=redis)
    assert {
        LIVE_WORKER: OLD_MAP_DIGEST,
        "host-b:22222222": OLD_MAP_DIGEST,
        DEAD_WORKER: OLD_MAP_DIGEST,
    } == await workers.map_digests()
    assert OLD_MAP_DIGEST != map_digest(worker.settings.outcome_config)


class _TimedClient:
    """A client of Redis by whose clock it is another time."""

    def __init__(self, client: Client, moment: datetime) -> None:
        self._client = client
        self._moment = moment

    async def time(self) -> tuple[int, int]:
        """TIME."""
        return int(self._moment.timestamp()), 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


# Writing: a record that nothing has changed is written as it was, so that both versions can work
# side by side while the workers are being replaced.


async def test_calls_are_written_as_before(worker: RestoredWorker) -> None:
    """The record and the events of a call keep every key and value of their JSON."""
    for ref in EXPECTED["read"]["default"]["calls"]:
        key = worker.store.keys.call(ref)
        before = await worker.store.redis.hgetall(key)
        stored = await worker.stored(ref)
        for message_id, events in stored.events.items():
            beside = f"{ref} {message_id}".encode()
            text = decompress(before[f"e:{message_id}".encode()], context=beside)
            assert json.loads(text) == json.loads(to_json(events)), message_id
        if not stored.version:
            continue
        change = CallUpdate(
            record=stored.record, version=stored.version, due_at=stored.record.due_at
        )
        assert await worker.store.calls.commit(change)
        after = await worker.store.redis.hgetall(key)
        beside = ref.encode()
        written = decompress(after[b"rec"], context=beside)
        assert json.loads(decompress(before[b"rec"], context=beside)) == json.loads(written), ref


async def test_messages_are_written_as_before(worker: RestoredWorker) -> None:
    """The head and the body of a raw message are packed from the same bytes."""
    for message_id in EXPECTED["read"]["default"]["messages"]:
        value = await worker.store.redis.get(worker.store.keys.message(message_id))
        message = await worker.store.messages.get(message_id)
        assert value is not None
        assert message is not None
        assert decompress(value.partition(b"\n")[2]) == decompress(pack_message(message)), (
            message_id
        )


async def test_small_records_are_written_as_before(worker: RestoredWorker) -> None:
    """Failed entries, links, outcomes, expected calls and states of subscriptions stay alike."""
    store = worker.store
    before = await capture(store.redis)
    for failed in [entry async for entry in store.failed.select(FailedFilter())]:
        await store.redis.set(store.keys.failed_entry(failed.entry_id), to_text(failed))
    for source, source_call_id, link in [link async for link in store.links.scan()]:
        assert isinstance(link, Link)
        await store.links.put(source, source_call_id, link)
    outcomes = await store.outcomes.load()
    assert outcomes is not None
    await store.outcomes.save(outcomes)
    for slug, state in (await store.upkeep.all()).items():
        await store.upkeep.save(slug, state)
    for expected in await store.expected.newest():
        await store.expected.claim(call(99), expected, number=expected.numbers[0].e164)
        await store.expected.release(call(99))
    after = await capture(store.redis)
    for key, entry in before.items():
        if key.split(":")[2] in {"f", "link", "outcomes", "upkeep"}:
            assert entry["value"] == after[key]["value"], key


async def test_expected_call_is_registered_as_before(worker: RestoredWorker) -> None:
    """Registering the same expected call again changes only its revision and its times."""
    expected = await worker.store.expected.get("130")
    assert expected is not None
    key = worker.store.keys.named("expected:130")
    before = await worker.store.redis.hgetall(key)
    registered = await worker.store.expected.put(
        Expectation(
            buildr_call_id=expected.buildr_call_id,
            numbers=expected.numbers,
            agent=expected.agent,
            direction=expected.direction,
            not_before=expected.not_before,
            not_after=expected.not_after,
            company_id=expected.company_id,
            contact_id=expected.contact_id,
            project_id=expected.project_id,
        )
    )
    after = await worker.store.redis.hgetall(key)
    assert not registered.is_new
    assert before.keys() == after.keys()
    for name in (b"body", b"numbers", b"opens", b"closes"):
        assert before[name] == after[name]


# Going on.


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_all_calls_come_to_the_same_end(account: str, environment: dict[str, str]) -> None:
    """A worker that takes over makes of each call, and of Buildr, what the version before made."""
    async with restored_worker(environment, account, SNAPSHOT) as restored:
        await restored.go_on_with_all()
        expected = EXPECTED["ends"][account]
        assert expected["buildr"] == restored.buildr.calls
        assert expected["calls"] == plain(await ends_of(restored))


async def test_open_call_is_delivered_when_it_ends(worker: RestoredWorker) -> None:
    """A call that rang when the version was replaced gets the outcome of its end."""
    message = twilio_message(ended(1), query="?buildr_call_id=101")
    assert await worker.receive("twilio", message)
    assert "delivered" == await worker.go_on(call(1))
    assert ["786"] == outcomes_of(worker, "101")


async def test_settling_call_is_delivered_after_its_time(worker: RestoredWorker) -> None:
    """A call that waits for further messages is left alone until it is due."""
    assert "settling" == await worker.state(call(2))
    assert "delivered" == await worker.go_on(call(2))
    assert "Connected" == (await worker.stored(call(2))).record.outcome


async def test_link_matches_an_old_unmatched_call(worker: RestoredWorker) -> None:
    """A link that comes now wakes a call that was unmatched, and its ids are sent along."""
    link = Link(buildr_call_id="103", project_id="73")
    assert (True, True) == await worker.store.links.put("twilio", call(3)[7:], link)
    assert "delivered" == await worker.go_on(call(3))
    assert "73" == worker.buildr.calls["103"]["project_id"]
    assert call(3).encode() not in await worker.store.redis.zrange("bc:default:unmatched", 0, -1)


async def test_expected_call_matches_an_old_unmatched_call(worker: RestoredWorker) -> None:
    """An expected call that is registered now is found by the numbers of an old call."""
    number = Number("+15005550103")
    not_before = PRESENT - timedelta(days=2)
    registered = await worker.store.expected.put(
        Expectation(buildr_call_id="103", numbers=(number,), not_before=not_before)
    )
    assert 1 == registered.woken
    assert "delivered" == await worker.go_on(call(3))
    claimed = await worker.store.expected.get("103")
    assert claimed is not None
    assert call(3) == claimed.claimed_by


async def test_removed_expected_call_leaves_the_other_one(worker: RestoredWorker) -> None:
    """Of two old expected calls that fit equally well, the one that stays is chosen."""
    assert await worker.store.expected.remove("1041")
    assert "delivered" == await worker.go_on(call(4))
    assert ["786"] == outcomes_of(worker, "1042")


async def test_link_settles_an_old_conflict(worker: RestoredWorker) -> None:
    """A call whose messages name two Buildr calls goes to the one that a link names."""
    await worker.store.links.put("twilio", call(32)[7:], Link(buildr_call_id="133"))
    assert "delivered" == await worker.go_on(call(32))
    assert [] == outcomes_of(worker, "132")
    assert ["790"] == outcomes_of(worker, "133")


async def test_claim_of_a_waiting_call_holds(worker: RestoredWorker) -> None:
    """A call that waits for budget with an expected call that it has claimed is written to it."""
    assert "delivered" == await worker.go_on(call(26))
    assert ["789"] == outcomes_of(worker, "126")


async def test_new_replay_request_is_followed(worker: RestoredWorker) -> None:
    """A forced replay that no job has read writes a delivered call again, and is then gone."""
    assert (await worker.stored(call(10))).replay_request is not None
    assert "delivered" == await worker.go_on(call(10))
    stored = await worker.stored(call(10))
    assert (None, None) == (stored.replay_request, stored.record.replay_request)
    assert ["786"] == outcomes_of(worker, "110")


async def test_replay_request_that_a_job_has_read_is_followed(worker: RestoredWorker) -> None:
    """A call in the lane for old calls is read first, and not written if its outcome was edited."""
    request = (await worker.stored(call(9))).record.replay_request
    assert request is not None
    assert Lane.BACKFILL is request.lane
    worker.buildr.calls["109"]["call_outcome_id"] = "788"
    assert "hand_edited" == await worker.go_on(call(9))
    assert [] == worker.buildr.written_to("109")


async def test_failed_call_is_replayed(worker: RestoredWorker) -> None:
    """A call that Buildr refused is delivered by a replay from its raw messages."""
    store = worker.store
    entry = await store.failed.get(call(18))
    assert entry is not None
    request = ReplayRequest(lane=Lane.REPLAY, at=worker.clock())
    ids = list(entry.message_ids)
    assert 4 == await store.failed.replay(
        entry, ref=call(18), message_ids=ids, replay_request=request
    )
    assert "delivered" == await worker.go_on(call(18))
    assert await store.failed.get(call(18)) is None
    assert ["786"] == outcomes_of(worker, "118")


async def test_link_reopens_an_old_failed_call(worker: RestoredWorker) -> None:
    """A call that failed at one Buildr call is written to the one that its link names now."""
    await worker.store.links.put("twilio", call(30)[7:], Link(buildr_call_id="130"))
    assert "delivered" == await worker.go_on(call(30))
    assert await worker.store.failed.get(call(30)) is None


async def test_outcome_that_exists_now_is_written(worker: RestoredWorker) -> None:
    """A call that failed for an unknown outcome is delivered once the account has it."""
    names = (*OUTCOMES, ("Wrong Number", "799"))
    await worker.store.outcomes.save(StoredOutcomes(names=names, read_at=worker.clock()))
    assert await worker.store.calls.request_replay(
        call(19), ReplayRequest(lane=Lane.REPLAY, at=worker.clock())
    )
    assert "delivered" == await worker.go_on(call(19))
    assert ["799"] == outcomes_of(worker, "119")


async def test_hand_edited_call_is_written_only_by_force(worker: RestoredWorker) -> None:
    """A replay does not write over an outcome that was edited in Buildr; a forced one does."""
    store = worker.store
    assert await store.calls.request_replay(
        call(22), ReplayRequest(lane=Lane.REPLAY, at=worker.clock())
    )
    assert "hand_edited" == await worker.go_on(call(22))
    forced = ReplayRequest(lane=Lane.REPLAY, at=worker.clock(), is_forced=True)
    assert await store.calls.request_replay(call(22), forced)
    assert "delivered" == await worker.go_on(call(22))
    assert "787" == worker.buildr.calls["122"]["call_outcome_id"]


async def test_stalled_call_is_delivered_when_its_end_comes(worker: RestoredWorker) -> None:
    """A call that was reported as stalled leaves that list with its final event."""
    message = twilio_message(ended(21, "busy"), query="?buildr_call_id=121")
    assert await worker.receive("twilio", message)
    assert "delivered" == await worker.go_on(call(21))
    assert [] == await worker.store.redis.zrange("bc:default:stalled", 0, -1)


async def test_unread_messages_are_read(worker: RestoredWorker) -> None:
    """Messages that no worker had read make a new call, and end a known one."""
    assert "delivered" == await worker.go_on(call(27))
    assert "delivered" == await worker.go_on(call(28))
    assert (0, None) == await worker.store.messages.waiting()


async def test_outcome_in_doubt_is_written_again(worker: RestoredWorker) -> None:
    """A write whose answer was lost is made once more, though Buildr may hold it."""
    assert {"113": ("786",)} == (await worker.stored(call(13))).record.in_doubt
    assert "delivered" == await worker.go_on(call(13))
    assert ["786"] == outcomes_of(worker, "113")
    assert {} == (await worker.stored(call(13))).record.in_doubt


async def test_call_of_a_dead_worker_is_taken_over(worker: RestoredWorker) -> None:
    """The sweep takes over the call of the worker that died, not that of the one that is alive."""
    swept = await worker.store.schedule.sweep(in_progress_s=in_progress_s(worker.settings))
    assert (0, 1) == (swept.healed, swept.taken_over)
    running = await worker.store.redis.hgetall(worker.store.keys.named("running"))
    assert {call(28).encode(): LIVE_WORKER.encode()} == running
    maps = await worker.store.redis.hgetall(worker.store.keys.named("maps"))
    assert DEAD_WORKER.encode() not in maps
    assert "delivered" == await worker.go_on(call(14))
    assert ["790"] == outcomes_of(worker, "114")


async def test_call_that_waits_for_outcomes_is_woken(worker: RestoredWorker) -> None:
    """A call that waited for the account's outcomes goes on once they have been read."""
    await worker.store.schedule.wake_named()
    assert "delivered" == await worker.go_on(call(12))


async def test_old_note_is_replaced(worker: RestoredWorker) -> None:
    """A better result replaces the note that the version before wrote; others' text stays."""
    await worker.receive("twilio", twilio_message(detected(15)))
    assert "delivered" == await worker.go_on(call(15))
    expected = "Asked for a quote.\n\nleft_voicemail (outbound), 0 min 42 s"
    assert expected == worker.buildr.calls["115"]["notes"]


async def test_repeated_message_is_recognised(worker: RestoredWorker) -> None:
    """A message that was kept before is a repeat, by itself or by the key that is kept longer."""
    messages = EXPECTED["read"]["default"]["messages"]
    old = await worker.store.messages.get_many(list(messages))
    repeats = [message for message in old.values() if message.source_call_id is not None]
    assert not any([await worker.inbox.accept(message) for message in repeats])
    (seen,) = [key for key in SNAPSHOT["keys"] if key.startswith("bc:default:seen:")]
    message = old[seen.removeprefix("bc:default:seen:")]
    await worker.store.redis.delete(worker.store.keys.message(message.message_id))
    assert not await worker.inbox.accept(message)


async def test_unmatched_call_is_forgotten(worker: RestoredWorker) -> None:
    """An unmatched call whose time is over is dropped, with the index of its number."""
    store = worker.store
    dropped = await store.schedule.forget_old(before_ms=int(PRESENT.timestamp() * 1000))
    assert 4 == len(dropped)
    # A link has come for this one, and no job has looked at it since.
    assert call(5) not in dropped
    assert await store.calls.get(call(3)) is None
    assert 0 == await store.redis.zcard(store.keys.named("unmatched:+15005550103"))


# Budget and outage.


async def test_block_of_buildr_is_kept_to(limited: RestoredWorker) -> None:
    """After a 429 nothing is sent until the time that Buildr named, and then with less budget."""
    grant = await limited.store.permits.ask(
        call(71), lane=Lane.FINAL, since=limited.clock(), cost=2, hold_s=HOLD_S
    )
    assert GrantStatus.WAITS is grant.verdict
    assert 25 < grant.wait_s < 27
    assert 0 == (await limited.store.permits.pump()).released
    assert "delivered" == await limited.go_on(call(71))
    assert limited.clock() > PRESENT + timedelta(seconds=20)
    backlog = await read_backlog(limited.store.redis, limited.store.keys)
    assert 5 == backlog.allowance


async def test_outage_ends_with_the_probe(outage: RestoredWorker) -> None:
    """While one call looks whether Buildr is back the others wait; its success lets all go."""
    store = outage.store
    other = await store.permits.ask(
        call(61), lane=Lane.FINAL, since=outage.clock(), cost=2, hold_s=HOLD_S
    )
    assert (GrantStatus.WAITS, True) == (other.verdict, other.is_away)
    assert 0 == (await store.permits.pump()).released
    assert "delivered" == await outage.go_on(call(63))
    assert (await read_backlog(store.redis, store.keys)).outage is None
    assert "delivered" == await outage.go_on(call(61))
    assert "delivered" == await outage.go_on(call(62))


async def test_outage_goes_on_when_the_probe_fails(outage: RestoredWorker) -> None:
    """A probe that fails keeps the breaker open, since the same time."""
    before = (await read_backlog(outage.store.redis, outage.store.keys)).outage
    outage.buildr.faults = {"163": ["503"]}
    await outage.run(call(63))
    after = (await read_backlog(outage.store.redis, outage.store.keys)).outage
    assert before is not None
    assert after is not None
    assert (before.since, before.cause) == (after.since, after.cause)
    assert "waiting" == await outage.state(call(63))


async def test_locks_of_the_version_before_hold(worker: RestoredWorker) -> None:
    """A lock that another process holds is refused until its owner gives it back."""
    store = worker.store
    assert not await store.tokens.lock(30)
    await Tokens(store.redis, store.keys, store.scripts, owner=TOKEN_OWNER).unlock()
    assert await store.tokens.lock(30)
    assert not await store.upkeep.lock("ringcentral", ttl_s=30)
    await Upkeep(store.redis, store.keys, store.scripts, owner=UPKEEP_OWNER).unlock("ringcentral")
    assert await store.upkeep.lock("ringcentral", ttl_s=30)


async def test_counters_and_activity_go_on(worker: RestoredWorker) -> None:
    """Counters, hours and last messages are added to, and silence ends once."""
    store = worker.store
    hours = await store.source_activity.hours("twilio")
    assert await worker.receive("twilio", twilio_message(ended(80)))
    this_hour = int(worker.clock().timestamp()) // 3600
    assert {**hours, this_hour: hours.get(this_hour, 0) + 1} == await store.source_activity.hours(
        "twilio"
    )
    assert worker.clock() - (await store.source_activity.last())["message", "twilio"] < timedelta(
        seconds=5
    )
    await worker.inbox.notes.note_ignored("aircall")
    assert 2 == (await store.counters.all())["ignored:aircall"]
    assert await store.source_activity.clear_silent("zoom")
    assert not await store.source_activity.clear_silent("zoom")


# Scripts.


async def test_every_script_works_on_old_records(worker: RestoredWorker) -> None:
    """Each Lua script is run at least once on what the version before wrote."""
    store = worker.store
    await store.pool.script_flush()
    await _run_scripts_of_messages(worker)
    await _run_scripts_of_calls(worker)
    await _run_scripts_of_expected_calls(store)
    await _run_scripts_of_permits(worker)
    await _run_scripts_of_phone_book(store)
    names = sorted({path.stem for path in SCRIPTS.glob("*.lua")} - SHARED)
    names = [name for name in names if not name.startswith(NEW_RECORDS)]
    loaded = await store.pool.script_exists(*(digest_of(name) for name in names))
    assert [] == [name for name, is_run in zip(names, loaded, strict=True) if not is_run]


async def _run_scripts_of_messages(worker: RestoredWorker) -> None:
    """accept, accept_many, backfill, keep_failed, discard, replay."""
    store = worker.store
    await _run_backfill(worker)
    assert await worker.receive("twilio", twilio_message(ended(81)))
    old = await store.messages.get("m000000000000000000000001")
    assert old is not None
    repeat = replace(old, source_call_id="CA81")
    assert not any(await asyncio.gather(worker.inbox.accept(repeat), worker.inbox.accept(repeat)))
    assert not await worker.inbox.keep_failed(
        old, cause=FailureCause.MALFORMED_PAYLOAD, detail="again"
    )
    new: Message = replace(old, message_id="m000000000000000000000003")
    assert await worker.inbox.keep_failed(new, cause=FailureCause.MALFORMED_PAYLOAD, detail="anew")
    entry = await store.failed.get("m000000000000000000000001")
    assert entry is not None
    assert await store.failed.discard(entry)
    assert not await store.failed.discard(entry)
    failed_call = await store.failed.get(call(20))
    assert failed_call is not None
    request = ReplayRequest(lane=Lane.REPLAY, at=worker.clock())
    ids = list(failed_call.message_ids)
    assert 2 == await store.failed.replay(
        failed_call, ref=call(20), message_ids=ids, replay_request=request
    )
    assert None is await store.failed.replay(
        failed_call, ref=call(20), message_ids=[], replay_request=request
    )


async def _run_backfill(worker: RestoredWorker) -> None:
    """A message that a back-fill made, of a call that is stored; a second time it is known."""
    store = worker.store
    old = await store.messages.get("m000000000000000000000001")
    assert old is not None
    message = replace(old, message_id="m000000000000000000000009")
    request = ReplayRequest(lane=Lane.BACKFILL, at=worker.clock())
    for expected in (WriteResult.WRITTEN, WriteResult.KNOWN):
        loaded = await store.calls.load(call(24))
        assert expected is await store.backfill.write(
            call(24), loaded, [message], replay_request=request
        )


async def _run_scripts_of_calls(worker: RestoredWorker) -> None:
    """commit, mark, link, wake, clear, named, forget, rearm, sweep, erase, and the worker's."""
    store = worker.store
    await _run_index(store)
    request = ReplayRequest(lane=Lane.BACKFILL, at=worker.clock())
    assert await store.calls.request_replay(call(24), request)
    assert not await store.calls.request_replay(call(99), request)
    link = Link(buildr_call_id="116")
    assert (False, True) == await store.links.put("twilio", call(16)[7:], link)
    await store.schedule.wake(call(3))
    await store.schedule.clear(call(99))
    await store.schedule.wake_named()
    await store.schedule.forget_old(before_ms=int(PRESENT.timestamp() * 1000))
    swept = await store.schedule.sweep(in_progress_s=in_progress_s(worker.settings))
    # One of a dead worker; on a slow machine also the job that was taken above and not begun.
    assert swept.taken_over in (1, 2)
    due = await store.redis.zrange(store.keys.named("due"), 0, -1)
    assert {call(number).encode() for number in (3, 12, 14, 16, 20, 24, 81)} <= set(due)
    # Runs commit and rearm.
    await worker.run(call(3))
    erased = await store.erasure.erase(call(16))
    assert erased is not None
    assert (1, 1) == (erased.calls, erased.links)
    assert await store.calls.get(call(16)) is None
    assert not (await store.workers.beat("worker-1", map_digest="d")).is_full
    assert (await store.time()).year > 2000
    await store.schedule.postpone(call(99), at=worker.clock())
    await store.schedule.postpone_broken(call(99))
    assert await store.phone_book.lock(ttl_s=30)
    taken = await store.schedule.take(limit=1, read_limit=10, in_progress_s=1)
    assert [] == taken.foreign_ids
    await store.calls.set_aside(
        Failed(
            entry_id=call(98),
            kind="call",
            source="twilio",
            source_call_id=call(98)[7:],
            cause=FailureCause.DAMAGED_RECORD,
            detail="damaged",
            failed_at=worker.clock(),
        )
    )


async def _run_index(store: Store) -> None:
    """Calls of a version without an index are found by their customer's number."""
    indexer = CallIndexer(store=store, worker_id="worker-1", default_region="US")
    while not indexer.is_done:
        await indexer.index_old()
    page = await store.listing.page(CallQuery(number="+15005550006"), limit=200)
    assert call(3) in [listed.ref for listed in page.calls]
    for part in (call(3)[:-1], call(3)[-6:], call(3)[9:-1]):
        assert call(3) in await store.listing.find(part, sources=SOURCES)
    # A call that has expired under a version without an index of names.
    await store.redis.hset(store.keys.call("twilio:CA404"), "v", 1)
    await store.listing.ids.add(["twilio:CA404"])
    await store.redis.delete(store.keys.call("twilio:CA404"))
    assert await store.indexing.drop_expired_ids(first=None) is None
    names, _ = await store.listing.ids.next_page(None)
    assert "twilio:CA404" not in names
    assert call(3) in names


async def _run_scripts_of_expected_calls(store: Store) -> None:
    """expect, expected, claim."""
    candidates = (
        await store.expected.read_candidates(
            call(90), ["+15005550104"], at=PRESENT - timedelta(hours=1)
        )
    ).candidates
    assert {"1041", "1042"} == {expected.buildr_call_id for expected in candidates}
    chosen = candidates[0]
    assert await store.expected.claim(call(90), chosen, number="+15005550104")
    assert not await store.expected.claim(call(91), chosen, number="+15005550104")
    assert await store.expected.take(call(92), "125")
    await store.expected.release(call(90))
    assert await store.expected.remove("130")
    assert not await store.expected.remove("130")


async def _run_scripts_of_phone_book(store: Store) -> None:
    """phone_book_put, phone_book_count, phone_book_remove, phone_book_sweep."""
    book = store.phone_book
    assert PhoneBookCounts() == await book.count()
    entries = [PhoneBookEntry(number="+15005550104", contact_id=str(number)) for number in (1, 2)]
    assert 2 == await book.put(entries)
    assert 1 == await book.remove("+15005550104", contact_id="1")
    assert 1 == await book.sweep(await book.begin())


async def _run_scripts_of_permits(worker: RestoredWorker) -> None:
    """grant, renew, release, pump."""
    permits = worker.store.permits
    await worker.advance(60)
    # The head of the lanes gets its permits ahead of those who ask only now.
    since = worker.clock()
    late = await permits.ask(call(95), lane=Lane.FINAL, since=since, cost=2, hold_s=HOLD_S)
    assert GrantStatus.WAITS is late.verdict
    pumped = await permits.pump()
    assert (5, 2) == (pumped.released, pumped.waiting)
    grant = await permits.ask(call(6), lane=Lane.FINAL, since=since, cost=2, hold_s=HOLD_S)
    assert GrantStatus.GRANTED is grant.verdict
    assert 0 < await permits.renew(grant, answered=1, hold_s=HOLD_S)
    state = await permits.release(grant, sent=2, signal=HealthSignal.FINE)
    assert (0, False) == (state.blocked_s, state.is_open)


def outcomes_of(worker: RestoredWorker, buildr_call_id: str) -> list[str]:
    """The ids of the outcomes that were written to a Buildr call, in order."""
    updates = worker.buildr.written_to(buildr_call_id)
    return [fields["call_outcome_id"] for fields in updates if "call_outcome_id" in fields]
