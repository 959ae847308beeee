"""
Raw webhook messages: what came in, kept so that it can be read anew.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from service.sources.base import Incoming, digest
from service.store.client import Client
from service.store.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One genuine HTTP request of a source; `source_call_id` is None if it names no call."""

    message_id: str
    source: str
    source_call_id: str | None
    received_at: datetime
    incoming: Incoming


def message_id(source: str, message_key: str) -> str:
    """The name of a message for ever: the same message sent twice has the same one."""
    return "m" + digest(source, message_key)[:24]


def to_fields(message: Message) -> list[str | bytes]:
    """Names and values of the hash that holds a message."""
    incoming = message.incoming
    return [
        *("source", message.source),
        *("source_call_id", message.source_call_id or ""),
        *("received_at", message.received_at.isoformat()),
        *("method", incoming.method),
        *("url", incoming.url),
        *("headers", json.dumps({name: list(values) for name, values in incoming.headers.items()})),
        *("body", incoming.body),
    ]


def from_fields(message_id_: str, fields: dict[bytes, bytes]) -> Message:
    """The message that a hash holds; the inverse of `to_fields`."""
    text = {name.decode(): value.decode() for name, value in fields.items() if name != b"body"}
    headers: dict[str, list[str]] = json.loads(text["headers"])
    return Message(
        message_id=message_id_,
        source=text["source"],
        source_call_id=text["source_call_id"] or None,
        received_at=datetime.fromisoformat(text["received_at"]),
        incoming=Incoming(
            method=text["method"],
            url=text["url"],
            headers={name: tuple(values) for name, values in headers.items()},
            body=fields[b"body"],
        ),
    )


@dataclass(frozen=True, slots=True)
class Messages:
    """Reads raw messages; they are written by the scripts `accept` and `keep_failed` only."""

    redis: Client
    keys: Keys

    async def get(self, message_id_: str) -> Message | None:
        """One message, or None if its time is over."""
        fields = await self.redis.hgetall(self.keys.message(message_id_))
        return from_fields(message_id_, fields) if b"headers" in fields else None

    async def get_many(self, message_ids: list[str]) -> dict[str, Message]:
        """Those of the messages that are still kept, in one round trip."""
        pipe = self.redis.pipeline(transaction=False)
        for each in message_ids:
            pipe.hgetall(self.keys.message(each))
        found: list[dict[bytes, bytes]] = await pipe.execute()
        return {each: from_fields(each, fields) for each, fields in zip(message_ids, found, strict=True) if b"headers" in fields}

    async def waiting(self) -> tuple[int, float | None]:
        """How many messages no worker has read yet, and since when the oldest waits (seconds since the epoch)."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.zcard(self.keys.named("inbox"))
        pipe.zrange(self.keys.named("inbox"), 0, 0, withscores=True)
        count, oldest = await pipe.execute()
        return int(count), oldest[0][1] / 1000 if oldest else None
