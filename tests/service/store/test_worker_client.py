"""
The client of a worker, against a real server.
"""

import asyncio
from collections.abc import Callable

import pytest

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.worker_client import worker_client
from tests.doubles.waiting import until

MakeSettings = Callable[..., Settings]


@pytest.mark.anyio
async def test_a_cancelled_end_leaves_no_connection(
    store: Store, redis_url: str, make_settings: MakeSettings
) -> None:
    """Neither one of batches nor one of the pool."""
    await store.redis.ping()
    worker = open_store(make_settings(REDIS_URL=redis_url), role="worker")
    # By a batch, and by the pool.
    assert await worker.redis.get("a") is None
    pipe = worker.pool.pipeline()
    pipe.get("a")
    await pipe.execute()
    closing = asyncio.create_task(worker.redis.aclose(close_connection_pool=True))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    async def is_alone() -> bool:
        return len(await store.pool.client_list(_type="normal")) == 1

    await until(is_alone, goal="the end of all other connections")


@pytest.mark.anyio
async def test_only_a_worker_has_arqs_client(redis_url: str, make_settings: MakeSettings) -> None:
    """A store of another role is a bug, and says so before arq fails somewhere else."""
    settings = make_settings(REDIS_URL=redis_url)
    async with open_store(settings, role="worker") as worker:
        assert worker.pool is worker_client(worker.pool)
    async with open_store(settings, role="cli") as other:
        with pytest.raises(TypeError, match="for a worker"):
            worker_client(other.pool)
