"""
`buildr-calls forget SOURCE:CALL_ID`: no kind of key holds a trace of the call afterwards.

Every kind of key there is has its place here: a new one must be given one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.store.compression import decompress
from service.store.keys import Keys
from tests.service.store.script_files import kinds_of_keys
from tests.workers.cli.conftest import Run, Seed, ended

T = TypeVar("T")
CALL_ID: Final = "CA00000000000000000000000000005150"
REF: Final = f"twilio:{CALL_ID}"
OTHER_REF: Final = "twilio:CA9"
BUILDR_CALL_ID: Final = "5151515151"
NUMBER: Final = "+15005550001"
JOB: Final = f"default|{REF}"
PREFIX: Final = "bc:default:"
Plant = Callable[[Redis], object]


def _in_index(name: str) -> Plant:
    return lambda client: client.zadd(PREFIX + name, {REF: 2.0, OTHER_REF: 1.0})


def _text(name: str, value: str = REF) -> Plant:
    return lambda client: client.set(PREFIX + name, value)


def _fields(name: str, fields: dict[str, str]) -> Plant:
    return lambda client: client.hset(PREFIX + name, mapping=fields)


def _member(name: str) -> Plant:
    return lambda client: client.sadd(PREFIX + name, REF, OTHER_REF)


# How all of a key is read, by its type.
READERS: Final[dict[bytes, Callable[[Pipeline, str], object]]] = {
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
    b"set": lambda pipe, key: pipe.smembers(key),
    b"zset": lambda pipe, key: pipe.zrange(key, 0, -1),
}
# What a call can leave in Redis, by kind of key.
OF_A_CALL: Final[dict[str, Plant]] = {
    "ask:": _in_index("ask:twilio"),
    "asked:": _text(f"asked:{REF}", "3"),
    "awaits_names": _member("awaits_names"),
    "breaker": _fields("breaker", {"last": REF, "probe": REF, "tries": "1"}),
    "broken:": _fields(f"broken:{REF}", {"since": "1"}),
    "call:": _fields(f"call:{REF}", {"numbers": NUMBER}),
    "calls": _in_index("calls"),
    "damaged:": _fields(f"damaged:{REF}", {"rec": REF}),
    "due": _in_index("due"),
    "expected:": _fields(f"expected:{BUILDR_CALL_ID}", {"ref": REF, "by": NUMBER}),
    "expected_by:": _text(f"expected_by:{REF}", BUILDR_CALL_ID),
    "f:": _text(f"f:{REF}"),
    "failed": _in_index("failed"),
    # A page begins with the call; the lowest one has no name, and is what a worker writes first.
    "ids": lambda client: client.zadd(f"{PREFIX}ids", {OTHER_REF: 0}),
    "ids:": lambda client: client.zadd(f"{PREFIX}ids:", {REF: 0}),
    "ids_reversed": lambda client: client.zadd(f"{PREFIX}ids_reversed:", {REF[::-1]: 0}),
    "inbox": lambda client: client.zadd(f"{PREFIX}inbox", {"m5150": 1.0}),
    "lane:": _in_index("lane:final"),
    "lane_cost": _fields("lane_cost", {REF: "2"}),
    "link:": _text(f"link:{REF}", "{}"),
    "links": _in_index("links"),
    "m:": _text("m:m5150", f"{REF}\n"),
    "moved_to:": _member(f"moved_to:{OTHER_REF}"),
    "pending:": lambda client: client.rpush(f"{PREFIX}pending:{REF}", "m5150"),
    "permit:": _text(f"permit:{REF}", "u:1"),
    "queue": lambda client: client.zadd(Keys().queue, {JOB: 1.0}),
    "stalled": _in_index("stalled"),
    "taken:": _text(f"taken:{BUILDR_CALL_ID}"),
    "unknown": _in_index("unknown"),
    "unmatched": _in_index("unmatched"),
    "woken": _in_index("woken"),
    "unmatched:": _in_index(f"unmatched:{NUMBER}"),
}
# Kinds of keys that name no call. `running` names calls whose jobs run, and is refused; `seen:` has
# the digest of a message.
OF_NO_CALL: Final = frozenset(
    {
        "alarms",
        # What is open, and which process tells of it; no call is named.
        "alerts",
        "alerts_lease",
        "alerts_receiver",
        "alerts_spools",
        # Reps and their sessions.
        "dial_calls:",
        "dial_log_ins",
        "dial_session:",
        "dial_tokens",
        # Counts, and words of vendors.
        "figures",
        "outcome_days",
        "unknown_values",
        # What operators did, as their log has it.
        "console_actions",
        "console_ended:",
        # All accounts share it: when the file of Redis was rewritten.
        "bc:",
        "allowance",
        "backfill",
        "backfill_lock:",
        "backfill_run:",
        "blocked",
        "calls_indexed",
        "calls_indexed_at",
        "calls_indexed_cursor",
        "calls_indexed_tried",
        "clock",
        "counts",
        "expected",
        "expected_for:",
        "expected_rev",
        "expected_rev:",
        "heard",
        "hours:",
        "identity",
        "keeper",
        "limit",
        "maps",
        "none",
        "nothing",
        "outcomes",
        "permit_count",
        "phonebook",
        "phonebook:",
        "phonebook_lock",
        "phonebook_queue",
        # Kinds of refused requests, without anything of their contents.
        "refused",
        "running",
        "sealed_token",
        "seen:",
        "strikes",
        "token",
        "token_lock",
        "turn",
        "upkeep",
        "upkeep_lock:",
        "worker:",
    }
)


def test_every_kind_of_key_has_its_place() -> None:
    """A new kind must be in one of the two lists, and what names a call must be forgotten."""
    assert set() == kinds_of_keys() - OF_A_CALL.keys() - OF_NO_CALL


async def _stored_texts(client: Redis) -> dict[str, str]:
    """What is stored, as text, by key."""
    texts: dict[str, str] = {}
    async for key in client.scan_iter():
        kind = await client.type(key)
        if kind == b"string":
            value = await client.get(key) or b""
            readable = decompress(value.partition(b"\n")[2]).decode("utf-8", "replace")
            texts[key.decode()] = f"{value!r} {readable}"
        else:
            # Not by DUMP, which compresses what repeats itself, such as the zeros of an id.
            pipe = client.pipeline()
            READERS[kind](pipe, key.decode())
            texts[key.decode()] = repr(await pipe.execute())
    return texts


def _names_call(text: str) -> bool:
    """Whether a text has the call's id, in either direction."""
    return CALL_ID in text or CALL_ID[::-1] in text


def _in_redis(url: str, work: Callable[[Redis], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with Redis.from_url(url) as client:
            return await work(client)

    return asyncio.run(opened())


async def _plant(client: Redis, kind: str) -> None:
    """Write what a call leaves in one kind of key."""
    written = OF_A_CALL[kind](client)
    assert isinstance(written, Awaitable)
    await written


@pytest.mark.parametrize("is_seeded", [True, False])
def test_nothing_of_a_call_is_left(run: Run, seed: Seed, redis_url: str, is_seeded: bool) -> None:
    """In no key and in no value, whatever kinds of keys it was in."""
    run("expect", BUILDR_CALL_ID, "--number", "+15005550009")
    if is_seeded:
        seed(ended(CALL_ID), query=f"buildr_call_id={BUILDR_CALL_ID}")

    async def plant(client: Redis) -> None:
        # What arq's hook does after a job, which here is run without arq.
        await client.delete(f"{PREFIX}running")
        for kind in OF_A_CALL:
            await _plant(client, kind)
        await client.set(f"arq:job:{JOB}", REF)
        await client.set(f"arq:retry:{JOB}", "1")

    _in_redis(redis_url, plant)
    run("forget", REF, "--yes")
    left = _in_redis(redis_url, _stored_texts)
    assert {} == {key: text for key, text in left.items() if _names_call(f"{key} {text}")}
    assert any(OTHER_REF in text for text in left.values())


@pytest.mark.parametrize("kind", ["ask:", "asked:", "damaged:", "link:", "expected_by:", "f:"])
def test_what_outlived_its_call_is_found(run: Run, redis_url: str, kind: str) -> None:
    """Also where the call's own record is gone."""

    async def plant(client: Redis) -> None:
        await _plant(client, kind)
        if kind == "f:":
            await _plant(client, "failed")

    _in_redis(redis_url, plant)
    run("forget", REF, "--yes")
    left = _in_redis(redis_url, _stored_texts)
    assert CALL_ID not in str(left)
