"""
`buildr-calls forget`: after it nothing of the number is stored, and all else is.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from service.phone_numbers import Number
from service.settings import Settings
from service.store.compression import decompress
from service.store.connection import Store, open_store
from service.store.expectations import Expectation
from service.store.links import Link
from service.store.phone_book import PhoneBookEntry
from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli import forget as module
from workers.cli.number_search import number_matcher

NUMBER = "+15005550001"
DIGITS = "5005550001"
OTHER_NUMBER = "+15005550009"
InStore = Callable[[Callable[[Store], Awaitable[object]]], object]


@pytest.fixture
def in_store(redis_url: str, make_settings: Callable[..., Settings]) -> InStore:
    """Do something with the test's store."""

    def run(work: Callable[[Store], Awaitable[object]]) -> object:
        async def opened() -> object:
            async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
                return await work(store)

        return asyncio.run(opened())

    return run


@pytest.fixture
def stored(seed: Seed, in_store: InStore) -> None:
    """Calls of a number in all forms, and the call of another one."""
    seed(ended("CA1"), query="buildr_call_id=110")
    seed(ended("CA2"))
    seed(ended("CA9") | {"To": OTHER_NUMBER}, query="buildr_call_id=119")
    seed(ended("CA3"), is_unreadable=True)

    async def add(store: Store) -> None:
        await store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
        await store.links.put("standard", DIGITS, Link(buildr_call_id="113"))
        await store.links.put("twilio", "CA9", Link(buildr_call_id="119"))
        for call_id, number in (("111", NUMBER), ("118", OTHER_NUMBER)):
            await store.expected.put(
                Expectation(buildr_call_id=call_id, numbers=(Number(e164=number),))
            )
        entries = [
            PhoneBookEntry(number=number, contact_id="1") for number in (NUMBER, OTHER_NUMBER)
        ]
        await store.phone_book.put(entries)
        await _end_jobs(store)

    in_store(add)


async def _end_jobs(store: Store) -> None:
    """What arq's hook does after a job, which here is run without arq."""
    await store.redis.delete(store.keys.named("running"))


async def _dump(store: Store) -> str:
    """Every key and every value as text, but for the clock, which scripts write as time passes."""
    parts = []
    names = [key.decode() async for key in store.redis.scan_iter(match="*", count=1000)]
    for name in sorted({*names} - {store.keys.named("clock")}):
        parts.append(name)
        parts.append(repr(await store.pool.dump(name)))
        if await store.pool.type(name) == b"string":
            value = await store.redis.get(name) or b""
            parts.append(decompress(value.partition(b"\n")[2]).decode("utf-8", "replace"))
            parts.append(value.decode("utf-8", "replace"))
    return "\n".join(parts)


@pytest.mark.usefixtures("stored")
def test_nothing_of_a_number_is_left_and_all_else_is(run: Run, in_store: InStore) -> None:
    """Calls, messages, failed entries, links, expected calls and the phone book."""
    result = run("forget", "(500) 555-0001", "--yes", "--json")
    report = json.loads(result.stdout)
    assert {
        "subject": "+1••••••••01",
        "is_dry_run": False,
        "calls": ["standard:5005550001", "twilio:CA1", "twilio:CA2"],
        "expected_calls": ["111"],
        "phone_book_entries": 1,
        "messages_without_call": 1,
        "messages": 3,
        "failed": 1,
        "links": 2,
        "still_running": [],
        "unreadable": {"calls": [], "expected_calls": [], "messages": 0},
    } == report
    audit = json.loads(result.stderr)
    assert ("data.forgotten", "+1••••••••01", 2) == (
        audit["event"],
        audit["subject"],
        audit["calls"],
    )
    assert DIGITS not in str(in_store(_dump))
    left = [call["ref"] for call in json.loads(run("unmatched", "list", "--json").stdout)]
    assert [] == left
    assert "119" in run("links", "get", "twilio", "CA9").stdout
    assert "twilio:CA9" in run("explain", "twilio:CA9").stdout
    assert ["118"] == [
        entry["buildr_call_id"] for entry in json.loads(run("expected", "list", "--json").stdout)
    ]
    run("phonebook", "show", OTHER_NUMBER)
    assert "nothing is stored" in run("forget", NUMBER, "--yes", code=1).stderr


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("field", ["body", "opens", "numbers"])
def test_a_damaged_expected_call_of_the_number_is_forgotten_too(
    run: Run, in_store: InStore, field: str
) -> None:
    """It was registered for the number, whatever can be read of it."""

    async def damage(store: Store) -> None:
        await store.redis.hset(store.keys.named("expected:111"), field, "damaged")

    in_store(damage)
    result = run("forget", NUMBER, "--yes", "--json")
    report = json.loads(result.stdout)
    assert (["111"], []) == (report["expected_calls"], report["unreadable"]["expected_calls"])
    assert 1 == len(result.stderr.splitlines())
    assert DIGITS not in str(in_store(_dump))
    assert "118" in run("expected", "list", "--json").stdout


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("is_another_type", [True, False])
def test_what_cannot_be_read_is_named(
    run: Run, in_store: InStore, seed: Seed, is_another_type: bool
) -> None:
    """Nobody can say whose it is: one line says how to take it away, and all else is forgotten."""
    seed(ended("CA8") | {"To": OTHER_NUMBER}, query="buildr_call_id=118")

    async def damage(store: Store) -> None:
        (message_id, *_) = (await store.calls.load("twilio:CA9")).stored.events
        await store.redis.set(store.keys.message(message_id), b"twilio:CA9\n\x01damaged")
        if is_another_type:
            await store.redis.set(store.keys.named("expected:118"), b"damaged")
            await store.redis.set(store.keys.call("twilio:CA8"), b"damaged")
        else:
            await store.redis.hset(store.keys.named("expected:118"), "body", "damaged")
            await store.redis.hset(store.keys.call("twilio:CA8"), "rec", b"\x01damaged")
        await _end_jobs(store)

    in_store(damage)
    note = (
        "cannot be read, and may be of the number: "
        "1 expected call, take away: buildr-calls expected rm 118; "
        "1 call, forget: buildr-calls forget twilio:CA8; "
        "1 raw message, deleted by KEEP_MESSAGES_D or KEEP_FAILED_D\n"
    )
    assert note == run("forget", NUMBER, "--dry-run").stderr
    result = run("forget", NUMBER, "--yes", "--json")
    assert result.stderr.startswith(note)
    assert {"calls": ["twilio:CA8"], "expected_calls": ["118"], "messages": 1} == json.loads(
        result.stdout
    )["unreadable"]
    assert 3 == json.loads(result.stderr.splitlines()[1])["unreadable"]
    again = run("forget", NUMBER, "--yes", code=1).stderr
    assert again.startswith(note)
    assert "nothing is stored" in again
    run("expected", "rm", "118")
    run("forget", "twilio:CA8", "--yes")
    run("forget", "twilio:CA9", "--yes")
    assert "nothing is stored" in run("forget", NUMBER, "--yes", code=1).stderr.splitlines()[0]


@pytest.mark.usefixtures("stored")
def test_dry_run_and_a_refusal_delete_nothing(run: Run, in_store: InStore) -> None:
    """It says what there is; without an answer, or with no place to ask, it does nothing."""
    before = in_store(_dump)
    shown = run("forget", NUMBER, "--dry-run").stdout
    assert "would delete" in shown
    assert "twilio:CA1" in shown
    assert "Buildr" in shown
    run("forget", NUMBER, code=1)
    run("forget", NUMBER, "--json", code=2)
    run("forget", "ana", code=2)
    assert before == in_store(_dump)


@pytest.mark.usefixtures("stored")
def test_one_call_is_forgotten_and_a_repeat_of_its_message_is_no_new_one(
    run: Run, seed: Seed, in_store: InStore
) -> None:
    """A vendor that sends again does not bring the call back; others of the number stay."""
    assert 1 == json.loads(run("forget", "twilio:CA1", "--yes", "--json").stdout)["messages"]
    seed(ended("CA1"), query="buildr_call_id=110")
    assert "nothing is known" in run("explain", "twilio:CA1", code=1).stderr
    run("explain", "twilio:CA2")


@pytest.mark.usefixtures("stored")
def test_call_that_a_worker_runs_is_left_and_named(
    run: Run, in_store: InStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job would write the call anew: it is deleted when the command is run again."""
    monkeypatch.setattr(module, "WAIT_S", 0.0)

    async def begin(store: Store) -> None:
        await store.calls.begin("twilio:CA1", worker_id="w1")

    in_store(begin)
    result = run("forget", NUMBER, "--yes", code=1)
    assert "run the command again" in result.stderr
    assert "twilio:CA1 (a worker is at it)" in result.stdout
    run("explain", "twilio:CA1")
    in_store(_end_jobs)
    run("forget", NUMBER, "--yes")
    assert DIGITS not in str(in_store(_dump))


@pytest.mark.parametrize(
    "text",
    [
        "From=%2B15005550001&To=x",
        '"from": "+15005550001"',
        "5005550001",
        "(500) 555-0001",
        "1-500-555-0001",
        "0015005550001",
        "sip:+15005550001@pbx.example.com",
        "%28500%29+555-0001",
        "500\u00a0555\u20130001",
    ],
)
def test_number_is_found_in_every_writing(text: str) -> None:
    """Vendors write numbers in many ways."""
    assert number_matcher(NUMBER)(text)


@pytest.mark.parametrize(
    "text", ["15005550002", "915005550001", "50055500012", "CA5005550001999", "500 555 000 99"]
)
def test_other_digits_are_another_number(text: str) -> None:
    """A part of longer digits is no number."""
    assert not number_matcher(NUMBER)(text)


def test_number_with_a_leading_zero_at_home_is_found() -> None:
    """As it is dialled within its country."""
    matches = number_matcher("+4917012345678")
    assert matches("0170 12345678")
    assert matches("+49 (0)170 / 1234 5678")
