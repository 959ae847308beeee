"""
Runs the Lua scripts: each is one atomic step in Redis, sent by its digest and loaded where Redis
has lost it.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final, Generic, TypeVar

from msgspec import Struct
from redis.exceptions import NoScriptError

from service.store.confirmation import CONFIRMED_SCRIPTS, NO_CONFIRMATION, Confirmation
from service.store.keys import Keys
from service.store.redis_client import Client, Value
from service.store.script_constants import constants_of

Result = TypeVar("Result")

# What a script needs beside `common`, before its own text.
# Redis has no way to share code between scripts of EVAL, and its functions need Redis 7.
_PARTS: Final = {
    "accept": ("accepting",),
    "accept_many": ("accepting",),
    "add_ids": ("ids",),
    "backfill": ("waking",),
    "begin": ("when_full", "reading"),
    "broken": ("when_full",),
    "claim": ("when_full", "waking", "expectations"),
    "clear": ("when_full",),
    "commit": ("when_full", "lanes", "call_index", "ids", "ending", "revisions"),
    "drop_ids": ("ids",),
    "erase": ("lanes", "waking", "expectations", "ids"),
    "expect": ("waking", "expectations"),
    "expected": ("revisions",),
    "find_ids": ("ids",),
    "forget": ("when_full", "ids"),
    "grant": ("when_full", "permits", "lanes"),
    "index": ("call_index",),
    "link": ("waking",),
    "named": ("when_full",),
    "phone_book_count": ("phone_entries",),
    "phone_book_put": ("phone_entries",),
    "phone_book_remove": ("phone_entries",),
    "phone_book_sweep": ("phone_entries",),
    "postpone": ("when_full",),
    "pump": ("when_full", "permits", "lanes"),
    "put": ("when_full",),
    "rearm": ("when_full", "ending"),
    "release": ("when_full", "permits"),
    "renew": ("when_full", "permits"),
    "replay": ("waking",),
    "request_replay": ("waking",),
    "set_aside": ("when_full", "lanes"),
    "sweep": ("when_full",),
    "take": ("when_full", "reading"),
    "wake": ("when_full",),
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
    # SHA-1 is what Redis names scripts by; nothing rests on its strength. FIPS builds of Python
    # refuse it without `usedforsecurity=False`.
    return sha1(source_of(name).encode(), usedforsecurity=False).hexdigest()


def no_skew() -> int:
    """The clock of Redis as it is."""
    return 0


class ScriptCall(Struct, Generic[Result], frozen=True):
    """
    One call of a script: its name, its own arguments in order, and how its reply is read.

    Made by the functions of `script_calls`, never by hand.
    """

    script: str
    arguments: tuple[Value, ...]
    read: Callable[[object], Result]


def as_integer(reply: object) -> int:
    """The reply of a script that returns one integer."""
    if not isinstance(reply, int):
        raise TypeError(f"a script returned {type(reply).__name__} where an integer was expected")
    return reply


def as_flag(reply: object) -> bool:
    """The reply of a script that returns 1 or 0."""
    return as_integer(reply) == 1


def as_list(reply: object) -> list[bytes | int]:
    """The reply of a script that returns a list of strings and integers."""
    if not isinstance(reply, list):
        raise TypeError(f"a script returned {type(reply).__name__} where a list was expected")
    return reply


def as_integers(reply: object) -> list[int]:
    """The reply of a script that returns a list of integers."""
    return [int(part) for part in as_list(reply)]


class Scripts(Struct, frozen=True):
    """
    The scripts, bound to one account's keys.

    `skew_ms` is added to the clock of Redis: for simulations, in which three days pass in a minute.
    """

    redis: Client
    keys: Keys
    skew_ms: Callable[[], int] = no_skew
    confirmation: Confirmation = NO_CONFIRMATION

    @property
    def shared_arguments(self) -> tuple[str, str, str, int]:
        """What every script is given first."""
        return self.keys.prefix, self.keys.queue, self.keys.account, self.skew_ms()

    async def run(self, call: ScriptCall[Result]) -> Result:
        """Run one script. Raises redis-py's errors, TypeError for a reply of another shape."""
        try:
            return call.read(await self._evaluate(call))
        # Redis forgets scripts with each restart and failover. Nothing has run then, so that a
        # repeat is safe.
        except NoScriptError:
            pass
        # Not within the handler: an error of the second run would have this one as its context.
        (reply,) = await self._evaluate_all([call], loads={call.script})
        if isinstance(reply, Exception):
            raise reply
        return call.read(reply)

    async def run_batch(self, calls: Sequence[ScriptCall[Result]]) -> list[Result | Exception]:
        """
        Run several scripts in one round trip, in order, each atomic by itself.

        The answer to each is its result or its error. Scripts that Redis does not know are loaded
        and the whole batch is sent once more, so all of them have to be idempotent.
        """
        replies = await self._evaluate_all(calls)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            replies = await self._evaluate_all(calls, loads={call.script for call in calls})
        results: list[Result | Exception] = []
        for call, reply in zip(calls, replies, strict=True):
            # Returned, not raised: the other scripts of the batch have run all the same.
            if isinstance(reply, Exception):
                results.append(reply)
            else:
                results.append(call.read(reply))
        return results

    async def _evaluate(self, call: ScriptCall[Result]) -> object:
        if self.confirmation.commands and call.script in CONFIRMED_SCRIPTS:
            (reply,) = await self._evaluate_all([call])
            if isinstance(reply, Exception):
                raise reply
            return reply
        # No KEYS: the scripts make their keys from the prefix. Redis Cluster would need them, and
        # arq does not work there either.
        return await self.redis.evalsha(
            digest_of(call.script), 0, *self.shared_arguments, *call.arguments
        )

    async def _evaluate_all(
        self, calls: Sequence[ScriptCall[Result]], *, loads: Collection[str] = ()
    ) -> list[object]:
        # Not one transaction: each script is atomic by itself, and one that fails must not undo
        # others, whose senders wait for an answer of their own.
        pipe = self.redis.pipeline(transaction=False)
        # On the connection that runs them: during a failover another one may lead to another
        # server, and a script that is unknown once more would count as a damaged record.
        for script in loads:
            pipe.execute_command("SCRIPT LOAD", source_of(script))
        for call in calls:
            digest = digest_of(call.script)
            pipe.execute_command("EVALSHA", digest, 0, *self.shared_arguments, *call.arguments)
        # On the same connection, and for all of the batch at once.
        for command in self.confirmation.commands:
            pipe.execute_command(*command)
        replies: list[object] = await pipe.execute(raise_on_error=False)
        for reply in replies[: len(loads)]:
            if isinstance(reply, Exception):
                raise reply
        replies = replies[len(loads) :]
        self.confirmation.check(replies[len(calls) :])
        return replies[: len(calls)]
