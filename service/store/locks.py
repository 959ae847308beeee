"""
A right that one process has at a time, for as long as it may take at most.
"""

from typing import Final

from service.store import script_calls
from service.store.redis_client import Client, Value
from service.store.script_runner import Scripts

# A script, since the key may expire between a GET and a DEL: then another process has it, and its
# lock would be deleted.
_GIVE_BACK: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


async def acquire(scripts: Scripts, name: str, owner: str, *, ttl_s: float) -> bool:
    """Take the right, for at most `ttl_s` seconds; False if somebody has it, be it the owner."""
    call = script_calls.put(name=name, value=owner, ttl_ms=int(ttl_s * 1000), mode="new")
    return await scripts.run(call)


async def acquire_or_keep(scripts: Scripts, name: str, owner: str, *, ttl_s: float) -> bool:
    """The same, or keep the right for so long from now on; False if somebody else has it."""
    # A script: the key may expire between a GET and a SET, and another process have it then.
    call = script_calls.put(name=name, value=owner, ttl_ms=int(ttl_s * 1000), mode="own")
    return await scripts.run(call)


async def release(redis: Client, key: str, owner: Value) -> None:
    """Give the right back, if it is still the owner's."""
    await redis.eval(_GIVE_BACK, 1, key, owner)
