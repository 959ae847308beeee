"""
The index of the names of calls: found by the beginning and the end of an id, kept in small pages.
"""

import random
from collections.abc import Sequence
from typing import Final

import pytest

from service.store import call_ids
from service.store.call_index import INDEXED
from service.store.call_update import CallUpdate
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.policy import StorePolicy
from service.store.script_runner import ScriptCall, as_integer

SOURCES: Final = ("standard", "twilio")
MOST: Final = StorePolicy().ids_per_page
RANDOM: Final = [f"twilio:CA{random.Random(seed).getrandbits(64):016x}" for seed in range(700)]
RISING: Final = [f"standard:{number}" for number in range(100_000, 100_700)]
FALLING: Final = RISING[::-1]
# Longer than Redis packs: 64 bytes. Those of one half differ in the middle alone.
LONG: Final = [f"twilio:{ref * 4}" for ref in RANDOM[:350]] + [
    f"standard:{'a' * 60}{number}{'z' * 60}" for number in range(100, 450)
]
# Some of each, on the same pages.
MIXED: Final = [ref for pair in zip(RANDOM[:350], LONG[:350], strict=True) for ref in pair]
UNPACKED: Final = (LONG, MIXED)
ORDERS: Final = ("ids", "ids_reversed")


async def keep(store: Store, refs: Sequence[str]) -> None:
    """Store calls, without their events."""
    pipe = store.pool.pipeline(transaction=False)
    for ref in refs:
        pipe.hset(store.keys.call(ref), "v", "1")
    await pipe.execute()
    await store.listing.ids.add(refs)
    await store.redis.set(store.keys.named("calls_indexed"), INDEXED)


async def pages(store: Store, order: str, *, is_packed: bool = True) -> list[list[str]]:
    """The names of each page, the lowest page first; what each page begins with is checked."""
    firsts = [
        "",
        *(name.decode() for name in await store.redis.zrange(store.keys.named(order), 0, -1)),
    ]
    in_pages = []
    for first in firsts:
        key = store.keys.named(f"{order}:{first}")
        names = [name.decode() for name in await store.redis.zrange(key, 0, -1)]
        if first:
            assert first == names[0]
        if names and is_packed:
            assert "listpack" == (await store.pool.object("ENCODING", key)).decode()
        in_pages.append(names)
    return in_pages


async def names_of(store: Store, order: str, *, is_packed: bool = True) -> list[str]:
    """All names of an order; no page is too long, and no other key is left."""
    in_pages = await pages(store, order, is_packed=is_packed)
    assert max(map(len, in_pages)) <= MOST
    keys = [key async for key in store.pool.scan_iter(match=f"{store.keys.named(order)}:*")]
    assert len(keys) == len([names for names in in_pages if names])
    return [name for names in in_pages for name in names]


@pytest.mark.parametrize(
    "refs",
    [RANDOM, RISING, FALLING, LONG, MIXED],
    ids=["random", "rising", "falling", "long", "mixed"],
)
async def test_names_are_in_order_in_packed_pages(store: Store, refs: Sequence[str]) -> None:
    """In whatever order calls come and go; twice the same call is there once."""
    is_packed = refs not in UNPACKED
    await keep(store, refs)
    await keep(store, refs[:100])
    assert sorted(refs) == await names_of(store, "ids", is_packed=is_packed)
    assert sorted(ref[::-1] for ref in refs) == await names_of(
        store, "ids_reversed", is_packed=is_packed
    )
    left = set(refs)
    shuffled = random.Random(1).sample(refs, len(refs))
    for start in range(0, len(refs), 100):
        some = shuffled[start : start + 100]
        await store.redis.delete(*(store.keys.call(ref) for ref in some))
        # Those that are still kept stay.
        assert len(some) == await store.listing.ids.drop_expired([*some, *shuffled[start + 100 :]])
        left -= set(some)
        assert sorted(left) == await names_of(store, "ids", is_packed=is_packed)
        assert sorted(ref[::-1] for ref in left) == await names_of(
            store, "ids_reversed", is_packed=is_packed
        )


async def test_ids_that_count_upwards_leave_full_pages(store: Store) -> None:
    """Half of them would stay empty for ever."""
    await keep(store, RISING)
    lengths = [len(names) for names in await pages(store, "ids")]
    assert {MOST} == set(lengths[:-1])


@pytest.mark.parametrize(
    "refs", [RANDOM, RISING, LONG, MIXED], ids=["random", "rising", "long", "mixed"]
)
async def test_each_call_is_found_by_its_beginning_and_its_end(
    store: Store, refs: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the bounds of pages, with the source and without, not by comparing names."""
    monkeypatch.setattr(call_ids, "MOST_COMPARED", 0)
    await keep(store, refs)
    for ref in refs[::23]:
        source_call_id = ref.partition(":")[2]
        for text in (ref, ref[:-1], source_call_id, source_call_id[:-1], source_call_id[-4:]):
            expected = sorted(
                other
                for other in refs
                if other.startswith(text)
                or other.partition(":")[2].startswith(text)
                or other.endswith(text)
            )
            assert expected == await store.listing.find(text, sources=SOURCES, limit=500), text
    assert 20 == len(await store.listing.find("1", sources=SOURCES))
    assert 20 == len(await store.listing.find(refs[0][:8], sources=SOURCES))


async def test_a_part_from_the_middle_is_found_among_the_newest_calls(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to a bound; a beginning that fits goes first."""
    monkeypatch.setattr(call_ids, "COMPARED_PER_STEP", 100)
    monkeypatch.setattr(call_ids, "MOST_COMPARED", 300)
    refs = [f"standard:a{number}z" for number in range(100, 800)]
    await keep(store, refs)
    await store.pool.zadd(store.keys.named("calls"), {ref: place for place, ref in enumerate(refs)})
    for text, expected in (
        ("550", ["standard:a550z"]),
        # Where some are found among the newest of all, no further ones are compared.
        ("70", [*(f"standard:a{number}z" for number in range(700, 710)), "standard:a770z"]),
        # Not one of the newest.
        ("450", []),
        ("a450", ["standard:a450z"]),
        ("450z", ["standard:a450z"]),
        # As it is written, and no pattern.
        ("5*0", []),
        ("5.0", []),
    ):
        assert expected == await store.listing.find(text, sources=SOURCES), text


async def test_names_of_expired_calls_hide_no_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay in the index for up to a minute; a page of a list is full all the same."""
    monkeypatch.setattr(call_ids, "MOST_COMPARED", 0)
    await keep(store, RISING)
    await store.redis.delete(*(store.keys.call(ref) for ref in RISING[:20]))
    assert RISING[20:40] == await store.listing.find("1000", sources=SOURCES)


async def test_a_call_with_a_new_message_stays(store: Store) -> None:
    """Its record has expired, and no worker has read the message yet."""
    await keep(store, ["twilio:CA1"])
    await store.pool.zadd(store.keys.named("calls"), {"twilio:CA1": 1})
    pipe = store.pool.pipeline()
    pipe.delete(store.keys.call("twilio:CA1"))
    pipe.rpush(store.keys.pending("twilio:CA1"), "m1")
    await pipe.execute()
    assert 0 == await store.listing.ids.drop_expired(["twilio:CA1"])
    assert ["twilio:CA1"] == await names_of(store, "ids")
    assert await store.pool.zscore(store.keys.named("calls"), "twilio:CA1") is not None


async def test_a_call_that_has_expired_is_not_added(store: Store) -> None:
    """Its name would stay for ever."""
    await store.listing.ids.add(["twilio:CA1"])
    assert [] == await names_of(store, "ids")


async def test_a_commit_writes_a_new_call_only(store: Store) -> None:
    """The first one does; what goes on is in the index already."""
    record = DeliveryRecord(ref="twilio:CA1")
    assert await store.calls.commit(CallUpdate(record=record, version=0))
    assert ["twilio:CA1"] == await names_of(store, "ids")
    await store.redis.delete(*(store.keys.named(f"{order}:") for order in ORDERS))
    assert await store.calls.commit(CallUpdate(record=record, version=1))
    assert [] == await names_of(store, "ids")


async def test_a_forgotten_call_names_no_page(store: Store) -> None:
    """Each page that begins with it gets the name of the call behind it."""
    await keep(store, RANDOM)
    left = set(RANDOM)
    for order in ORDERS:
        for names in (await pages(store, order))[1:]:
            ref = names[0] if order == "ids" else names[0][::-1]
            assert await store.erasure.erase(ref)
            left.remove(ref)
    assert len(left) < len(RANDOM) - len(ORDERS)
    assert sorted(left) == await names_of(store, "ids")
    assert sorted(ref[::-1] for ref in left) == await names_of(store, "ids_reversed")


async def test_letters_of_any_language(store: Store) -> None:
    """Names are compared as bytes, and come back as they were."""
    refs = ["standard:é", "standard:日本", "standard:z", "standard:éé"]
    await keep(store, refs)
    assert ["standard:é", "standard:éé"] == await store.listing.find("é", sources=SOURCES)
    assert ["standard:日本"] == await store.listing.find("本", sources=SOURCES)


async def test_an_unmatched_call_that_is_given_up_leaves_the_index(store: Store) -> None:
    """Its record ends without an expiry."""
    await keep(store, ["twilio:CA1"])
    await store.pool.zadd(store.keys.named("unmatched"), {"twilio:CA1": 1})
    forget = ScriptCall("forget", ("twilio:CA1", 2), as_integer)
    assert 1 == await store.scripts.run(forget)
    assert [] == await names_of(store, "ids")
