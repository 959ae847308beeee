"""
The append-only file of Redis: rewritten, so that what has expired or was deleted leaves the disk.
"""

from typing import Final

from msgspec import Struct
from redis.exceptions import ResponseError

from service.store.redis_client import Client

# A file that is about as large as what is in it holds hardly anything that is gone.
GROWTH: Final = 1.02
DAY_S: Final = 86_400
# Of the whole Redis, and not of an account: the file is one.
LOCK_KEY: Final = "bc:file_rewritten"


class AppendOnlyFile(Struct, frozen=True):
    """Asks Redis to rewrite its file, once in `every_s` over all processes."""

    redis: Client
    every_s: int = DAY_S

    async def rewrite(self) -> bool:
        """
        Have the file rewritten if it has grown and nobody has in time; returns whether it will be.

        False where Redis has no such file or forbids it, as managed ones do. Raises redis-py's
        errors if Redis does not answer.
        """
        # Before the check: all workers come here at the same time.
        if not await self.redis.set(LOCK_KEY, "", px=self.every_s * 1000, nx=True):
            return False
        try:
            info = await self.redis.info("persistence")
            if not info.get("aof_enabled") or not _has_grown(info):
                return False
            # Redis does it in a child process; the webhooks go on.
            await self.redis.bgrewriteaof()
        except ResponseError:
            return False
        return True


def _has_grown(info: dict[str, object]) -> bool:
    current = info.get("aof_current_size")
    base = info.get("aof_base_size")
    if not isinstance(current, int) or not isinstance(base, int):
        return True
    return current > base * GROWTH
