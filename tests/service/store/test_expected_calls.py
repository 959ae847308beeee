"""
Expected calls in Redis: registered, found, claimed by one call at a time, and gone by themselves.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from service.events import Direction
from service.phone_numbers import Number
from service.store.connection import Store
from service.store.expectations import Expectation, ExpectedCall, to_ms
from service.store.expected_calls import MAX_CANDIDATES, MAX_PER_NUMBER, ExpectedCalls, WrongWindow
from service.store.links import Link
from service.store.script_runner import Scripts

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CUSTOMER = "+15005550001"
OTHER = "+15005550002"
REF = "twilio:CA1"


@pytest.fixture
def expected(store: Store) -> ExpectedCalls:
    """Expected calls with a window of four hours, kept for ninety days."""
    return ExpectedCalls(store.redis, store.keys, store.scripts, 90 * DAY_MS, 4 * HOUR_MS)


def expectation(
    buildr_call_id: str = "110",
    *numbers: str,
    agent: str | None = None,
    direction: Direction | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    company_id: str | None = None,
    contact_id: str | None = None,
    project_id: str | None = None,
) -> Expectation:
    """A Buildr call that will be a call with the customer, unless numbers are given."""
    return Expectation(
        buildr_call_id=buildr_call_id,
        numbers=tuple(map(Number, numbers or (CUSTOMER,))),
        agent=agent,
        direction=direction,
        not_before=not_before,
        not_after=not_after,
        company_id=company_id,
        contact_id=contact_id,
        project_id=project_id,
    )


async def ids(
    expected: ExpectedCalls, *numbers: str, ref: str = REF, at: datetime | None = None
) -> set[str]:
    """The Buildr calls that are candidates."""
    read = await expected.read_candidates(ref, numbers or (CUSTOMER,), at=at)
    return {entry.buildr_call_id for entry in read.candidates}


async def register(expected: ExpectedCalls, *expectations: Expectation) -> list[ExpectedCall]:
    """Register several."""
    return [(await expected.put(item)).expected for item in expectations]


async def wait_unmatched(store: Store, ref: str, *numbers: str, at: datetime | None = None) -> None:
    """What the commit of an unmatched call writes down."""
    for number in numbers or (CUSTOMER,):
        await store.redis.zadd(
            store.keys.named(f"unmatched:{number}"), {ref: to_ms(at or datetime.now(UTC))}
        )


async def woken(store: Store) -> set[str]:
    """The calls that have an alarm; their alarms are taken away."""
    refs = {ref.decode() for ref in await store.redis.zrange(store.keys.named("due"), 0, -1)}
    await store.redis.delete(store.keys.named("due"))
    return refs


async def test_what_is_registered_is_found_by_each_number(expected: ExpectedCalls) -> None:
    """
    An entry is kept whole, has the usual window, and is found by each of its numbers and no other.
    """
    full = expectation(
        "110",
        CUSTOMER,
        OTHER,
        agent="ana",
        direction=Direction.OUTBOUND,
        company_id="1",
        contact_id="2",
        project_id="3",
    )
    done = await expected.put(full)
    assert (True, 0) == (done.is_new, done.woken)
    entry = await expected.get("110")
    assert done.expected == entry is not None
    assert (
        Link(buildr_call_id="110", company_id="1", contact_id="2", project_id="3")
        == entry.as_link()
    )
    assert (timedelta(minutes=15), timedelta(hours=4)) == (
        entry.registered_at - entry.opens_at,
        entry.closes_at - entry.registered_at,
    )
    assert entry.registered_at == entry.expected_at
    for number in (CUSTOMER, OTHER):
        assert (entry,) == (await expected.read_candidates(REF, [number])).candidates
    assert (entry,) == (await expected.read_candidates(REF, [CUSTOMER, OTHER])).candidates
    assert () == (await expected.read_candidates(REF, ["+15005550003"])).candidates
    assert () == (await expected.read_candidates(REF, [])).candidates


async def test_same_buildr_call_again_replaces_its_entry(expected: ExpectedCalls) -> None:
    """There is one entry per Buildr call, the last one, with the numbers that it names."""
    first, second = await register(expected, expectation("110"), expectation("110", OTHER))
    assert first.revision < second.revision
    assert set() == await ids(expected)
    assert {"110"} == await ids(expected, OTHER)
    assert [second] == await expected.newest()
    assert not (await expected.put(expectation("110"))).is_new


async def test_list_begins_with_the_window_that_ends_last(expected: ExpectedCalls) -> None:
    """The newest entries come first, and only as many as are asked for."""
    now = datetime.now(UTC)
    await register(
        expected,
        *(expectation(str(hour), not_after=now + timedelta(hours=hour)) for hour in (2, 3, 1)),
    )
    assert ["3", "2"] == [entry.buildr_call_id for entry in await expected.newest(limit=2)]


async def test_window_may_be_stated(expected: ExpectedCalls) -> None:
    """
    A beginning that lies ahead moves the end that is not stated, and is the moment at which the
    call is expected.
    """
    tomorrow = datetime.now(UTC).replace(microsecond=123_456) + timedelta(days=1)
    (entry,) = await register(expected, expectation(not_before=tomorrow))
    assert tomorrow == entry.expected_at
    assert timedelta(0) <= tomorrow - entry.opens_at < timedelta(milliseconds=1)
    assert timedelta(hours=4) == entry.closes_at - entry.opens_at


@pytest.mark.parametrize(
    ("opens_h", "closes_h", "fault"),
    [
        (1, 1, "later than"),
        (None, -1, "later than"),
        (-100 * 24, -99 * 24, "long ago"),
        (1, 32 * 24, "31 days"),
        (-30 * 24, 48, "at most 31"),
    ],
)
async def test_window_that_cannot_be_is_refused(
    expected: ExpectedCalls, opens_h: int | None, closes_h: int, fault: str
) -> None:
    """A wrong window says what to change and leaves an earlier entry as it was."""
    now = datetime.now(UTC)
    (before,) = await register(expected, expectation())
    opens = None
    if opens_h is not None:
        opens = now + timedelta(hours=opens_h)
    with pytest.raises(WrongWindow, match=fault):
        await expected.put(
            expectation("110", OTHER, not_before=opens, not_after=now + timedelta(hours=closes_h))
        )
    assert [before] == await expected.newest()
    assert {"110"} == await ids(expected)


async def test_entry_is_claimed_by_one_of_many(expected: ExpectedCalls) -> None:
    """
    Of many calls that claim an entry at the same time exactly one gets it, and it gets it again
    whenever it asks.
    """
    (entry,) = await register(expected, expectation())
    refs = [f"twilio:CA{place}" for place in range(40)]
    won = await asyncio.gather(*(expected.claim(ref, entry, number=CUSTOMER) for ref in refs))
    assert 1 == sum(won)
    winner = refs[won.index(True)]
    assert await expected.claim(winner, entry, number=CUSTOMER)
    assert winner == ((await expected.get("110")) or entry).claimed_by
    assert 1 == sum(
        await asyncio.gather(*(expected.claim(ref, entry, number=CUSTOMER) for ref in refs))
    )


async def test_calls_and_entries_pair_off(expected: ExpectedCalls) -> None:
    """
    Many calls that claim many entries at once end as pairs: no call with two entries, no entry with
    two calls.
    """
    entries = await register(expected, *(expectation(str(place)) for place in range(8)))
    refs = [f"twilio:CA{place}" for place in range(8)]
    await asyncio.gather(
        *(expected.claim(ref, entry, number=CUSTOMER) for entry in entries for ref in refs)
    )
    holders = [
        entry.claimed_by for entry in await expected.newest() if entry.claimed_by is not None
    ]
    assert len(holders) == len(set(holders))
    for ref in holders:
        assert [ref] == [
            entry.claimed_by for entry in (await expected.read_candidates(ref, [])).candidates
        ]


async def test_call_has_one_entry_at_a_time(expected: ExpectedCalls) -> None:
    """Claiming another entry frees the first one; releasing frees the last."""
    first, second = await register(expected, expectation("110"), expectation("111"))
    assert await expected.claim(REF, first, number=CUSTOMER)
    assert await expected.claim(REF, second, number=CUSTOMER)
    assert await expected.claim("twilio:CA2", first, number=CUSTOMER)
    await expected.release(REF)
    await expected.release(REF)
    assert await expected.claim("twilio:CA3", second, number=CUSTOMER)


async def test_lost_claim_leaves_the_earlier_one(expected: ExpectedCalls) -> None:
    """A call that fails to get another entry still has its own."""
    first, second = await register(expected, expectation("110"), expectation("111"))
    assert await expected.claim(REF, first, number=CUSTOMER)
    assert await expected.claim("twilio:CA2", second, number=CUSTOMER)
    assert not await expected.claim(REF, second, number=CUSTOMER)
    assert not await expected.claim("twilio:CA3", first, number=CUSTOMER)


async def test_claim_on_what_was_changed_meanwhile_is_lost(expected: ExpectedCalls) -> None:
    """
    An entry that was registered again or removed since it was read is not claimed on old grounds.
    """
    (seen,) = await register(expected, expectation())
    await expected.put(expectation())
    assert not await expected.claim(REF, seen, number=CUSTOMER)
    await expected.remove("110")
    assert not await expected.claim(REF, seen, number=CUSTOMER)


async def test_claim_lives_as_long_as_the_number_is_expected(
    store: Store, expected: ExpectedCalls
) -> None:
    """
    Registering again with the claimed number keeps the claim; with other numbers it ends, and its
    call is looked at again.
    """
    (entry,) = await register(expected, expectation("110", CUSTOMER, OTHER))
    assert await expected.claim(REF, entry, number=CUSTOMER)
    (again,) = await register(expected, expectation("110", CUSTOMER))
    assert (REF, {REF}) == (again.claimed_by, await woken(store))
    (again,) = await register(expected, expectation("110", OTHER))
    assert again.claimed_by is None
    assert {REF} == await woken(store)
    assert () == (await expected.read_candidates(REF, [])).candidates


# `key` stands for a key of another type.
DAMAGED = ["body", "registered", "rev", "opens", "closes", "numbers", "key"]


async def damage(store: Store, field: str, *, value: bytes = b"damaged") -> None:
    """Make the entry of Buildr call 110 unreadable."""
    key = store.keys.named("expected:110")
    if field == "key":
        await store.redis.set(key, value)
    else:
        await store.redis.hset(key, field, value)


@pytest.mark.parametrize("field", DAMAGED)
@pytest.mark.parametrize("end", ["removed", "replaced", "taken", "released", "erased"])
async def test_a_damaged_entry_is_in_no_ones_way(
    store: Store, expected: ExpectedCalls, field: str, end: str
) -> None:
    """Whatever becomes of it: it can be removed and registered anew, and its call goes on."""
    first, second = await register(expected, expectation("110"), expectation("111"))
    assert await expected.claim(REF, first, number=CUSTOMER)
    await woken(store)
    await damage(store, field)
    if end == "removed":
        assert await expected.remove("110")
        assert not await expected.is_kept("110")
        # What a key of another type was claimed by is not known.
        assert (set() if field == "key" else {REF}) == await woken(store)
    elif end == "replaced":
        assert not (await expected.put(expectation("110"))).is_new
        assert {"110", "111"} == await ids(expected, ref="twilio:CA3")
    elif end == "taken":
        await expected.take("twilio:CA2", "110")
    elif end == "released":
        await expected.release(REF)
    else:
        assert await store.erasure.erase(REF) is not None
    assert await expected.claim("twilio:CA3", second, number=CUSTOMER)


@pytest.mark.parametrize("field", ["opens", "closes"])
@pytest.mark.parametrize("value", [b"damaged", b"", b"nan", b"0x1", b"(1", b"\xff", b"1 2"])
async def test_calls_that_wait_are_woken_by_a_damaged_window(
    store: Store, expected: ExpectedCalls, field: str, value: bytes
) -> None:
    """When its entry goes: those are the calls that it may have kept waiting."""
    await wait_unmatched(store, REF)
    await register(expected, expectation("110"))
    await woken(store)
    await damage(store, field, value=value)
    assert await expected.remove("110")
    assert {REF} == await woken(store)


# Beside the numbers by which it is woken for, an entry has those that it states.
@pytest.mark.parametrize("field", sorted({*DAMAGED} - {"numbers"}))
async def test_a_damaged_entry_keeps_no_other_out(
    store: Store, expected: ExpectedCalls, field: str
) -> None:
    """It is named in the list, can be removed, and calls with its number are matched to others."""
    await register(expected, expectation("110"), expectation("111"))
    await damage(store, field)
    listed = await expected.listed(limit=9)
    assert (["111"], ("110",)) == (
        [entry.buildr_call_id for entry in listed.entries],
        listed.unreadable_ids,
    )
    snapshot = await expected.read_candidates(REF, [CUSTOMER])
    assert ["111"] == [entry.buildr_call_id for entry in snapshot.candidates]
    assert await expected.remove("110")
    assert await expected.get("110") is None
    assert () == (await expected.listed(limit=9)).unreadable_ids


async def test_removal_ends_the_claim(store: Store, expected: ExpectedCalls) -> None:
    """What is removed is gone from every index, and the call that had it is looked at again."""
    (entry,) = await register(expected, expectation())
    assert await expected.claim(REF, entry, number=CUSTOMER)
    assert await expected.remove("110")
    assert not await expected.remove("110")
    assert {REF} == await woken(store)
    assert set() == await ids(expected)
    assert [] == await expected.newest()


async def test_what_a_call_names_by_itself_is_taken(store: Store, expected: ExpectedCalls) -> None:
    """
    A call that names its Buildr call gets the entry from whoever found it by number, and gives its
    own one back.
    """
    first, second = await register(expected, expectation("110"), expectation("111"))
    assert await expected.claim(REF, second, number=CUSTOMER)
    assert await expected.claim("twilio:CA2", first, number=CUSTOMER)
    assert await expected.take(REF, "110")
    assert {"twilio:CA2"} == await woken(store)
    assert [REF] == [
        entry.claimed_by for entry in (await expected.read_candidates(REF, [])).candidates
    ]
    assert await expected.claim("twilio:CA2", second, number=CUSTOMER)
    assert not await expected.take(REF, "999")
    assert () == (await expected.read_candidates(REF, [])).candidates


async def test_registration_wakes_the_calls_that_wait_for_the_number(
    store: Store, expected: ExpectedCalls
) -> None:
    """
    A rep may register after hanging up: unmatched calls with the number that began within the
    window are looked at.
    """
    now = datetime.now(UTC)
    await wait_unmatched(store, REF)
    await wait_unmatched(store, "twilio:CA2", OTHER)
    await wait_unmatched(store, "twilio:CA3", at=now - timedelta(days=1))
    assert 1 == (await expected.put(expectation())).woken
    assert {REF} == await woken(store)
    assert [b"default|twilio:CA1"] == await store.redis.zrange(store.keys.queue, 0, -1)


@pytest.mark.parametrize("how", ["claimed", "released", "erased", "removed"])
async def test_what_becomes_of_one_entry_wakes_the_others(
    store: Store, expected: ExpectedCalls, how: str
) -> None:
    """
    Calls that could not choose are looked at again when there is one to choose from less, or one
    more.
    """
    (entry,) = await register(expected, expectation())
    if how != "claimed":
        assert await expected.claim(REF, entry, number=CUSTOMER)
    await wait_unmatched(store, REF)
    await wait_unmatched(store, "twilio:CA2")
    if how == "claimed":
        assert await expected.claim(REF, entry, number=CUSTOMER)
    elif how == "released":
        await expected.release(REF)
    elif how == "erased":
        await store.erasure.erase(REF)
    else:
        await expected.remove("110")
    assert "twilio:CA2" in await woken(store)


async def test_revisions_tell_of_every_change(expected: ExpectedCalls) -> None:
    """
    Between a job's read and its commit each change shows in the revision of the number that it
    concerns, and only there.
    """

    async def seen() -> tuple[str, str]:
        read = await expected.read_candidates(REF, [CUSTOMER, OTHER])
        return read.revisions[CUSTOMER], read.revisions[OTHER]

    assert ("", "") == await seen()
    (entry,) = await register(expected, expectation())
    revisions = [(await seen())[0]]
    for change in (
        expected.claim(REF, entry, number=CUSTOMER),
        expected.release(REF),
        expected.put(expectation()),
        expected.remove("110"),
    ):
        await change
        now, other = await seen()
        assert "" == other
        assert now not in revisions
        revisions.append(now)


async def test_many_candidates_are_cut_and_reported_as_cut(expected: ExpectedCalls) -> None:
    """No more candidates are read than can be compared, and `is_cut` tells that there are more."""
    await register(expected, *(expectation(str(place)) for place in range(MAX_CANDIDATES + 1)))
    read = await expected.read_candidates(REF, [CUSTOMER])
    assert (MAX_CANDIDATES, True) == (len(read.candidates), read.is_cut)


async def test_index_of_a_number_is_bounded(store: Store) -> None:
    """A number that is expected without an end keeps the entries whose windows end last."""
    now = datetime.now(UTC)
    few = ExpectedCalls(store.redis, store.keys, store.scripts, DAY_MS, HOUR_MS)
    name = store.keys.named(f"expected_for:{CUSTOMER}")
    await store.redis.zadd(
        name, {f"x{place}": to_ms(now) + place for place in range(MAX_PER_NUMBER)}
    )
    await few.put(expectation())
    assert MAX_PER_NUMBER == await store.redis.zcard(name)
    assert b"110" == (await store.redis.zrange(name, -1, -1))[0]


async def test_everything_ends_by_itself(store: Store, expected: ExpectedCalls) -> None:
    """
    Entry, indexes, revision and claim all have an end: the window's and the time for which links
    are kept.
    """
    (entry,) = await register(
        expected,
        expectation("110", CUSTOMER, OTHER, not_after=datetime.now(UTC) + timedelta(hours=1)),
    )
    await expected.claim(REF, entry, number=CUSTOMER)
    keys = [
        key.decode()
        async for key in store.redis.scan_iter(match=store.keys.named("expected*"), count=100)
    ]
    lasting = {store.keys.named("expected_rev")}
    names = (
        "expected",
        "expected:110",
        f"expected_for:{CUSTOMER}",
        f"expected_for:{OTHER}",
        f"expected_by:{REF}",
    )
    assert {store.keys.named(name) for name in names} < set(keys)
    for key in set(keys) - lasting:
        assert 0 < await store.pool.pttl(key) <= 90 * DAY_MS + HOUR_MS, key
    assert await store.pool.pttl(store.keys.named("expected:110")) > 90 * DAY_MS


async def test_what_is_over_leaves_the_indexes(store: Store, expected: ExpectedCalls) -> None:
    """
    When time has passed, the next registration clears what is over, and nothing finds it any more.
    """
    await register(expected, expectation("110"))
    later = Scripts(store.redis, store.keys, lambda: 91 * DAY_MS)
    await store.redis.delete(store.keys.named("expected:110"))
    assert set() == await ids(expected)
    await ExpectedCalls(store.redis, store.keys, later, 90 * DAY_MS, 4 * HOUR_MS).put(
        expectation("111")
    )
    for name in ("expected", f"expected_for:{CUSTOMER}"):
        assert [b"111"] == await store.redis.zrange(store.keys.named(name), 0, -1)


async def test_only_few_entries_long_over_are_read(expected: ExpectedCalls) -> None:
    """
    Reading brings the entries that are open, and a handful of those that are over, so that
    `explain` can name why none matches.
    """
    now = datetime.now(UTC)
    over = [
        expectation(
            str(place), not_before=now - timedelta(hours=30), not_after=now - timedelta(hours=place)
        )
        for place in range(1, 21)
    ]
    await register(expected, *over, expectation("110"))
    assert {"110", *(str(place) for place in range(1, 11))} == await ids(expected)
    assert 21 == len(await ids(expected, at=now - timedelta(hours=25)))


async def test_extension_is_kept_apart(expected: ExpectedCalls) -> None:
    """An entry is found by the number in front of the extension, and keeps the extension."""
    await expected.put(Expectation(buildr_call_id="110", numbers=(Number(CUSTOMER, "12"),)))
    (entry,) = (await expected.read_candidates(REF, [CUSTOMER])).candidates
    assert [f"{CUSTOMER};ext=12"] == [number.text for number in entry.numbers]
