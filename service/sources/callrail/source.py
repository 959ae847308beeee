"""
CallRail: call webhooks, which describe the whole call in each message.

https://support.callrail.com/hc/en-us/articles/5711246459149-Webhooks. The signature covers nothing
in the URL, from which therefore no more than the kind of message is taken.
"""

from datetime import datetime

from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.callrail import signature as callrail_signature
from service.sources.callrail.events import read_events
from service.sources.callrail.payload import read_call, source_call_id
from service.sources.common.signatures import digest
from service.sources.request import FORM, JSON, MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SourceSetting


class CallRail(Source):
    """The source `callrail`."""

    slug = "callrail"
    title = "CallRail"
    content_types = frozenset({JSON, FORM})
    settings = (
        SourceSetting(
            name="callrail_signing_key",
            is_issued=True,
            description="CallRail signing keys, one for each company; more while rotating.",
        ),
    )
    # Whether CallRail retries is not documented; count on it that it does not.
    retry_policy = RetryPolicy(response_timeout_s=5)
    proof = "HMAC-SHA1 over the body, with the signing key of the company"
    call_id_carrier = "the call's note"
    # A message may hold the transcript of a long call.
    max_body_bytes = 512 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        callrail_signature.read_signature(request)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        callrail_signature.verify(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        The message's key is made of its body, which is all that is signed, so that it counts once
        at whatever URL it arrives.
        """
        return MessageKeys(digest(request.body), source_call_id(read_call(request)))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The event of a message; what in it is not understood becomes events of type `UNKNOWN` at
        the end.
        """
        return read_events(request, read_call(request), message_id)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first key. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return callrail_signature.sign(request, secrets.values[0])
