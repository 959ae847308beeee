"""
What a request for a replay leaves in Redis until a worker follows it.
"""

from datetime import UTC, datetime

import pytest

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.store.call_update import CallUpdate
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import ReplayRequest
from service.store.failed import Failed, to_text
from service.store.rate_limit.lanes import Lane
from tests.doubles.messages import webhook_message

pytestmark = pytest.mark.anyio
LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=9, accept_timeout_s=10)
AT = datetime(2026, 11, 2, tzinfo=UTC)
REQUEST = ReplayRequest(lane=Lane.REPLAY, at=AT)


async def test_a_call_that_is_to_be_replayed_does_not_expire_before(store: Store) -> None:
    """However long no worker runs."""
    ref = "standard:one"
    assert await store.calls.commit(CallUpdate(record=DeliveryRecord(ref=ref), version=0))
    assert await store.pool.pttl(store.keys.call(ref)) > 0
    assert await store.calls.request_replay(ref, REQUEST)
    assert -1 == await store.pool.pttl(store.keys.call(ref))


async def test_a_message_that_is_unread_anyway_is_read_once(store: Store) -> None:
    """And one that is to be read anew does not expire before."""
    message = webhook_message("a")
    inbox = Inbox(store, LIMITS)
    await inbox.accept(message)
    entry = Failed(
        entry_id=message.message_id,
        kind="message",
        source=message.source,
        source_call_id=message.source_call_id,
        cause="unsupported_event",
        detail="told to",
        failed_at=AT,
        message_ids=(message.message_id,),
    )
    key = store.keys.message(message.message_id)
    await store.pool.set(store.keys.failed_entry(entry.entry_id), to_text(entry))
    await store.pool.zadd(store.keys.named("failed"), {entry.entry_id: 1})
    await store.pool.pexpire(key, 60_000)
    ref = f"{message.source}:{message.source_call_id}"
    ids = [message.message_id]
    assert 1 == await store.failed.replay(entry, ref=ref, message_ids=ids, replay_request=REQUEST)
    assert tuple(ids) == (await store.calls.load(ref)).pending
    assert -1 == await store.pool.pttl(key)
    await inbox.close()
