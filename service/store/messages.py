"""
Raw webhook messages: what came in, kept so that it can be read anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import UtcDatetime
from service.sources.common.signatures import digest
from service.sources.request import WebhookRequest
from service.store.compression import compress, decompress, frame, is_framed, make_small
from service.store.keys import Keys
from service.store.redis_client import Client


class Message(Struct, frozen=True, kw_only=True):
    """
    One genuine HTTP request of a source; `source_call_id` is None if it names no call.

    `received_at` is by the receiver's clock, `taken_at` is when Redis took it, by the clock of all;
    None where that does not matter any more.
    """

    message_id: str
    source: str
    source_call_id: str | None
    received_at: datetime
    request: WebhookRequest
    taken_at: datetime | None = None


def message_id(source: str, message_key: str) -> str:
    """The name of a message for ever: the same message sent twice has the same one."""
    # 24 hex digits are 96 bits: among a billion messages two are equal with a chance of 1 in 10^11.
    # The name is a key in Redis and an argument in log lines, so that it is kept short.
    return "m" + digest(source, message_key)[:24]


class _Head(Struct, frozen=True, kw_only=True):
    """Everything of a message but its body."""

    source: str
    source_call_id: str | None
    received_at: UtcDatetime
    method: str
    url: str
    headers: dict[str, tuple[str, ...]]
    buildr_call_id: str | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_encode: Final = msgspec.json.Encoder().encode


def pack_message(message: Message) -> bytes:
    """A message as it is kept: one line of JSON and the body as it came, packed."""
    return compress(_text_of(message), is_fast=True)


def frame_message(message: Message) -> bytes:
    """The same in a tenth of the time, for a sender that waits: framed, and not made small."""
    return frame(_text_of(message))


def _text_of(message: Message) -> bytes:
    request = message.request
    # The fields of `_Head`, without building one.
    head: dict[str, object] = {
        "source": message.source,
        "source_call_id": message.source_call_id,
        "received_at": message.received_at.astimezone(UTC),
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
    }
    if request.buildr_call_id is not None:
        head["buildr_call_id"] = request.buildr_call_id
    # The head is one line, since JSON writes a line feed as `\n`; the body follows byte for byte,
    # so that it can be parsed anew by any later version.
    return _encode(head) + b"\n" + request.body


def make_value_small(stored: bytes) -> bytes:
    """What the key of a message holds, with the message made small. Raises `MalformedPayload`."""
    line, line_feed, packed = stored.partition(b"\n")
    return line + line_feed + make_small(packed)


def _read(message_id_: str, stored: bytes) -> Message:
    """
    The message that a key holds: the line with its call's name is for the scripts only.

    Raises `MalformedPayload` if it is damaged or was written by a newer version.
    """
    line, _, body = decompress(stored.partition(b"\n")[2]).partition(b"\n")
    try:
        head = _HEAD.decode(line)
    except ValueError as err:
        raise MalformedPayload(f"the stored message {message_id_} cannot be read") from err
    return Message(
        message_id=message_id_,
        source=head.source,
        source_call_id=head.source_call_id,
        received_at=head.received_at,
        request=WebhookRequest(
            method=head.method,
            url=head.url,
            headers=head.headers,
            body=body,
            buildr_call_id=head.buildr_call_id,
        ),
    )


class UnreadMessages(Struct, frozen=True, kw_only=True):
    """
    Messages that no job has read yet, oldest first, and the ids of those that are damaged. Of those
    that have to be made small yet `framed` has what their keys hold, by id.
    """

    messages: tuple[Message, ...] = ()
    damaged_ids: tuple[str, ...] = ()
    framed: Mapping[str, bytes] = field(default_factory=dict)


class Messages(Struct, frozen=True):
    """Reads raw messages; they are written by the scripts `accept` and `keep_failed` only."""

    redis: Client
    keys: Keys

    async def get(self, message_id_: str) -> Message | None:
        """One message, or None if its time is over."""
        stored = await self.redis.get(self.keys.message(message_id_))
        if stored is None:
            return None
        return _read(message_id_, stored)

    async def get_many(self, message_ids: list[str]) -> dict[str, Message]:
        """
        Those of the messages that are still stored and not damaged, by id, in one round trip.
        """
        if not message_ids:
            return {}
        values = await self.redis.mget([self.keys.message(id_) for id_ in message_ids])
        return {message.message_id: message for message in _readable(message_ids, values)}

    async def waiting(self) -> tuple[int, float | None]:
        """
        `(count, oldest_s)`: how many messages no worker has read yet, and since when the oldest
        waits (seconds since the epoch, None if none waits).
        """
        pipe = self.redis.pipeline(transaction=False)
        pipe.zcard(self.keys.named("inbox"))
        pipe.zrange(self.keys.named("inbox"), 0, 0, withscores=True)
        count, oldest = await pipe.execute()
        if not oldest:
            return int(count), None
        _, received_ms = oldest[0]
        return int(count), received_ms / 1000


def _readable(ids: Sequence[str], values: Sequence[bytes | None]) -> Iterator[Message]:
    for id_, stored in zip(ids, values, strict=True):
        # A damaged one is as good as gone: it must not keep the others from being replayed or
        # shown. Its job has filed it as failed.
        with suppress(MalformedPayload):
            if stored is not None:
                yield _read(id_, stored)


def read_unread(
    message_ids: Sequence[str], stored: Sequence[bytes | None], taken_ms: Sequence[bytes]
) -> UnreadMessages:
    """
    The unread messages of a call, of which `stored` are the values of their keys, and `taken_ms`
    when each was taken (ms since the epoch, empty if that is not known).

    One that is not stored any more is left out. No `received_at` is after its `taken_at`, however
    far the receiver's clock was ahead.
    """
    messages: list[Message] = []
    damaged_ids: list[str] = []
    framed: dict[str, bytes] = {}
    for id_, value, score in zip(message_ids, stored, taken_ms, strict=True):
        if value is None:
            continue
        # One that is damaged must not keep the others from being read.
        try:
            messages.append(_taken(_read(id_, value), float(score) if score else None))
        except MalformedPayload:
            damaged_ids.append(id_)
            continue
        if is_framed(value.partition(b"\n")[2]):
            framed[id_] = value
    return UnreadMessages(messages=tuple(messages), damaged_ids=tuple(damaged_ids), framed=framed)


def _taken(message: Message, taken_ms: float | None) -> Message:
    if taken_ms is None:
        return message
    taken_at = datetime.fromtimestamp(taken_ms / 1000, UTC)
    received_at = min(message.received_at, taken_at)
    return replace(message, received_at=received_at, taken_at=taken_at)
