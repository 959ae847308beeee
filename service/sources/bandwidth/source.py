"""
Bandwidth Voice: the webhooks of calls, transfers and recordings.

Credentials are in `signature`, the shape of a webhook in `payload`, what it means in `vocabulary`
and `events`. Events and fields: https://dev.bandwidth.com/docs/voice/webhooks.
"""

from datetime import datetime
from typing import Final

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.bandwidth import signature
from service.sources.bandwidth.events import read_events
from service.sources.bandwidth.payload import read_webhook, source_call_id
from service.sources.bandwidth.vocabulary import ASYNCHRONOUS
from service.sources.base import RetryPolicy, Source
from service.sources.common.fields import text
from service.sources.common.forms import query_values
from service.sources.common.json_body import read_json_object
from service.sources.common.signatures import digest
from service.sources.request import (
    EMPTY_DOCUMENT,
    NO_CONTENT,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SourceSetting

# The parameter of a URL that says what is recorded there.
RECORD: Final = "record"
EMPTY_BXML: Final = Reply(200, EMPTY_DOCUMENT.body, "application/xml")


class Bandwidth(Source):
    """The source `bandwidth`."""

    slug = "bandwidth"
    title = "Bandwidth"
    settings = (
        SourceSetting(
            name="bandwidth_credentials",
            description=(
                "User and password that Bandwidth sends, like `hookuser:THEPASSWORD`; "
                "several, separated by commas, while rotating."
            ),
            check=signature.check_credentials,
            generate=signature.make_credentials,
        ),
    )
    # It tries once more when there was no connection; after an error answer it does not.
    retry_policy = RetryPolicy(response_timeout_s=15)
    proof = "HTTP Basic user and password; nothing is signed"
    call_id_carrier = "`tag` of the call; the address, signed by us"
    has_address_per_call = True
    requires_path_token = True
    challenge = 'Basic realm="buildr-calls", charset="UTF-8"'

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless user and password are right: the whole proof."""
        signature.verify(request, secrets)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if user and password are one of the pairs that are set; raises `InvalidSignature`.
        """
        signature.verify(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its body: Bandwidth numbers no events, and sends the same again.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        fields = read_webhook(request)
        return MessageKeys(digest(request.body), source_call_id(fields))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its events; what in it is not understood becomes events of type
        `UNKNOWN` beside them.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        fields = read_webhook(request)
        return read_events(fields, message_id, record_kinds=query_values(request, RECORD))

    def reply(self, request: WebhookRequest) -> Reply:
        """
        Nothing where the answer is not read; else a BXML document without verbs, with which a live
        call does nothing more.
        """
        try:
            event_name = text(request.body_as(read_json_object), "eventType")
        except MalformedPayload:
            event_name = None
        if event_name in ASYNCHRONOUS:
            return NO_CONTENT
        return EMPTY_BXML

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request with the first user and password. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return signature.sign(request, secrets.values[0])
