"""
Dialpad: call event subscriptions, of which each message reports the state of one leg of a call.

Delivery: https://developers.dialpad.com/docs/webhook-delivery-failures. The whole body is one JSON
Web Token (`service.sources.common.jwt`), whose payload is the message. The shape of a message is in
`payload`, what it means in `events`.
"""

from datetime import datetime

from msgspec.structs import replace

from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common import jwt
from service.sources.common.setting_checks import check_api_url
from service.sources.common.signatures import digest
from service.sources.dialpad.events import message_events
from service.sources.dialpad.payload import (
    leg_and_call_id,
    message_json,
    read_message,
    state_of,
)
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting


class Dialpad(Source):
    """The source `dialpad`."""

    slug = "dialpad"
    title = "Dialpad"
    # The body is a JWT whatever type the header names; which one Dialpad sends is not documented.
    content_types = frozenset()
    settings = (
        SourceSetting(
            name="dialpad_webhook_secret",
            description="Secret of the Dialpad webhook; several while rotating.",
        ),
        SourceSetting(
            name="dialpad_api_key",
            description="Dialpad API key, for its subscription and its call log.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="dialpad_api_url",
            description="Dialpad's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://dialpad.com/api/v2",
        ),
    )
    # https://developers.dialpad.com/docs/webhook-delivery-failures
    retry_policy = RetryPolicy(response_timeout_s=5, retry_delays_s=(2, 4, 8))
    proof = "a JWT (HMAC-SHA256) that is the whole body, with the secret of the webhook"
    call_id_carrier = "`custom_data` of the call"
    # A message may hold the transcript of a long call, in base64.
    max_body_bytes = 512 * KIB

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the body is a JWT that one of the secrets signed; raises `InvalidSignature`.

        Its age is not checked. The only time in it is `event_timestamp`, and whether that is the
        time of the message or of the call is not documented for what comes minutes after the call;
        a refused message is lost, since no retry comes after 15 seconds. A repeated message has the
        same key, and changes nothing.
        """
        request.remember(message_json, jwt.read_token(request.body.strip(), secrets))

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """The message as the JSON in its JWT, without the signature."""
        body = request.body_as(message_json)
        if body == request.body:
            return request
        if not body.startswith(b"{"):
            # No message; it might be read as a token again.
            return replace(request, body=body)
        return request.with_body(body, parse=message_json, parsed=body)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its whole content, which a retry repeats.

        Leg, state and time are not enough: which time `event_timestamp` is after the end of a call
        is not documented, and a second disposition or recording would be lost if it is the time of
        the call. The same content from a second subscription has the same key.
        """
        fields = request.body_as(read_message)
        _, source_call_id = leg_and_call_id(fields)
        # A message without a state is malformed, and must not be stored as one of a call.
        state_of(fields)
        return MessageKeys(digest(request.body_as(message_json)), source_call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """The events of a message; raises `IgnoredEvent` and `MalformedPayload`."""
        return message_events(request.body_as(read_message), message_id)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same message as a JWT, signed with the first secret. Raises ValueError without one.
        """
        if not secrets.values:
            raise self.no_secret()
        return replace(request, body=jwt.write_token(request.body, secrets.values[0]))
