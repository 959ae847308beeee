"""
A Redis that is filled for the benchmark is what the service would have left. Nothing is timed here.
"""

from typing import Final

import pytest
from redis import Redis

from service.clock import utc_now
from service.store.connection import Store
from tests.benchmarks.million_calls import batch_of, commit
from tests.benchmarks.million_fill import Sink, prepare, works_of, write
from tests.doubles.redis import RedisServer
from tests.service.store.snapshot import Plain, capture

# Their scores are the moment of writing.
BY_WRITING: Final = frozenset({"failed", "unmatched", "stalled"})
# Calls of every state, and of the newest week, whose messages are kept.
TOTAL: Final = 160
HOUR_MS: Final = 3_600_000


async def test_plain_commands_leave_what_commits_leave(
    store: Store, redis_server: RedisServer
) -> None:
    """Keys, values and times to live are the same, the moment of writing apart."""
    now = utc_now()
    await commit(store, batch_of(0, TOTAL, now), now)
    expected = without_moments(await capture(store.redis))
    kinds = {name.split(":")[2] for name in expected}
    assert kinds == {
        "call",
        "m",
        "f",
        "calls",
        "calls_by",
        "ids",
        "ids_reversed",
        "lane",
        *BY_WRITING,
    }

    with Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.flushall()
    samples = write(
        store.keys,
        redis_server.socket,
        map(prepare, works_of(store, TOTAL, now)),
        progress=lambda _: None,
    )
    assert without_moments(await capture(store.redis)) == expected
    assert {record.state.value for record in samples} >= {"delivered", "failed"}


def without_moments(entries: dict[str, Plain]) -> dict[str, Plain]:
    """What is stored, each time to live as the hour that it is nearest to."""
    plain: dict[str, Plain] = {}
    for name, entry in entries.items():
        kind = name.split(":")[2]
        # Written by every script.
        if kind == "clock":
            continue
        value = entry["value"]
        if kind in BY_WRITING and isinstance(value, dict):
            value = sorted(value)
        ttl_ms = entry.get("ttl_ms")
        ttl_h = None
        if isinstance(ttl_ms, int):
            ttl_h = round(ttl_ms / HOUR_MS)
        plain[name] = {"value": value, "type": entry["type"], "ttl_h": ttl_h}
    return plain


def test_an_error_of_redis_is_seen(redis_server: RedisServer) -> None:
    """What Redis does not take ends the filling."""
    with pytest.raises(RuntimeError, match="ERR"), Sink(redis_server.socket) as sink:
        sink.send(b"*1\r\n$7\r\nNOTHING\r\n", 1)
