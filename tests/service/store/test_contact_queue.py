"""
The queue of contacts that are to be read again.
"""

from datetime import UTC, datetime, timedelta

from service.store.connection import Store
from service.store.contact_queue import QueuedContact

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


async def due(store: Store, now: datetime = NOW) -> dict[str, QueuedContact]:
    """The contacts that are to be read, by their ids."""
    return {item.contact_id: item for item in await store.contact_queue.due(now, limit=10)}


async def test_contact_is_queued_once(store: Store) -> None:
    """However often it is queued, it is one; at most so many are taken at a time."""
    for contact_id in ("418", "419", "418"):
        await store.contact_queue.add(contact_id)
    assert {"418", "419"} == set(await due(store))
    assert 1 == len(await store.contact_queue.due(NOW, limit=1))


async def test_contact_that_was_queued_meanwhile_stays(store: Store) -> None:
    """A change that came while the contact was read is read too, and at once."""
    queue = store.contact_queue
    await queue.add("418")
    contact = (await due(store))["418"]
    await queue.add("418")
    await queue.remove(contact)
    await queue.postpone(contact, NOW + timedelta(hours=1))
    later = await due(store)
    assert {"418"} == set(later)
    await queue.remove(later["418"])
    assert {} == await due(store)


async def test_postponed_contact_is_due_later(store: Store) -> None:
    """Its failures are counted; it can be removed, and one that is queued anew is due at once."""
    queue = store.contact_queue
    later = NOW + timedelta(minutes=1)
    await queue.add("418")
    await queue.postpone((await due(store))["418"], later)
    assert {} == await due(store)
    contact = (await due(store, later))["418"]
    assert (1, later) == (contact.failures, contact.due_at)
    await queue.add("418")
    assert 0 == (await due(store))["418"].failures
    await queue.postpone((await due(store))["418"], later)
    await queue.remove((await due(store, later))["418"])
    assert {} == await due(store, later)
