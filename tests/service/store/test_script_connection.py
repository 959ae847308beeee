"""
Scripts over connections of their own, against a real server.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.settings import Settings
from service.store import script_calls
from service.store.accept_scripts import AcceptResult, accept
from service.store.connection import Store, open_store
from service.store.script_connection import ScriptConnections
from service.store.script_runner import ScriptCall
from tests.doubles.waiting import until


def _accept(message_id: str) -> ScriptCall[AcceptResult]:
    return accept(
        message_id=message_id,
        ref="twilio:CA1",
        dedupe_ms=0,
        max_pending=9,
        packed_message=b"{}",
    )


@pytest.fixture
def connections(store: Store) -> ScriptConnections:
    """To an empty server; they end with the store."""
    return store.script_connections


@pytest.mark.anyio
async def test_scripts_that_redis_has_lost_are_loaded(
    store: Store, connections: ScriptConnections
) -> None:
    """They run once, before and after it forgot them."""
    assert await connections.run(_accept("m1")) is AcceptResult.KEPT
    await store.pool.script_flush()
    assert await connections.run(_accept("m2")) is AcceptResult.KEPT
    assert await connections.run(_accept("m2")) is AcceptResult.REPEATED


@pytest.mark.anyio
async def test_an_error_of_a_script_is_returned(
    store: Store, connections: ScriptConnections
) -> None:
    """The next script goes over the same connection."""
    await store.pool.set(store.keys.call("twilio:CA1"), "no hash")
    error = await connections.run(_accept("m1"))
    assert isinstance(error, ResponseError)
    now_ms = await connections.run(script_calls.now())
    assert isinstance(now_ms, int)


@pytest.mark.anyio
async def test_a_connection_that_was_cut_is_made_again(
    store: Store, connections: ScriptConnections
) -> None:
    """One that Redis closed while it was idle costs a repeat."""
    assert await connections.run(_accept("m1")) is AcceptResult.KEPT
    await store.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await connections.run(_accept("m2")) is AcceptResult.KEPT


@pytest.mark.anyio
async def test_a_server_that_is_away_is_an_error_of_the_connection(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """It is raised at once: who waits has another place for the message."""
    settings = make_settings(REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    async with open_store(settings, role="receiver") as store:
        with pytest.raises((RedisConnectionError, OSError)):
            await store.script_connections.run(_accept("m1"))


@pytest.mark.anyio
async def test_an_answer_that_nobody_waits_for_is_not_the_next_ones(
    store: Store, connections: ScriptConnections
) -> None:
    """The connection of a task that was cancelled is not used any more."""
    assert await connections.run(_accept("m0")) is AcceptResult.KEPT
    await store.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    run = connections.run(script_calls.now())
    waiting = asyncio.create_task(run)
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.redis.execute_command("CLIENT", "UNPAUSE")
    assert await connections.run(_accept("m1")) is AcceptResult.KEPT


async def _has_clients(store: Store, count: int) -> bool:
    return len(await store.pool.client_list(_type="normal")) == count


@pytest.mark.anyio
async def test_a_script_under_way_at_the_end_leaves_no_connection(
    store: Store, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """It ends, and its connection with it, though the others are closed already."""
    await store.redis.ping()
    async with open_store(make_settings(REDIS_URL=redis_url), role="receiver") as other:
        assert await other.script_connections.run(_accept("m0")) is AcceptResult.KEPT
        await store.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        run = other.script_connections.run(_accept("m1"))
        under_way = asyncio.create_task(run)
        await asyncio.sleep(0)
    await store.redis.execute_command("CLIENT", "UNPAUSE")
    assert await under_way is AcceptResult.KEPT
    await until(lambda: _has_clients(store, 1), goal="the end of all other connections")


@pytest.mark.anyio
async def test_a_cancelled_end_leaves_no_connection(
    store: Store, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """Neither one of scripts nor one of the pool."""
    await store.redis.ping()
    other = open_store(make_settings(REDIS_URL=redis_url), role="receiver")
    # Two of them: the first one is closed even by an end that is cancelled at once.

    async def is_kept(message_id: str) -> bool:
        return await other.script_connections.run(_accept(message_id)) is AcceptResult.KEPT

    assert all(await asyncio.gather(is_kept("m0"), is_kept("m1")))
    await other.redis.ping()
    closing = asyncio.create_task(other.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until(lambda: _has_clients(store, 1), goal="the end of all other connections")
