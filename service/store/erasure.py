"""
Everything that is stored about a telephone number or a call: found by its text, and deleted.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Final

from msgspec import Struct
from redis.exceptions import ResponseError

from service.errors import MalformedPayload
from service.store import script_calls
from service.store.call_index import buckets_of
from service.store.calls import read_record
from service.store.compression import decompress
from service.store.expectations import read_entry
from service.store.keys import Keys, name_in, ref_of, split_ref
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


class Found(Struct, frozen=True):
    """
    A record, and its call, which is empty for none. One that is not `is_readable` is named because
    nobody can say whether it belongs to the subject; all others do.
    """

    name: str
    ref: str = ""
    is_readable: bool = True


class Erasure(Struct, frozen=True):
    """
    Finds and deletes; `seen_ms` is how long ids of deleted messages are kept, so that a message
    that is sent again is not taken for a new one.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    seen_ms: int

    async def messages(self, matches: Matches) -> AsyncIterator[Found]:
        """The id of each raw message whose text matches, and of each that cannot be read."""
        prefix = self.keys.message("")
        async for keys in self._pages(f"{prefix}*"):
            for key, stored in zip(keys, await self.redis.mget(keys), strict=True):
                if stored is None:
                    continue
                name, _, packed = stored.partition(b"\n")
                ref = _name_of_call(name)
                text = _text(packed)
                if matches(text if text is not None else _as_it_is(stored)):
                    yield Found(key.removeprefix(prefix), ref)
                elif text is None:
                    yield Found(key.removeprefix(prefix), ref, is_readable=False)

    async def calls(self, matches: Matches) -> AsyncIterator[Found]:
        """
        Each call that matches by its name, its record or its events, damaged calls among them; and
        each of which a part cannot be read.
        """
        for prefix in (self.keys.call(""), self.keys.named("damaged:")):
            async for keys in self._pages(f"{prefix}*"):
                pipe = self.redis.pipeline(transaction=False)
                for key in keys:
                    pipe.hgetall(key)
                # An error stands for a key of another type: nothing of it can be read.
                answers = await pipe.execute(raise_on_error=False)
                for key, fields in zip(keys, answers, strict=True):
                    ref = key.removeprefix(prefix)
                    texts = _call_texts(ref, fields) if isinstance(fields, dict) else [None]
                    if any(matches(text) for text in (ref, *texts) if text is not None):
                        yield Found(ref, ref)
                    elif None in texts:
                        yield Found(ref, ref, is_readable=False)

    async def expected(self, number: str, matches: Matches) -> AsyncIterator[Found]:
        """
        The Buildr call of each expected call with a number (E.164), and of each that cannot be
        read. A damaged one counts as one with the number if it was registered for it, or its text
        matches.
        """
        listed = await self.redis.zrange(self.keys.named("expected"), 0, -1)
        registered = await self.redis.zrange(self.keys.named(f"expected_for:{number}"), 0, -1)
        # A dictionary keeps the order: those whose window ends last come first.
        names = list(dict.fromkeys([*reversed(listed), *registered]))
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            pipe = self.redis.pipeline(transaction=False)
            for name in page:
                pipe.hgetall(self.keys.named(f"expected:{name_in(name)}"))
            for name, fields in zip(page, await pipe.execute(raise_on_error=False), strict=True):
                # Of one whose time is over only the index is left.
                if fields == {}:
                    continue
                # An error stands for a key of another type.
                values = fields if isinstance(fields, dict) else {}
                entry = read_entry(values)
                if entry is None:
                    text = _as_it_is(b"\n".join(values.values()))
                    yield Found(name_in(name), is_readable=name in registered or matches(text))
                elif any(other.e164 == number for other in entry.numbers):
                    yield Found(name_in(name))

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
        return [ref for ref in map(name_in, refs) if matches(ref)]

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
        return _as_it_is(claimed)

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
        try:
            packed = await self.redis.hget(self.keys.call(ref), "rec")
            buckets = [] if packed is None else sorted(buckets_of(read_record(ref, packed)))
        # Its name in a bucket of the index says nothing of anybody, and goes with its time.
        # Another error than that of the type is met again by the script.
        except (MalformedPayload, ResponseError):
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
        """
        Delete the keys that are named by a number (E.164), whose expected calls are taken away
        already: those of a damaged one may have stayed in the list of the number.
        """
        for name in ("unmatched", "expected_rev", "expected_for"):
            await self.redis.delete(self.keys.named(f"{name}:{number}"))

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


def _text(packed: bytes, *, context: bytes = b"") -> str | None:
    """What was packed; None of what is damaged."""
    try:
        return _as_it_is(decompress(packed, context=context))
    except MalformedPayload:
        return None


def _as_it_is(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _name_of_call(stored: bytes) -> str:
    """The name of a message's call; empty where it has none, or it is damaged."""
    try:
        source, source_call_id = split_ref(stored.decode())
    except ValueError:
        return ""
    return ref_of(source, source_call_id)


def _call_texts(ref: str, fields: dict[bytes, bytes]) -> list[str | None]:
    """The record and the events of each message, None for what cannot be read."""
    texts = [_text(fields.get(RECORD, b""), context=ref.encode())]
    for name, packed in fields.items():
        if name.startswith(EVENTS):
            context = ref.encode() + b" " + name.removeprefix(EVENTS)
            texts.append(_text(packed, context=context))
    return texts
