"""
The file of Redis: what was deleted leaves the disk once a day, by one process.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from service.settings import Settings
from service.store.append_only_file import LOCK_KEY, AppendOnlyFile
from service.store.connection import Store, open_store
from tests.doubles.redis import RedisServer
from workers.maintenance.file_rewrite import rewrite_file

SECRET_TEXT = "of somebody who is forgotten"


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if "aof" in path.name)


@pytest.mark.slow
async def test_what_was_deleted_leaves_the_disk(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    """The first of two processes has the file rewritten; the other finds it done."""
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="cli") as store:
        await store.redis.set("bc:default:x", SECRET_TEXT * 100)
        await store.redis.delete("bc:default:x")
        assert SECRET_TEXT.encode() in _on_disk(own_redis.folder)
        with capture_logs() as entries:
            await rewrite_file(store.file)
            await rewrite_file(store.file)
        assert ["redis.file_rewritten"] == [entry["event"] for entry in entries]
        while (await store.redis.info("persistence"))["aof_rewrite_in_progress"]:
            await store.redis.ping()
        assert SECRET_TEXT.encode() not in _on_disk(own_redis.folder)
        # A day later nothing has changed in it.
        await store.redis.delete(LOCK_KEY)
        await store.redis.set(LOCK_KEY, "")
        assert not await store.file.rewrite()


class _Forbidding:
    """A managed Redis, which has no such command; the rest is answered by the store's."""

    def __init__(self, store: Store) -> None:
        self.set = store.redis.set

    async def info(self, _: str) -> dict[str, int]:
        return {"aof_enabled": 1}

    async def bgrewriteaof(self) -> None:
        raise ResponseError("unknown command 'BGREWRITEAOF'")


async def test_redis_that_forbids_it_is_left_alone(store: Store) -> None:
    """No worker ends, and it is not asked again before tomorrow."""
    file = AppendOnlyFile(_Forbidding(store))  # type: ignore[arg-type]
    assert not await file.rewrite()
    assert not await file.rewrite()


async def test_redis_without_such_a_file_is_left_alone(store: Store) -> None:
    """A trial Redis keeps nothing on disk."""
    info = await store.redis.info("persistence")
    assert bool(info["aof_enabled"]) == await store.file.rewrite()
