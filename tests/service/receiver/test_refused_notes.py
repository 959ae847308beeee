"""
Refused requests as facts in Redis: summed, without secrets, and few writes however many there are.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import field
from redis.exceptions import ConnectionError as RedisConnectionError

from service.receiver import refused_notes
from service.receiver.public_url import PublicUrlResolver
from service.receiver.refused_notes import MAX_KINDS, RefusedNotes
from service.store.connection import Store
from service.store.refused import MOST, Refused, RefusedRequests, as_dict, summed

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
WRONG = "the signature does not fit"


class Records(Refused, frozen=True):
    """Records that note the writes, or fail."""

    attempts: list[int] = field(default_factory=list)
    error: Exception | None = None

    @classmethod
    def of(cls, store: Store, error: Exception | None = None) -> "Records":
        """Records of a store."""
        return cls(store.redis, store.keys, error=error)

    @property
    def writes(self) -> int:
        """How many writes were tried."""
        return len(self.attempts)

    async def add(self, entries: Iterable[RefusedRequests]) -> None:
        """Write, or fail."""
        entries = tuple(entries)
        self.attempts.append(len(entries))
        if self.error is not None:
            raise self.error
        await super().add(entries)


def notes_of(store: Store, **records: Refused) -> RefusedNotes:
    """Notes of a receiver at https://hooks.example.test, by a clock that does not move."""
    return RefusedNotes(
        records={"default": store.refused, **records},
        sources=frozenset({"twilio", "zoom"}),
        public_url=PublicUrlResolver("https://hooks.example.test"),
        now=lambda: AT,
        clock=lambda: 1000.0,
    )


def scope(
    path: str, *, host: str = "hooks.example.test", client: str = "203.0.113.7"
) -> dict[str, object]:
    """A request as ASGI describes it."""
    return {
        "type": "http",
        "path": path,
        "client": (client, 4711),
        "headers": [(b"host", host.encode())],
    }


def refuse(notes: RefusedNotes, request: dict[str, object], reason: str = WRONG) -> None:
    """Count one refused message of Twilio."""
    notes.note(request, account="default", source="twilio", reason=reason, status_code=401)


async def test_requests_of_a_kind_are_one_entry(store: Store) -> None:
    """With how many, when, which path, why, and the network of the sender."""
    notes = notes_of(store)
    for size in (12, 345):
        refuse(notes, scope("/webhooks/twilio/t/s3cr3t"), f"{size} bytes are not signed")
    await notes.close()
    (entry,) = await store.refused.recent()
    assert (
        RefusedRequests(
            first_at=AT,
            last_at=AT,
            count=2,
            source="twilio",
            path="/webhooks/twilio/t/…",
            reason="12 bytes are not signed",
            status_code=401,
            network="203.0.113.0/24",
        )
        == entry
    )
    assert 2 == as_dict(entry)["count"]


async def test_a_wrong_path_names_the_right_one(store: Store) -> None:
    """Nothing of the path is kept but known words."""
    notes = notes_of(store)
    for path in ("/twilio", "/webhook/twilio/s3cr3t", "/s3cr3t/x"):
        notes.not_found(scope(path, client="2001:db8:1:2::3"))
    await notes.close()
    entries = {entry.path: entry for entry in await store.refused.recent(source="unknown")}
    address = "the address of twilio is /webhooks/twilio"
    assert {"/twilio": address, "/webhook/twilio/…": address, "/…/…": ""} == {
        path: entry.hint for path, entry in entries.items()
    }
    assert "2001:db8:1::/48" == entries["/twilio"].network


async def test_another_host_than_public_url_is_named(store: Store) -> None:
    """What was signed is another address then; a host that is none is not repeated."""
    notes = notes_of(store)
    refuse(notes, scope("/webhooks/twilio", host="old.example.test"))
    refuse(notes, scope("/webhooks/twilio", host="<x>"), "another reason")
    refuse(notes, scope("/webhooks/twilio", client="no address"), "a third one")
    await notes.close()
    hints = {entry.reason: entry.hint for entry in await store.refused.recent()}
    assert "old.example.test, and PUBLIC_URL is https://hooks.example.test" in hints[WRONG]
    assert ("", "") == (hints["another reason"], hints["a third one"])


async def test_a_flood_costs_one_write(store: Store) -> None:
    """However many requests and kinds of them come within a window; the rest is one kind."""
    records = Records.of(store)
    notes = notes_of(store, default=records)
    for number in range(1000):
        reason = chr(ord("a") + number % 26) * (1 + number // 26)
        refuse(notes, scope("/webhooks/twilio"), reason)
    await notes.close()
    entries = await store.refused.recent(limit=MOST)
    assert (1, MAX_KINDS + 1) == (records.writes, len(entries))
    assert 1000 == sum(entry.count for entry in entries)


async def test_the_first_is_written_soon_and_the_rest_at_the_end_of_the_window(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two writes at most: of what came at first, and of the rest."""
    monkeypatch.setattr(refused_notes, "FIRST_S", 0.0)
    records = Records.of(store)
    notes = notes_of(store, default=records)
    refuse(notes, scope("/webhooks/twilio"))
    notes._start_writing()
    await asyncio.gather(*notes._tasks)
    refuse(notes, scope("/webhooks/twilio"))
    notes._end_window()
    await notes.close()
    assert [1, 1] == [entry.count for entry in await store.refused.recent()]
    notes._end_window()
    assert notes._timer is None


async def test_redis_that_is_away_changes_nothing(store: Store) -> None:
    """What cannot be noted is in the log; an account that is not known is the first one's."""
    notes = notes_of(store, default=Records.of(store, RedisConnectionError("away")))
    notes.not_found(scope("/x"))
    await notes.close()
    assert [] == await store.refused.recent()


async def test_the_ring_is_bounded_and_filtered(store: Store) -> None:
    """The newest entries stay; those of one kind are summed up for people."""
    entry = RefusedRequests(
        first_at=AT,
        last_at=AT,
        count=1,
        source="zoom",
        path="/webhooks/zoom",
        reason=WRONG,
        status_code=401,
        network="unknown",
    )
    await store.refused.add([entry] * (MOST + 5))
    entries = await store.refused.recent(limit=MOST * 2)
    assert MOST == len(entries)
    assert [MOST] == [kind.count for kind in summed(entries)]
    assert [] == await store.refused.recent(source="twilio")
    assert [] == await store.refused.recent(since=AT + timedelta(seconds=1))
