"""
Messages for tests of what keeps them.
"""

from datetime import UTC, datetime

from service.sources.request import WebhookRequest
from service.spool.messages import SpooledMessage
from service.store.messages import Message, message_id

RECEIVED_AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


def webhook_message(key: str, *, call: str | None = "CA1") -> Message:
    """A message of Twilio with a key of its own."""
    return Message(
        message_id=message_id("twilio", key),
        source="twilio",
        source_call_id=call,
        received_at=RECEIVED_AT,
        request=WebhookRequest(
            method="POST", url="https://h.example.test/x", body=f"CallSid={key}".encode()
        ),
    )


def spooled(key: str, *, account: str = "default", size: int = 10) -> SpooledMessage:
    """A message as the spool holds it, whose id is the key."""
    return SpooledMessage(
        account=account,
        message_id=key,
        source="twilio",
        source_call_id="CA1",
        received_at=RECEIVED_AT,
        packed_message=b"x" * size,
    )
