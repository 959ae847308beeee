"""
Runs the Lua scripts: each is one atomic step in Redis, sent by its digest and loaded where Redis
has lost it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

from redis.exceptions import NoScriptError

from service.store.keys import Keys
from service.store.redis_client import Client, Value
from service.store.script_constants import constants_of

# What a script needs beside `common`, before its own text.
_PARTS: Final = {
    "commit": ("lanes",),
    "grant": ("permits", "lanes"),
    "pump": ("permits", "lanes"),
    "release": ("permits",),
    "renew": ("permits",),
}


@cache
def source_of(name: str) -> str:
    """The full text of a script: the constants that it uses, what scripts share, then its own."""
    parts = ["common", *_PARTS.get(name, ()), name]
    text = "\n".join(_read(f"{part}.lua") for part in parts)
    return constants_of(text) + text


def _read(file_name: str) -> str:
    store = files("service.store")
    for folder in (store / "scripts", store / "rate_limit" / "scripts"):
        if (script := folder / file_name).is_file():
            return script.read_text(encoding="utf-8")
    raise FileNotFoundError(file_name)


@cache
def digest_of(name: str) -> str:
    """The name under which Redis knows a script."""
    return sha1(source_of(name).encode(), usedforsecurity=False).hexdigest()


def no_skew() -> int:
    """The clock of Redis as it is."""
    return 0


@dataclass(frozen=True, slots=True)
class Scripts:
    """
    The scripts, bound to one account's keys.

    `skew_ms` is added to the clock of Redis: for simulations, in which three days pass in a minute.
    """

    redis: Client
    keys: Keys
    skew_ms: Callable[[], int] = no_skew

    @property
    def _fixed(self) -> tuple[str, str, str, int]:
        return self.keys.prefix, self.keys.queue, self.keys.account, self.skew_ms()

    async def run(self, name: str, *args: Value) -> object:
        """Run one script. Raises redis-py's own errors."""
        try:
            return await self.redis.evalsha(digest_of(name), 0, *self._fixed, *args)
        except NoScriptError:
            await self.redis.script_load(source_of(name))
            return await self.redis.evalsha(digest_of(name), 0, *self._fixed, *args)

    async def run_batch(self, calls: Sequence[tuple[str, Sequence[Value]]]) -> list[object]:
        """
        Run several scripts in one round trip, in order, each atomic by itself.

        The answer to each is its result or its error. Scripts that Redis does not know are loaded
        and the whole batch is sent once more, so all of them have to be idempotent.
        """
        results = await self._send(calls)
        if any(isinstance(result, NoScriptError) for result in results):
            for name in {name for name, _ in calls}:
                await self.redis.script_load(source_of(name))
            results = await self._send(calls)
        return results

    async def _send(self, calls: Sequence[tuple[str, Sequence[Value]]]) -> list[object]:
        pipe = self.redis.pipeline(transaction=False)
        for name, args in calls:
            pipe.execute_command("EVALSHA", digest_of(name), 0, *self._fixed, *args)
        results: list[object] = await pipe.execute(raise_on_error=False)
        return results
