"""
Scripts that Redis has lost.
"""

from itertools import cycle
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from service.store import script_calls
from service.store.connection import Store
from service.store.keys import Keys
from service.store.redis_trouble import RedisTrouble, classify_redis_error
from service.store.script_runner import Scripts
from tests.doubles.redis import RedisServer


class _InTurn:
    """Clients of two servers, in turn: connections of one pool during a failover."""

    def __init__(self, *clients: Redis) -> None:
        self._clients = cycle(clients)

    def __getattr__(self, name: str) -> Any:
        return getattr(next(self._clients), name)


@pytest.mark.anyio
async def test_a_script_is_loaded_where_it_runs(store: Store, own_redis: RedisServer) -> None:
    """Also where the next command goes to another server; else its call would count as damaged."""
    await store.pool.script_flush()
    async with Redis(unix_socket_path=str(own_redis.socket)) as other:
        scripts = Scripts(_InTurn(store.pool, other), Keys())
        assert await scripts.run(script_calls.now()) > 0
        await store.pool.script_flush()
        (answer,) = await scripts.run_batch([script_calls.now()])
    assert isinstance(answer, int)


@pytest.mark.anyio
async def test_an_error_of_a_script_that_was_lost_is_its_own(store: Store) -> None:
    """A damaged record is one, also to the first job after a restart of Redis."""
    await store.pool.script_flush()
    await store.pool.set(store.keys.call("twilio:CA1"), "no hash")
    with pytest.raises(ResponseError) as raised:
        await store.calls.begin("twilio:CA1", worker_id="one")
    assert RedisTrouble.REFUSED is classify_redis_error(raised.value)
