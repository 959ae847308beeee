"""
A backup of Redis, restored into another server: the worker goes on, and nothing is sent twice.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.settings import Settings
from service.store.connection import open_store
from service.store.delivery_state import DeliveryState
from service.store.outcomes import StoredOutcomes
from tests.doubles.redis import RedisServer
from tests.e2e.harness import wait_for
from tests.workers.jobs.harness import CALL, NAMES, WorkerHarness
from workers.clock import SharedClock

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    """Another machine's server, not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="bc-redis-"))
    server = RedisServer(folder)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def copy_of_the_file(server: RedisServer, other: RedisServer) -> None:
    """The append-only file is copied, which a running server goes on writing."""
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.config_set("auto-aof-rewrite-percentage", 0)
        shutil.copytree(server.folder / "appendonlydir", other.folder / "appendonlydir")
    other.start()


def copy_of_a_snapshot(server: RedisServer, other: RedisServer) -> None:
    """A snapshot is copied; a server that has an append-only file reads none at its start."""
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.bgsave()
        _wait_while(client, "rdb_bgsave_in_progress")
    shutil.copy(server.folder / "dump.rdb", other.folder)
    other.start(appendonly="no")
    with Redis(unix_socket_path=str(other.socket)) as client:
        client.config_set("appendonly", "yes")
        _wait_while(client, "aof_rewrite_in_progress")
    other.kill()
    other.start()


def _wait_while(client: Redis, name: str) -> None:
    def has_ended() -> bool:
        info: Any = client.info("persistence")
        return not info[name]

    wait_for(has_ended, goal=f"the end of {name}")


@pytest.mark.parametrize("copy", [copy_of_the_file, copy_of_a_snapshot])
async def test_a_restored_backup_goes_on_where_it_was(
    own_redis: RedisServer,
    other_redis: RedisServer,
    make_settings: Callable[..., Settings],
    copy: Callable[[RedisServer, RedisServer], None],
) -> None:
    """
    Of two calls one was delivered before the backup and one was not: after the restore the second
    is delivered, and the first is not sent again.
    """
    settings = make_settings(REDIS_URL=own_redis.url, BUILDR_BUDGETS="1000/1s")
    async with open_store(settings, role="worker") as store:
        world = WorkerHarness(store, settings)
        await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=SharedClock()()))
        await world.receive(CALL[3])
        await world.drain("twilio:CA1")
        await world.receive({**CALL[3], "CallSid": "CA2"}, query="buildr_call_id=220")
    copy(own_redis, other_redis)
    own_redis.kill()
    settings = make_settings(REDIS_URL=other_redis.url, BUILDR_BUDGETS="1000/1s")
    async with open_store(settings, role="worker") as store:
        restored = WorkerHarness(store, settings)
        for ref in ("twilio:CA1", "twilio:CA2"):
            await restored.run(ref)
            await restored.drain(ref)
            assert DeliveryState.DELIVERED is (await restored.stored(ref)).record.state
    assert ["110"] == [call_id for call_id, _ in world.buildr.requests]
    assert ["220"] == [call_id for call_id, _ in restored.buildr.requests]
