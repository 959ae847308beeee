"""
The queue of contacts that are to be read again.
"""

from service.store.connection import Store


async def test_contact_is_queued_once(store: Store) -> None:
    """However often it is queued, it is one; at most so many are taken at a time."""
    for contact_id in ("418", "419", "418"):
        await store.contact_queue.add(contact_id)
    assert {"418", "419"} == set(await store.contact_queue.first(limit=10))
    assert 1 == len(await store.contact_queue.first(limit=1))


async def test_contact_that_was_queued_meanwhile_stays(store: Store) -> None:
    """A change that came while the contact was read is read too."""
    queue = store.contact_queue
    await queue.add("418")
    ticket = (await queue.first(limit=1))["418"]
    await queue.add("418")
    await queue.remove("418", ticket)
    later = await queue.first(limit=1)
    assert {"418"} == set(later)
    await queue.remove("418", later["418"])
    assert {} == await queue.first(limit=1)
