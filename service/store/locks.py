"""
A right that one process has at a time, for as long as it may take at most.
"""

from typing import Final

from service.store.redis_client import Client

# A script, since the key may expire between a GET and a DEL: then another process has it, and its
# lock would be deleted.
_GIVE_BACK: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


async def acquire(redis: Client, key: str, owner: str, *, ttl_s: float) -> bool:
    """Take the right, for at most `ttl_s` seconds; False if somebody has it."""
    # NX and PX in one command: a process that dies in between would leave a lock without an end.
    return bool(await redis.set(key, owner, px=int(ttl_s * 1000), nx=True))


async def release(redis: Client, key: str, owner: str) -> None:
    """Give the right back, if it is still the owner's."""
    await redis.eval(_GIVE_BACK, 1, key, owner)
