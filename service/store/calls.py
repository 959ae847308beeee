"""
Calls in Redis: the events parsed so far, and the record of each call's delivery.

A call is one hash: `v` its version, `rec` the compressed record, `e:<message id>` the compressed
events of a message, `replay` a replay request that no job has read yet.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace
from redis.exceptions import ResponseError

from service.errors import MalformedPayload
from service.events import CallEvent, from_json
from service.store import script_calls
from service.store.call_update import CallUpdate, Retention
from service.store.commit_arguments import commit_arguments
from service.store.compression import compress, decompress
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import (
    ReplayRequest,
    replay_request_from_json,
    replay_request_to_json,
)
from service.store.failed import Failed, to_text
from service.store.keys import Keys, name_in, split_ref
from service.store.links import link_text
from service.store.messages import UnreadMessages, make_value_small, read_unread
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# What `commit.lua` returns if the call's version has changed.
CONFLICT: Final = -1
EVENTS_FIELD: Final = b"e:"
# What is kept of one call alone, and of which type each is.
TYPES: Final[Mapping[str, bytes]] = {
    "call": b"hash",
    "pending": b"list",
    "link": b"string",
    "expected_by": b"string",
    "permit": b"string",
    "broken": b"string",
    "moved_to": b"set",
}
# How the error of Redis begins for a key of another type.
WRONG_TYPE: Final = "WRONGTYPE"

# The lists of `reading.lua`.
FirstRead: TypeAlias = list[list[Any]]
_RECORD: Final = msgspec.json.Decoder(DeliveryRecord)


class DamagedRecord(MalformedPayload):
    """Raised for a call of which something is stored that cannot be read; `ref` is its name."""

    def __init__(self, ref: str, detail: str) -> None:
        super().__init__(f"what is stored of {ref} cannot be read: {detail}")
        self.ref = ref


class StoredCall(Struct, frozen=True, kw_only=True):
    """
    A call as it is in Redis: its version, its record, and its events by message id.

    `replay_request_text` is the stored form of a request that no job has read yet, or "".
    """

    version: int
    record: DeliveryRecord
    events: Mapping[str, tuple[CallEvent, ...]]
    replay_request_text: str = ""

    @property
    def replay_request(self) -> ReplayRequest | None:
        """The replay request that no job has read yet."""
        if not self.replay_request_text:
            return None
        return replay_request_from_json(self.replay_request_text)

    @property
    def all_events(self) -> frozenset[CallEvent]:
        """The events of all messages."""
        return frozenset(event for events in self.events.values() for event in events)


class LoadedCall(Struct, frozen=True, kw_only=True):
    """
    A call, empty if it is new, and the ids of its pending messages, oldest first.

    Of a call that a job has begun also these messages, and its link as it is stored, see
    `service.store.links`; None without one.
    """

    stored: StoredCall
    pending: tuple[str, ...]
    unread: UnreadMessages = field(default_factory=UnreadMessages)
    link_text: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether a job has ever written the call, or has a message to read."""
        return bool(self.stored.version or self.pending)


class Calls(Struct, frozen=True):
    """Reads calls, and writes them by one script."""

    redis: Client
    keys: Keys
    scripts: Scripts
    retention: Retention

    async def get(self, ref: str) -> StoredCall | None:
        """One call, or None if it is not stored."""
        fields = await self.redis.hgetall(self.keys.call(ref))
        if not fields:
            return None
        return read_call(ref, fields)

    async def load(self, ref: str) -> LoadedCall:
        """One call and its pending messages, from one moment. Raises `DamagedRecord`."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hgetall(self.keys.call(ref))
        pipe.lrange(self.keys.pending(ref), 0, -1)
        fields, pending = await pipe.execute(raise_on_error=False)
        for answer in (fields, pending):
            if isinstance(answer, ResponseError) and str(answer).startswith(WRONG_TYPE):
                raise DamagedRecord(ref, "it is of another type than it should be")
            if isinstance(answer, Exception):
                raise answer
        return _loaded(ref, fields, pending)

    async def is_damaged(self, ref: str) -> bool:
        """Whether what is kept of one call alone cannot be read. Raises redis-py's errors."""
        pipe = self.redis.pipeline(transaction=False)
        for name in TYPES:
            pipe.type(self.keys.named(f"{name}:{ref}"))
        types = zip(await pipe.execute(), TYPES.values(), strict=True)
        return any(stored not in (b"none", expected) for stored, expected in types)

    async def begin(self, ref: str, *, worker_id: str) -> LoadedCall:
        """
        The same for a job, with all that a job reads first, and store which worker runs it.

        If that worker dies, the sweep of another one runs the call again.
        """
        return self.read(
            ref, await self.scripts.run(script_calls.begin(ref=ref, worker_id=worker_id))
        )

    def read(self, ref: str, first_read: FirstRead) -> LoadedCall:
        """The call that a job has read when it was taken, or began. Raises `DamagedRecord`."""
        fields, pending, messages, taken_ms, link_texts = first_read
        message_ids = tuple(name_in(message_id) for message_id in pending)
        return LoadedCall(
            stored=read_call(ref, dict(zip(fields[::2], fields[1::2], strict=True))),
            pending=message_ids,
            unread=read_unread(message_ids, messages, taken_ms),
            link_text=link_text(link_texts[0]) if link_texts else None,
        )

    async def commit(
        self, update: CallUpdate, *, worker_id: str | None = None, ends_job: bool = False
    ) -> bool:
        """
        Write an update of a worker's job, which goes on or ends with it.

        Returns False, with nothing written, if the call's version is no longer `update.version`.
        """
        ref = update.record.ref
        # In the record too, for `explain`: the index `due` is changed by everything that wakes the
        # call.
        record = replace(update.record, due_at=update.due_at)
        compressed_record = pack_record(record)
        messages = {
            message_id: (compress(text.encode(), context=_events_context(ref, message_id)), b"")
            for message_id, text in update.events.items()
        }
        for message_id, value in update.framed.items():
            compressed_events, _ = messages.get(message_id, (b"", b""))
            messages[message_id] = (compressed_events, make_value_small(value))
        call = script_calls.commit(
            update=commit_arguments(update, self.retention, worker_id=worker_id, ends_job=ends_job),
            compressed_record=compressed_record,
            messages=messages,
        )
        return await self.scripts.run(call) != CONFLICT

    async def set_aside(self, entry: Failed) -> None:
        """
        Set a call aside whose record cannot be read; its messages are kept with the failed entry.
        """
        call = script_calls.set_aside(
            ref=entry.entry_id,
            entry=to_text(entry),
            keep_ms=self.retention.failed_ms,
            keep_entry_ms=self.retention.open_ms,
        )
        await self.scripts.run(call)

    async def request_replay(self, ref: str, request: ReplayRequest) -> bool:
        """Have a call replayed by a job; False if no such call is stored."""
        text = replay_request_to_json(request)
        return await self.scripts.run(script_calls.request_replay(ref=ref, replay_request=text))


def pack_record(record: DeliveryRecord) -> bytes:
    """The record as the field `rec` of its call holds it; the inverse of `read_record`."""
    text = msgspec.json.encode(record)
    return compress(text, context=record.ref.encode())


def read_record(ref: str, compressed: bytes) -> DeliveryRecord:
    """
    The record that the field `rec` of a call holds.

    Raises `MalformedPayload` if it is damaged or was written by a newer version.
    """
    try:
        return _RECORD.decode(decompress(compressed, context=ref.encode()))
    except ValueError as err:
        raise MalformedPayload(f"the stored record of {ref} cannot be read") from err


def read_call(ref: str, fields: Mapping[bytes, bytes]) -> StoredCall:
    """
    The call that a hash holds, an empty one if the hash is empty.

    Raises `DamagedRecord`, and ValueError if `ref` is no name of a call.
    """
    # Before anything is read: a name that an operator has mistyped is no damaged record.
    split_ref(ref)
    try:
        return _read_fields(ref, fields)
    # ValueError: a version that is no number, or JSON of another form.
    except (MalformedPayload, ValueError) as err:
        raise DamagedRecord(ref, str(err).partition("\n")[0]) from err


def _read_fields(ref: str, fields: Mapping[bytes, bytes]) -> StoredCall:
    record = DeliveryRecord(ref=ref)
    # A call that so far only has a replay request has none yet, see `replay.lua`.
    if b"rec" in fields:
        record = read_record(ref, fields[b"rec"])
    events = {}
    for name, compressed in fields.items():
        if name.startswith(EVENTS_FIELD):
            message_id = name_in(name.removeprefix(EVENTS_FIELD))
            context = _events_context(ref, message_id)
            events[message_id] = from_json(decompress(compressed, context=context))
    return StoredCall(
        version=int(fields.get(b"v", b"0")),
        record=record,
        events=events,
        replay_request_text=_replay_request_text(fields.get(b"replay", b"")),
    )


def _replay_request_text(stored: bytes) -> str:
    """A replay request as it is stored, or "". Raises ValueError if it cannot be read."""
    text = stored.decode()
    if text:
        replay_request_from_json(text)
    return text


def _loaded(ref: str, fields: Mapping[bytes, bytes], pending: list[bytes]) -> LoadedCall:
    message_ids = tuple(name_in(message_id) for message_id in pending)
    return LoadedCall(stored=read_call(ref, fields), pending=message_ids)


def _events_context(ref: str, message_id: str) -> bytes:
    """What the events of a message repeat of the names under which they are stored."""
    return f"{ref} {message_id}".encode()
