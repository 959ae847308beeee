"""
A source that is as simple as a source can be, for tests of what all sources have in common.
"""

from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import CallEvent
from service.sources import MessageKeys, Reply, RetryPolicy, Secrets, Source, WebhookRequest

NOW: Final = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


class FakeSource(Source):
    """A source whose signature is its secret and whose body says what is to happen."""

    slug = "standard"
    title = "Fake"
    settings = ()
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(60,))
    proof = "the secret itself"
    content_types = frozenset({"application/json"})
    kept_headers = frozenset({"x-fake-id"})

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """Answer a challenge."""
        return Reply(200, b"challenge", "text/plain") if request.body == b"handshake" else None

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Compare; some bodies cannot even be read."""
        assert now == NOW
        if request.body == b"unreadable before proof":
            raise MalformedPayload("cannot be decoded")
        if request.header("x-fake-signature") not in secrets.values:
            raise InvalidSignature("signature does not match")

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """The body is the key; some words are errors."""
        errors = {
            b"ignored": IgnoredEvent("not wanted"),
            b"malformed": MalformedPayload("no call"),
            b"unproved": InvalidSignature("checked too late"),
        }
        if request.body in errors:
            raise errors[request.body]
        if request.body == b"bug":
            raise ZeroDivisionError("+15005550006")
        return MessageKeys(request.body.decode(), "CA1")

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """Not used by the receiver."""
        raise NotImplementedError

    def reply(self, request: WebhookRequest) -> Reply:
        """What this source wants to hear."""
        return Reply(202, b"thanks", "text/plain")

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """Sign a request."""
        return replace(
            request, headers={**request.headers, "x-fake-signature": (secrets.values[0],)}
        )
