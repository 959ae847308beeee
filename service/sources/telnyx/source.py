"""
Telnyx Voice: the events of Call Control (JSON) and the callbacks of TeXML (forms).

Signatures are in `signature`, the two dialects in `call_control` and `texml`, the causes that both
share in `hangup_causes`.
"""

import re
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.request import (
    EMPTY_DOCUMENT,
    FORM,
    JSON,
    OK,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SourceSetting
from service.sources.telnyx import call_control, signature, texml

# `buildr_sig` of `service.webhook_urls`, in JSON or in a form.
ADDRESS_PARAMETER: Final = b"buildr_sig"
ADDRESS_SIGNATURE: Final = re.compile(rb"(buildr_sig(?:=|%3D))[0-9a-z]+", re.IGNORECASE)


class Telnyx(Source):
    """The source `telnyx`."""

    slug = "telnyx"
    title = "Telnyx"
    content_types = frozenset({JSON, FORM})
    settings = (
        SourceSetting(
            name="telnyx_public_key",
            description=(
                "Telnyx public keys, separated by commas: one for each Telnyx account. "
                "For trials, `seed:` and a base64 of 32 bytes."
            ),
            check=signature.check_key,
            generate=signature.make_seed,
        ),
    )
    # A retry begins after 2 seconds without an answer. After 5xx Telnyx retries with growing delays
    # that it does not publish; that it turns to the failover address "after two consecutive
    # delivery attempts" is all that can be counted on.
    # https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks
    retry_policy = RetryPolicy(response_timeout_s=2, retry_delays_s=(1,))
    proof = "Ed25519 over time and body, with Telnyx's public key"
    call_id_carrier = "`client_state`; the address, signed by us"
    has_address_per_call = True
    max_body_bytes = 128 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(signature.check_headers)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the public keys proves the message, signed within the last, or next, 300
        seconds; raises `InvalidSignature`.
        """
        signature.verify(request, secrets, now)

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """
        The message without our own signature of an id: Telnyx repeats the address that it was sent
        to, as `meta.delivered_to`.
        """
        # Few messages hold one, and looking for a pattern takes longer.
        if ADDRESS_PARAMETER not in request.body.lower():
            return request
        body = ADDRESS_SIGNATURE.sub(rb"\1hidden", request.body)
        if body == request.body:
            return request
        return replace(request, body=body)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by the id of its event, or by its body if it has none.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        if request.content_type == FORM:
            return texml.keys(request)
        return call_control.keys(request)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events: one, and more where an end also reports when the leg began and
        was answered.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        if request.content_type == FORM:
            return texml.parse(request, message_id)
        return call_control.parse(request, message_id)

    def reply(self, request: WebhookRequest) -> Reply:
        """
        An empty TeXML document to a form, since some of its callbacks ask what to do next with the
        call; else nothing.
        """
        if request.content_type == FORM:
            return EMPTY_DOCUMENT
        return OK

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first seed. Raises ValueError if there are only public
        keys, or none.
        """
        if not secrets.values:
            raise self.no_secret()
        return signature.sign(request, secrets, now)
