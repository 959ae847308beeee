"""
All calls that are known, in pages: for commands that choose among many, never for the way of one
call.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from msgspec import Struct

from service.errors import MalformedPayload
from service.store.calls import StoredCall, read_call, read_record
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys, name_in
from service.store.links import UNREADABLE_LINK, StoredLink, read_link
from service.store.record_reading import read_packed, read_records
from service.store.redis_client import Client

# Calls per round trip: small enough that reading them does not delay the webhooks, which use the
# same Redis.
PAGE: Final = 500
# How many keys Redis visits per step of SCAN, matching or not. The default of 10 would need
# thousands of round trips, since messages and links are keys of the same database.
SCAN_COUNT: Final = 1000
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class CallFilter(Struct, frozen=True, kw_only=True):
    """Which calls are meant; what is None does not matter. A call is as old as its last message."""

    source: str | None = None
    result: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, record: DeliveryRecord) -> bool:
        """Whether a call is meant."""
        at = record.last_received_at or NEVER
        return (
            self.source in (None, record.ref.partition(":")[0])
            and self.result in (None, record.result)
            and self.state in (None, record.state)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


class CallSearch(Struct, frozen=True):
    """
    Finds calls by their records, and reads them whole.

    A call that comes while it is being looked for may be found or not; one that goes meanwhile is
    left out, and so is one whose record cannot be read: the others are meant all the same.
    """

    redis: Client
    keys: Keys

    async def select(self, call_filter: CallFilter, *, limit: int | None = None) -> list[str]:
        """The names of the calls that are meant, those first whose last message is oldest."""
        last_received: dict[str, datetime] = {}
        # Records first and whole calls later, by `read`: all have to be sorted before `limit`
        # applies, and their events are most of what a call takes in memory.
        async for refs in self._pages(call_filter.source):
            records = await read_packed(self.redis, self.keys, refs)
            for ref, packed in zip(refs, records, strict=True):
                # The call expired between the scan and the read.
                if not isinstance(packed, bytes):
                    continue
                with suppress(MalformedPayload):
                    record = read_record(ref, packed)
                    if call_filter.holds(record):
                        last_received[ref] = record.last_received_at or NEVER
        # SCAN gives no order, and may give a key twice while the table is resized: the dictionary
        # keeps one.
        refs_by_age = sorted(last_received, key=lambda ref: (last_received[ref], ref))
        return list(islice(refs_by_age, limit))

    async def read(
        self, refs: Sequence[str]
    ) -> AsyncIterator[tuple[StoredCall, StoredLink | None]]:
        """The calls of these names that are still kept, with their links, in the same order."""
        for start in range(0, len(refs), PAGE):
            page = refs[start : start + PAGE]
            pipe = self.redis.pipeline(transaction=False)
            for ref in page:
                pipe.hgetall(self.keys.call(ref))
                pipe.get(self.keys.link(ref))
            # An error stands for a key of another type.
            answers = await pipe.execute(raise_on_error=False)
            for ref, fields, link in zip(page, answers[::2], answers[1::2], strict=True):
                if not isinstance(fields, dict) or not fields:
                    continue
                if (stored := _readable(ref, fields)) is not None:
                    is_readable = link is None or isinstance(link, bytes)
                    yield stored, read_link(link) if is_readable else UNREADABLE_LINK

    async def indexed_records(
        self, name: str, *, limit: int, start: int = 0
    ) -> list[DeliveryRecord]:
        """
        The records of the calls of an index (`unmatched` or `stalled`), the longest in it first,
        without the first `start` of them, in two round trips; without those that cannot be read.
        """
        end = start + limit - 1
        refs = [name_in(ref) for ref in await self.redis.zrange(self.keys.named(name), start, end)]
        return await read_records(self.redis, self.keys, refs)

    async def _pages(self, source: str | None) -> AsyncIterator[list[str]]:
        prefix = self.keys.call("")
        pattern = f"{prefix}*"
        if source is not None:
            pattern = f"{prefix}{source}:*"
        page: list[str] = []
        async for key in self.redis.scan_iter(match=pattern, count=SCAN_COUNT):
            page.append(key.decode().removeprefix(prefix))
            if len(page) >= PAGE:
                yield page
                page = []
        if page:
            yield page


def _readable(ref: str, fields: Mapping[bytes, bytes]) -> StoredCall | None:
    try:
        return read_call(ref, fields)
    except MalformedPayload:
        return None
