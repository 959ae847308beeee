"""
What is left of what was forgotten.
"""

import pytest

from service.store.connection import Store

HOUR_MS = 3_600_000


@pytest.mark.anyio
async def test_the_id_of_a_deleted_message_is_kept_for_its_whole_time(store: Store) -> None:
    """Also where it was kept beside the message for less; one that is kept for longer stays so."""
    times_ms = {"m1": HOUR_MS, "m2": 100 * store.erasure.seen_ms}
    for message_id, ms in times_ms.items():
        await store.pool.set(store.keys.named(f"seen:{message_id}"), "", px=ms)
    await store.erasure.erase("", [*times_ms, "m3"])
    left = [await store.pool.pttl(store.keys.named(f"seen:{name}")) for name in ("m1", "m2", "m3")]
    assert all(ms > store.erasure.seen_ms - HOUR_MS for ms in left)
    assert left[1] > store.erasure.seen_ms
