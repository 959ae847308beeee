"""
Requests that the receiver has refused, as facts for the operator: the newest ones, summed by kind.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from service.events import UtcDatetime
from service.plain_values import plain_fields
from service.store.keys import Keys
from service.store.redis_client import Client

# Entries of an account; a flood of one kind makes two a minute for each receiver.
MOST: Final = 500
KEEP_MS: Final = 30 * 86_400_000
UNKNOWN: Final = "unknown"


class RefusedRequests(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Requests of one kind, refused within a minute; times are UTC.

    `path` has `…` for each part that is no known name, and no query. `network` is that of the last
    sender, or `UNKNOWN`. `hint` is what may be wrong, or empty. `source` is `UNKNOWN` for a path
    that names none.
    """

    first_at: UtcDatetime
    last_at: UtcDatetime
    count: int
    source: str
    path: str
    reason: str
    status_code: int | None
    network: str
    hint: str = ""


_REFUSED: Final = msgspec.json.Decoder(RefusedRequests)


class Refused(Struct, frozen=True):
    """A list in Redis, the newest entry first. Every method raises redis-py's errors."""

    redis: Client
    keys: Keys

    async def add(self, entries: Iterable[RefusedRequests]) -> None:
        """Add entries, in one round trip."""
        name = self.keys.named("refused")
        texts = [msgspec.json.encode(entry) for entry in entries]
        pipe = self.redis.pipeline(transaction=False)
        pipe.lpush(name, *texts)
        pipe.ltrim(name, 0, MOST - 1)
        pipe.pexpire(name, KEEP_MS)
        await pipe.execute()

    async def newest(self, count: int) -> list[RefusedRequests]:
        """The newest entries, the newest first."""
        texts = await self.redis.lrange(self.keys.named("refused"), 0, count - 1)
        return list(_readable(texts))

    async def recent(
        self, *, source: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[RefusedRequests]:
        """The newest entries that fit, at most `limit`, the newest first."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.lrange(self.keys.named("refused"), 0, -1)
        (texts,) = await pipe.execute()
        chosen = [
            entry
            for entry in _readable(texts)
            if source in (None, entry.source) and (since is None or entry.last_at >= since)
        ]
        return chosen[:limit]


def _readable(texts: Iterable[bytes]) -> Iterator[RefusedRequests]:
    for text in texts:
        with suppress(ValueError):
            yield _REFUSED.decode(text)


def as_dict(entry: RefusedRequests) -> dict[str, object]:
    """An entry as plain JSON values."""
    return plain_fields(entry)


def summed(entries: Iterable[RefusedRequests]) -> list[RefusedRequests]:
    """The entries with those of one kind summed up, the kind that came last first."""
    kinds: dict[tuple[object, ...], RefusedRequests] = {}
    for entry in entries:
        kind = (entry.source, entry.path, entry.reason, entry.status_code)
        newer = kinds.get(kind)
        if newer is None:
            kinds[kind] = entry
            continue
        values = asdict(newer) | {
            "count": newer.count + entry.count,
            "first_at": min(newer.first_at, entry.first_at),
        }
        kinds[kind] = RefusedRequests(**values)
    return list(kinds.values())
