"""
Failed entries are listed, whatever is stored of one of them.
"""

from datetime import UTC, datetime

import pytest

from service.errors import FailureCause
from service.store.connection import Store
from service.store.failed import Failed, FailedFilter, to_text

AT = datetime(2026, 11, 2, 10, tzinfo=UTC)


async def keep(store: Store, entry_id: str, text: str | None = None) -> None:
    """File an entry, by default one that can be read."""
    entry = Failed(
        entry_id=entry_id,
        kind="message",
        source="twilio",
        source_call_id=None,
        cause=FailureCause.MALFORMED_PAYLOAD.value,
        detail="no JSON",
        failed_at=AT,
    )
    await store.redis.set(store.keys.failed_entry(entry_id), text or to_text(entry))
    await store.redis.zadd(store.keys.named("failed"), {entry_id: AT.timestamp() * 1000})


@pytest.mark.parametrize("text", ["damaged", "{}", '{"entry_id": 7}'])
async def test_an_entry_that_cannot_be_read_is_listed(store: Store, text: str) -> None:
    """Beside the others, so that it can be discarded; of a call its name says which."""
    for entry_id in ("m2", "zoom:1"):
        await keep(store, entry_id, text)
    await keep(store, "m1")
    damaged = FailureCause.DAMAGED_RECORD.value
    expected = {
        "m1": ("twilio", FailureCause.MALFORMED_PAYLOAD.value),
        "m2": ("unknown", damaged),
        "zoom:1": ("zoom", damaged),
    }
    facts = await store.failed.facts(most=9)
    selected = [entry async for entry in store.failed.select(FailedFilter())]
    for entries in (facts, selected, await store.failed.get_many(list(expected))):
        assert expected == {entry.entry_id: (entry.source, entry.cause) for entry in entries}
    entry = await store.failed.get("m2")
    assert entry is not None
    assert await store.failed.discard(entry)
    assert await store.failed.get("m2") is None
