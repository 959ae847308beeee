"""
How long a commit keeps a call and its messages, and which unmatched calls are never forgotten.
"""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.store.call_update import CallUpdate, Retention
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from tests.doubles.messages import webhook_message

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000
KEPT = Retention(
    messages_ms=1 * DAY_MS, failed_ms=2 * DAY_MS, calls_ms=3 * DAY_MS, open_ms=4 * DAY_MS
)
LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=9, accept_timeout_s=10)
REF = "standard:one"


async def commit(store: Store, update: CallUpdate) -> None:
    """Commit, with times to keep that differ from each other."""
    assert await replace(store.calls, retention=KEPT).commit(update)


async def days_left(store: Store, key: str) -> int:
    """How many days a key is kept, rounded."""
    left_ms: int = await store.pool.pttl(key)
    return round(left_ms / DAY_MS)


@pytest.mark.parametrize(
    ("state", "days"),
    [
        (DeliveryState.DELIVERED, 3),
        (DeliveryState.UNMATCHED, 4),
        (DeliveryState.WAITING, 4),
        (DeliveryState.RETRYING, 4),
    ],
)
async def test_a_call_that_is_not_done_is_kept_for_longer(
    store: Store, state: DeliveryState, days: int
) -> None:
    """A call that somebody may still match or that may still be written must not be lost before."""
    await commit(store, CallUpdate(record=DeliveryRecord(ref=REF, state=state), version=0))
    assert days == await days_left(store, store.keys.call(REF))


async def test_a_message_that_was_set_aside_is_kept_for_longer(store: Store) -> None:
    """It is replayed from its raw form; one that was read is kept for the usual time."""
    for name in ("read", "odd"):
        await store.pool.set(store.keys.message(name), "m")
    await commit(
        store,
        CallUpdate(
            record=DeliveryRecord(ref=REF, state=DeliveryState.DELIVERED),
            version=0,
            events={"read": "[]"},
            done=("read", "odd"),
            failed={"odd": "{}"},
        ),
    )
    assert 1 == await days_left(store, store.keys.message("read"))
    assert 2 == await days_left(store, store.keys.message("odd"))
    assert 4 == await days_left(store, store.keys.failed_entry("odd"))


async def test_a_message_that_nobody_has_read_does_not_expire(store: Store) -> None:
    """However long no worker runs."""
    message = webhook_message("a")
    inbox = Inbox(store, LIMITS)
    await inbox.accept(message)
    await inbox.close()
    ref = f"{message.source}:{message.source_call_id}"
    for key in (
        store.keys.message(message.message_id),
        store.keys.named(f"pending:{ref}"),
        store.keys.named("inbox"),
    ):
        assert -1 == await store.pool.pttl(key), key


async def test_an_unmatched_call_that_needs_attention_is_not_forgotten(store: Store) -> None:
    """However old it is: a message that has just come may match it."""
    message = webhook_message("a")
    ref = f"{message.source}:{message.source_call_id}"
    record = DeliveryRecord(ref=ref, state=DeliveryState.UNMATCHED)
    await commit(store, CallUpdate(record=record, version=0))
    inbox = Inbox(store, LIMITS)
    await inbox.accept(message)
    await inbox.close()
    later_ms = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1000)
    assert [] == await store.schedule.forget_old(before_ms=later_ms)
    assert (message.message_id,) == (await store.calls.load(ref)).pending
