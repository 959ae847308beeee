"""
Everything that is stored about a telephone number or a call: found by its text, and deleted.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

from msgspec import Struct

from service.errors import MalformedPayload
from service.store import script_calls
from service.store.call_index import buckets_of
from service.store.calls import read_record
from service.store.compression import decompress
from service.store.keys import Keys
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# Keys that Redis visits per step of SCAN, and values read per round trip: small enough that the
# webhooks, which use the same Redis, do not wait.
SCAN_COUNT: Final = 1000
PAGE: Final = 200
# What `erase.lua` returns for a call that a worker runs.
RUNNING: Final = -1
RECORD: Final = b"rec"
EVENTS: Final = b"e:"
# What may be kept of a call whose record is gone: keys with its name, and indexes that hold it.
OF_A_CALL: Final = ("link", "expected_by", "asked", "damaged", "moved_to")
INDEXES: Final = ("failed", "links")

Matches = Callable[[str], bool]


class Erased(Struct, frozen=True, kw_only=True):
    """How many records of each kind were deleted."""

    calls: int = 0
    messages: int = 0
    failed: int = 0
    links: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        return Erased(
            calls=self.calls + other.calls,
            messages=self.messages + other.messages,
            failed=self.failed + other.failed,
            links=self.links + other.links,
        )


class Erasure(Struct, frozen=True):
    """
    Finds and deletes; `seen_ms` is how long ids of deleted messages are kept, so that a message
    that is sent again is not taken for a new one.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    seen_ms: int

    async def messages(self, matches: Matches) -> AsyncIterator[tuple[str, str]]:
        """
        Id and call (empty for none) of each raw message whose text matches; a damaged one does not.
        """
        prefix = self.keys.message("")
        async for keys in self._pages(f"{prefix}*"):
            for key, stored in zip(keys, await self.redis.mget(keys), strict=True):
                if stored is None:
                    continue
                ref, _, packed = stored.partition(b"\n")
                if matches(_text(packed)):
                    yield key.removeprefix(prefix), ref.decode()

    async def calls(self, matches: Matches) -> AsyncIterator[str]:
        """
        The name of each call that matches by its name, its record or its events, damaged calls
        among them.
        """
        for prefix in (self.keys.call(""), self.keys.named("damaged:")):
            async for keys in self._pages(f"{prefix}*"):
                pipe = self.redis.pipeline(transaction=False)
                for key in keys:
                    pipe.hgetall(key)
                for key, fields in zip(keys, await pipe.execute(), strict=True):
                    ref = key.removeprefix(prefix)
                    if matches(f"{ref}\n{_call_text(ref, fields)}"):
                        yield ref

    async def failed(self, matches: Matches) -> AsyncIterator[str]:
        """The id of each failed entry that matches: a call's name or a message's id."""
        prefix = self.keys.failed_entry("")
        async for keys in self._pages(f"{prefix}*"):
            for key, text in zip(keys, await self.redis.mget(keys), strict=True):
                if text is not None and matches(text.decode("utf-8", "replace")):
                    yield key.removeprefix(prefix)

    async def links(self, matches: Matches) -> list[str]:
        """The calls whose names match and that have a link."""
        refs = await self.redis.zrange(self.keys.named("links"), 0, -1)
        return [ref.decode() for ref in refs if matches(ref.decode())]

    async def is_named(self, ref: str) -> bool:
        """Whether something is kept of a call beside its record, which may be gone."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.exists(*(self.keys.named(f"{name}:{ref}") for name in OF_A_CALL))
        source = ref.partition(":")[0]
        for name in (*INDEXES, f"ask:{source}"):
            pipe.zscore(self.keys.named(name), ref)
        return any(await pipe.execute())

    async def claim_of(self, ref: str) -> str | None:
        """The Buildr call of the expected call that a call has claimed."""
        claimed = await self.redis.get(self.keys.named(f"expected_by:{ref}"))
        if claimed is None:
            return None
        return claimed.decode()

    async def erase(self, ref: str, message_ids: Sequence[str] = ()) -> Erased | None:
        """
        Delete a call with its messages, and these messages, in one step; None, with nothing
        deleted, while a worker runs the call. Without a `ref` only the messages.
        """
        await self._drop_from_index(ref)
        call = script_calls.erase(ref=ref, seen_ms=self.seen_ms, message_ids=message_ids)
        counts = await self.scripts.run(call)
        if counts[0] == RUNNING:
            return None
        calls, messages, failed, links = counts
        return Erased(calls=calls, messages=messages, failed=failed, links=links)

    async def _drop_from_index(self, ref: str) -> None:
        """Take a call out of its buckets; a job that runs now puts it back by its commit."""
        packed = await self.redis.hget(self.keys.call(ref), "rec")
        try:
            buckets = [] if packed is None else sorted(buckets_of(read_record(ref, packed)))
        # Its name in a bucket of the index says nothing of anybody, and goes with its time.
        except MalformedPayload:
            return
        for bucket in buckets:
            await self.redis.zrem(self.keys.named(bucket), ref)

    async def drop_continuations(self, refs: Collection[str]) -> None:
        """Delete the names of calls where another call notes that their legs moved to it."""
        async for keys in self._pages(f"{self.keys.named('moved_to:')}*"):
            pipe = self.redis.pipeline(transaction=False)
            for key in keys:
                pipe.srem(key, *refs)
            await pipe.execute()

    async def drop_number(self, number: str) -> None:
        """Delete the keys that are named by a number (E.164), but for its expected calls."""
        await self.redis.delete(
            self.keys.named(f"unmatched:{number}"), self.keys.named(f"expected_rev:{number}")
        )

    async def _pages(self, pattern: str) -> AsyncIterator[list[str]]:
        # As a set: SCAN may give a key twice while the table is resized.
        page: set[str] = set()
        async for key in self.redis.scan_iter(match=pattern, count=SCAN_COUNT):
            page.add(key.decode())
            if len(page) >= PAGE:
                yield sorted(page)
                page = set()
        if page:
            yield sorted(page)


def _text(packed: bytes, *, context: bytes = b"") -> str:
    try:
        return decompress(packed, context=context).decode("utf-8", "replace")
    except MalformedPayload:
        return ""


def _call_text(ref: str, fields: dict[bytes, bytes]) -> str:
    parts = [_text(fields.get(RECORD, b""), context=ref.encode())]
    for name, packed in fields.items():
        if name.startswith(EVENTS):
            context = f"{ref} {name.removeprefix(EVENTS).decode()}".encode()
            parts.append(_text(packed, context=context))
    return "\n".join(parts)
