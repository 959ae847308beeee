"""
Failed messages and calls: what was given up on, with cause and answers, until an operator replays
or discards it.
"""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import Struct

from service.errors import FailureCause
from service.events import UtcDatetime
from service.plain_values import plain_fields
from service.store import script_calls
from service.store.delivery_state import Answer, ReplayRequest, replay_request_to_json
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts

PAGE: Final = 200
# Entries that are read per round trip where many are looked at: a megabyte at most.
READ_PAGE: Final = 1000
ALREADY_TAKEN: Final = -1


class Failed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A failed call (its id is the call's name) or a failed message.

    `cause` is a `FailureCause`, or one that another version of this program wrote.
    """

    entry_id: str
    kind: Literal["call", "message"]
    source: str
    source_call_id: str | None
    # A text and not a `FailureCause`: an entry of a newer version must still be listed by an older
    # one.
    cause: str
    detail: str
    failed_at: UtcDatetime
    message_ids: tuple[str, ...] = ()
    buildr_call_id: str | None = None
    attempts: int = 0
    answers: tuple[Answer, ...] = ()


class FailedFacts(Struct, frozen=True, kw_only=True):
    """What a list is grouped and filtered by, of an entry that is not read whole."""

    entry_id: str
    source: str
    cause: str
    detail: str


_FAILED: Final = msgspec.json.Decoder(Failed)
_FACTS: Final = msgspec.json.Decoder(FailedFacts)
NEVER: Final = datetime.fromtimestamp(0, UTC)
UNREADABLE: Final = "what is stored of this entry cannot be read"


def to_text(entry: Failed) -> str:
    """An entry as it is kept."""
    return msgspec.json.encode(entry).decode()


def as_dict(entry: Failed) -> dict[str, object]:
    """An entry as plain JSON values."""
    return plain_fields(entry)


class FailedFilter(Struct, frozen=True, kw_only=True):
    """Which failed entries are meant; what is None does not matter."""

    source: str | None = None
    cause: str | None = None
    call: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, entry: Failed) -> bool:
        """Whether an entry is meant."""
        return (
            self.source in (None, entry.source)
            and self.cause in (None, entry.cause)
            and (
                self.call is None
                or self.call
                in (
                    entry.source_call_id,
                    f"{entry.source}:{entry.source_call_id}",
                    entry.buildr_call_id,
                )
            )
            and (self.since is None or entry.failed_at >= self.since)
            and (self.until is None or entry.failed_at < self.until)
        )


class FailedStore(Struct, frozen=True):
    """Lists failed entries; they are filed by the scripts `commit` and `keep_failed`."""

    redis: Client
    keys: Keys
    scripts: Scripts
    keep_calls_ms: int

    async def get(self, entry_id: str) -> Failed | None:
        """One entry, or None."""
        text = await self.redis.get(self.keys.failed_entry(entry_id))
        if text is None:
            return None
        return _read(entry_id, text)

    async def count(self) -> int:
        """How many entries there are."""
        return int(await self.redis.zcard(self.keys.named("failed")))

    async def get_many(self, entry_ids: Sequence[str]) -> list[Failed]:
        """These entries, in the same order, without those that are gone."""
        if not entry_ids:
            return []
        texts = await self.redis.mget([self.keys.failed_entry(name) for name in entry_ids])
        pairs = zip(entry_ids, texts, strict=True)
        return [_read(entry_id, text) for entry_id, text in pairs if text is not None]

    async def facts(self, *, most: int) -> list[FailedFacts]:
        """What the oldest entries are grouped by, the oldest first: in a third of the time."""
        facts: list[FailedFacts] = []
        async for entry_id, text in self._texts():
            facts.append(_read_facts(entry_id, text))
            if len(facts) >= most:
                break
        return facts

    async def select(self, failed_filter: FailedFilter) -> AsyncIterator[Failed]:
        """The entries that are meant, oldest first."""
        # As it is in the stored text. It tells most entries apart, which need not be read.
        in_text = b""
        if failed_filter.cause is not None:
            in_text = f'"cause":{json.dumps(failed_filter.cause, ensure_ascii=False)}'.encode()
        async for entry_id, text in self._texts():
            if in_text not in text:
                continue
            entry = _read(entry_id, text)
            if failed_filter.holds(entry):
                yield entry

    async def _texts(self) -> AsyncIterator[tuple[str, bytes]]:
        # By rank: an entry that is taken out meanwhile moves the rest up, so that a list may miss
        # one. It is a list for people, and complete the next time.
        start = 0
        while ids := await self.redis.zrange(
            self.keys.named("failed"), start, start + READ_PAGE - 1
        ):
            names = [name_in(entry_id) for entry_id in ids]
            texts = await self.redis.mget([self.keys.failed_entry(name) for name in names])
            for name, text in zip(names, texts, strict=True):
                # Replayed or discarded between the two reads.
                if text is not None:
                    yield name, text
            start += READ_PAGE

    async def replay(
        self, entry: Failed, *, ref: str, message_ids: list[str], replay_request: ReplayRequest
    ) -> int | None:
        """
        Take an entry out and queue its messages again, atomically; its call, if it is known, gets
        the replay request.

        Returns how many raw messages are read anew, or None if somebody else has taken the entry.
        """
        call = script_calls.replay(
            entry_id=entry.entry_id,
            ref=ref,
            replay_request=replay_request_to_json(replay_request),
            message_ids=message_ids,
        )
        count = await self.scripts.run(call)
        if count == ALREADY_TAKEN:
            return None
        return count

    async def discard(self, entry: Failed) -> bool:
        """Take an entry out for good; False if it was gone already."""
        call = script_calls.discard(entry_id=entry.entry_id, keep_call_ms=self.keep_calls_ms)
        return await self.scripts.run(call)

    async def forget_old(self, *, before_ms: int) -> list[str]:
        """
        Drop entries that were filed before a time (ms since the epoch); returns their ids, at most
        `PAGE`.
        """
        ids = await self.redis.zrangebyscore(
            self.keys.named("failed"), "-inf", before_ms, start=0, num=PAGE
        )
        entry_ids = [name_in(entry_id) for entry_id in ids]
        for entry_id in entry_ids:
            call = script_calls.discard(entry_id=entry_id, keep_call_ms=self.keep_calls_ms)
            await self.scripts.run(call)
        return entry_ids


def _read(entry_id: str, text: bytes) -> Failed:
    """The entry of a text; one that cannot be read is listed all the same, to be discarded."""
    try:
        return _FAILED.decode(text)
    except ValueError:
        source, colon, source_call_id = entry_id.partition(":")
        if not colon:
            return _unreadable(entry_id, "message", "unknown", None)
        return _unreadable(entry_id, "call", source, source_call_id)


def _read_facts(entry_id: str, text: bytes) -> FailedFacts:
    try:
        return _FACTS.decode(text)
    except ValueError:
        entry = _read(entry_id, text)
        return FailedFacts(
            entry_id=entry_id, source=entry.source, cause=entry.cause, detail=entry.detail
        )


def _unreadable(
    entry_id: str, kind: Literal["call", "message"], source: str, source_call_id: str | None
) -> Failed:
    return Failed(
        entry_id=entry_id,
        kind=kind,
        source=source,
        source_call_id=source_call_id,
        cause=FailureCause.DAMAGED_RECORD.value,
        detail=UNREADABLE,
        failed_at=NEVER,
    )
