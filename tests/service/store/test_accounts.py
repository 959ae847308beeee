"""
Installations that share one Redis under different names do not see each other.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.sources.request import WebhookRequest
from service.store.connection import open_store
from service.store.messages import Message


async def test_accounts_are_apart(redis_url: str, make_settings: Callable[..., Settings]) -> None:
    """
    The same message is new for each account, lies in that account's queue alone, and its call is
    known there alone.
    """
    message = Message(
        message_id="m1",
        source="twilio",
        source_call_id="CA1",
        received_at=datetime(2026, 11, 2, tzinfo=UTC),
        request=WebhookRequest(method="POST", url="https://hooks.example.test/webhooks/twilio"),
    )
    limits = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=10, accept_timeout_s=3)
    for account in ("default", "sandbox"):
        async with open_store(
            make_settings(REDIS_URL=redis_url, ACCOUNT=account), role="cli"
        ) as store:
            inbox = Inbox(store, limits)
            assert 0 == (await store.messages.waiting())[0]
            assert await inbox.accept(message)
            assert [f"{account}|twilio:CA1".encode()] == await store.redis.zrange(
                f"bc:{account}:queue", 0, -1
            )
            await inbox.close()
