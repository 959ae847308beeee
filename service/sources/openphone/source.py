"""
Quo, formerly OpenPhone: call webhooks of both generations, which describe the call as a whole.

Versioned (`data.resource`, `data.context`):
https://www.quo.com/docs/2026-03-30/webhooks-event-payloads. Legacy (`data.object`):
https://www.quo.com/docs/mdx/guides/webhooks for those made by the API,
https://support.quo.com/core-concepts/integrations/webhooks for those made in the app. Signatures
are in `signature`, the layout of a message of either generation in `payload`, what it means in
`vocabulary` and `events`.
"""

import json
from datetime import datetime

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common import standard_webhooks
from service.sources.common.fields import child
from service.sources.common.json_body import read_json_object
from service.sources.common.signatures import digest
from service.sources.openphone import signature
from service.sources.openphone.events import read_events
from service.sources.openphone.payload import Message, read_message, source_call_id
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SourceSetting


class OpenPhone(Source):
    """The source `openphone`."""

    slug = "openphone"
    title = "Quo (formerly OpenPhone)"
    settings = (
        SourceSetting(
            name="openphone_webhook_secret",
            description=(
                "Secrets of all Quo webhooks: `whsec_...` of versioned ones, plain base64 of "
                "legacy ones; more while rotating."
            ),
            check=signature.check_secret,
            generate=standard_webhooks.make_secret,
        ),
    )
    # Versioned, eight tries within 27.6 hours, as public software has it; legacy ones are retried
    # at times that are not published. How long Quo waits is not published either.
    retry_policy = RetryPolicy(
        response_timeout_s=10, retry_delays_s=(5, 300, 1800, 7200, 18_000, 36_000, 36_000)
    )
    proof = (
        "HMAC-SHA256 over id, time and body (Standard Webhooks); of legacy ones over time and body"
    )
    # A message may hold the transcript of a long call; one that is refused makes Quo end a webhook.
    max_body_bytes = 512 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(signature.check_headers)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if a secret of the message's own generation signed it within the last, or next, 300
        seconds; raises `InvalidSignature`.
        """
        signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by the id of its event, which retries keep and which all webhooks that
        report it share; one without an id by its body.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        message = request.body_as(read_message)
        call_id = source_call_id(message)
        if message.event_id is None:
            return MessageKeys(digest(request.body), call_id)
        return MessageKeys(_message_key(message, message.event_id), call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events: one, or more where the end of a call also reports when it began
        and was answered, and what was recorded.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        return read_events(request.body_as(read_message), message_id)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first secret of its generation, or of the other where it
        has none. Raises ValueError.
        """
        if not secrets.values:
            raise self.no_secret()
        try:
            is_legacy = bool(child(request.body_as(read_json_object), "data", "object"))
        except MalformedPayload:
            is_legacy = False
        return signature.sign(request, secrets, now, is_legacy=is_legacy)


def _message_key(message: Message, event_id: str) -> str:
    # The generation counts too, and the names of the fields, since one webhook may report what
    # another does not (legacy ones made in the app have voicemails, those made by the API do not);
    # and the kind, since all of Quo's test events have one id.
    generation = "legacy" if message.is_legacy else "versioned"
    field_names = json.dumps(sorted(message.resource))
    return digest(generation, event_id, message.name, field_names)
