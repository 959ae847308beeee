"""
Calls: the events read so far, and how far each call has come on its way to Buildr.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from service.errors import MalformedPayload
from service.events import CallEvent, UtcDatetime, from_json
from service.store.compression import compress, decompress
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys, split_ref
from service.store.rate_limit.lanes import Lane
from service.store.redis_client import Client
from service.store.script_runner import Scripts

HISTORY_LENGTH: Final = 60
ANSWERS_KEPT: Final = 5
SCAN_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of a call's story."""

    at: UtcDatetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Buildr answered to a request that failed."""

    at: UtcDatetime
    cause: str
    status_code: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """
    A person's wish to have a call put through again, in the lane `replay` or `backfill`.

    Buildr's call is read first and left alone if a person has changed its outcome there, unless
    `is_forced`.
    """

    lane: Lane
    at: UtcDatetime
    is_forced: bool = False


_REPLAY_REQUEST: Final = TypeAdapter(ReplayRequest)


def replay_request_text(request: ReplayRequest) -> str:
    """The stored form of a replay request: JSON."""
    return _REPLAY_REQUEST.dump_json(request).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """
    Where a call stands; everything but its events.

    `written` is what Buildr is known to hold from us, field by field, in the call `written_to`.
    `note_block` is the text that we put into its notes. `unsettled_since` is when the first change
    that Buildr does not hold yet was read; `attempts` counts failures since the last success and
    `retry_at` is when the next attempt may be made; `message_id` is the newest message's.
    `replay_request` is the one that is being followed until the call is at rest again. `in_doubt`
    are the outcomes, per call of Buildr's, that were sent and not confirmed.
    """

    ref: str
    state: DeliveryState = DeliveryState.OPEN
    reason: str = ""
    first_received_at: UtcDatetime | None = None
    last_received_at: UtcDatetime | None = None
    message_id: str | None = None
    unsettled_since: UtcDatetime | None = None
    buildr_call_id: str | None = None
    result: str | None = None
    outcome: str | None = None
    rule: str | None = None
    written: dict[str, str] = field(default_factory=dict)
    written_to: str | None = None
    written_at: UtcDatetime | None = None
    in_doubt: dict[str, tuple[str, ...]] = field(default_factory=dict)
    note_block: str | None = None
    attempts: int = 0
    unauthorized: int = 0
    first_failed_at: UtcDatetime | None = None
    retry_at: UtcDatetime | None = None
    answers: tuple[Answer, ...] = ()
    due_at: UtcDatetime | None = None
    # "mark" is the name under which stored records hold it.
    replay_request: Annotated[ReplayRequest | None, Field(alias="mark")] = None
    history: tuple[HistoryEntry, ...] = ()

    def with_history(self, at: datetime, what: str, detail: str = "") -> "DeliveryRecord":
        """The record with one more line in its story, the oldest lines dropped."""
        if self.history and (self.history[-1].what, self.history[-1].detail) == (what, detail):
            return self
        return replace(
            self,
            history=(*self.history, HistoryEntry(at=at, what=what, detail=detail))[
                -HISTORY_LENGTH:
            ],
        )


_RECORD: Final = TypeAdapter(DeliveryRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCall:
    """A call as it lies in Redis: its version, its record, and its events by message id."""

    version: int
    record: DeliveryRecord
    events: Mapping[str, tuple[CallEvent, ...]]
    replay_request_text: str = ""

    @property
    def replay_request(self) -> ReplayRequest | None:
        """The replay request that no job has seen yet."""
        if not self.replay_request_text:
            return None
        return _REPLAY_REQUEST.validate_json(self.replay_request_text)

    @property
    def all_events(self) -> frozenset[CallEvent]:
        """The events of all messages."""
        return frozenset(event for events in self.events.values() for event in events)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUpdate:
    """
    What a job writes about its call, all or nothing.

    `events` are the texts of the events per message read now; `done` the messages to take from the
    pending list; `failed` entries to file, by id; `drop_failed` entries that no longer hold;
    `due_at` when the call wants attention next; `awaits_names` that it does once the account's
    outcomes have been read. By `link_text` and `replay_request_text`, which are what the job saw, a link or
    a replay that came meanwhile is noticed. By its `numbers`, with the revision that the job saw of
    each, and its `started_at` an unmatched call is found when a call with such a number is
    expected. By `claimed`, the expected call that it has, it is noticed that somebody has taken
    that away.
    """

    record: DeliveryRecord
    version: int
    events: Mapping[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    drop_failed: tuple[str, ...] = ()
    due_at: datetime | None = None
    leaves_lane: bool = False
    awaits_names: bool = False
    link_text: str | None = None
    replay_request_text: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    claimed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept, in milliseconds."""

    messages_ms: int
    failed_ms: int
    calls_ms: int


@dataclass(frozen=True, slots=True)
class Calls:
    """Reads calls, and writes them by one script."""

    redis: Client
    keys: Keys
    scripts: Scripts
    retention: Retention

    async def get(self, ref: str) -> StoredCall | None:
        """One call, or None if nothing is known of it."""
        fields = await self.redis.hgetall(self.keys.call(ref))
        return read_call(ref, fields) if fields else None

    async def load(self, ref: str) -> tuple[StoredCall, list[str]]:
        """One call, empty if new, and the ids of its pending messages."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hgetall(self.keys.call(ref))
        pipe.lrange(self.keys.pending(ref), 0, -1)
        fields, pending = await pipe.execute()
        return read_call(ref, fields), [each.decode() for each in pending]

    async def begin(self, ref: str, *, worker_id: str) -> tuple[StoredCall, list[str]]:
        """
        The same for a job, which says with it at which worker it runs: should that die, others take
        the call over.
        """
        pipe = self.redis.pipeline(transaction=True)
        pipe.hset(self.keys.named("running"), ref, worker_id)
        pipe.hgetall(self.keys.call(ref))
        pipe.lrange(self.keys.pending(ref), 0, -1)
        _, fields, pending = await pipe.execute()
        return read_call(ref, fields), [each.decode() for each in pending]

    async def commit(self, change: CallUpdate) -> bool:
        """
        Write a change down; False if somebody else has written since the call was read, and nothing
        was changed.
        """
        record = change.record
        due_ms = None if change.due_at is None else max(1, int(change.due_at.timestamp() * 1000))
        body = {
            "ref": record.ref,
            "version": change.version,
            "state": record.state.value,
            "done": list(change.done),
            "failed": dict(change.failed),
            "drop_failed": list(change.drop_failed),
            "leave_lane": change.leaves_lane,
            "awaits_names": change.awaits_names,
            "replay": change.replay_request_text,
            "keep_messages_ms": self.retention.messages_ms,
            "keep_failed_ms": self.retention.failed_ms,
            "keep_call_ms": self.retention.calls_ms,
        }
        if change.link_text is not None:
            body["link"] = change.link_text
        if change.numbers and change.started_at is not None:
            body["numbers"] = dict(change.numbers)
            body["started_ms"] = max(1, int(change.started_at.timestamp() * 1000))
        if change.claimed is not None:
            body["claimed"] = change.claimed
        if due_ms is not None:
            body["due_ms"] = due_ms
        packed = compress(
            _RECORD.dump_json(
                replace(record, due_at=change.due_at), exclude_defaults=True, by_alias=True
            ),
            context=record.ref.encode(),
        )
        events = [
            part
            for id_, text in change.events.items()
            for part in (id_, compress(text.encode(), context=_beside_events(record.ref, id_)))
        ]
        return await self.scripts.run("commit", json.dumps(body), packed, *events) != -1

    async def request_replay(self, ref: str, request: ReplayRequest) -> bool:
        """Have a call replayed by a job; False if no such call is stored."""
        return await self.scripts.run("request_replay", ref, replay_request_text(request)) == 1

    async def indexed(
        self, name: str, *, limit: int = 1000
    ) -> AsyncIterator[tuple[str, datetime | None, StoredCall]]:
        """
        The calls of an index (`unmatched` or `stalled`), oldest first, with the call as it stands.
        """
        refs = await self.redis.zrange(self.keys.named(name), 0, limit - 1)
        for ref in refs:
            stored = await self.get(ref.decode())
            if stored is not None:
                yield ref.decode(), stored.record.first_received_at, stored

    async def find(self, part: str, *, limit: int = 20) -> list[str]:
        """Names of calls that contain a text; for people who know only half of an id."""
        found: list[str] = []
        prefix = self.keys.call("")
        escaped = "".join(f"\\{char}" if char in "*?[]\\" else char for char in part)
        async for key in self.redis.scan_iter(match=f"{prefix}*{escaped}*", count=SCAN_PAGE):
            found.append(key.decode().removeprefix(prefix))
            if len(found) >= limit:
                break
        return sorted(found)


def read_record(ref: str, packed: bytes) -> DeliveryRecord:
    """
    The record that the field `rec` of a call holds.

    Raises `MalformedPayload` if it is damaged or was written by a newer version.
    """
    try:
        return _RECORD.validate_json(decompress(packed, context=ref.encode()))
    except ValidationError as err:
        raise MalformedPayload(f"the stored record of {ref} cannot be read") from err


def read_call(ref: str, fields: Mapping[bytes, bytes]) -> StoredCall:
    """
    The call that a hash holds, empty if there is none. Raises `MalformedPayload` as `read_record`
    does.
    """
    split_ref(ref)
    ids = [name[2:].decode() for name in fields if name.startswith(b"e:")]
    events = {
        each: from_json(decompress(fields[f"e:{each}".encode()], context=_beside_events(ref, each)))
        for each in ids
    }
    record = read_record(ref, fields[b"rec"]) if b"rec" in fields else DeliveryRecord(ref=ref)
    return StoredCall(
        version=int(fields.get(b"v", b"0")),
        record=record,
        events=events,
        replay_request_text=fields.get(b"replay", b"").decode(),
    )


def _beside_events(ref: str, message_id: str) -> bytes:
    """What the events of a message repeat of the names under which they are kept."""
    return f"{ref} {message_id}".encode()
