"""
Zoom Phone: live messages of a call, the records that are written after it, voicemails and
recordings.

Fields: https://developers.zoom.us/docs/api/phone/events/. The shape of a message is in `payload`,
what it means in `events`, how it is signed in `signature`.
"""

from datetime import datetime
from typing import Final

from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common.json_body import read_json_object_with_long_ids, sorted_json
from service.sources.common.setting_checks import check_api_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting
from service.sources.zoom import signature
from service.sources.zoom.events import message_events
from service.sources.zoom.payload import source_call_id

# What identifies a message: two subscriptions of an app send the same event with the same fields.
KEY_FIELDS: Final = ("event", "event_ts", "payload")


class Zoom(Source):
    """The source `zoom`."""

    slug = "zoom"
    title = "Zoom Phone"
    settings = (
        SourceSetting(
            name="zoom_secret_token",
            is_issued=True,
            description=(
                "Secret token of the Zoom app; the old and the new one while it is replaced."
            ),
        ),
        SourceSetting(
            name="zoom_account_id",
            description="Account id of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_client_id",
            description="Client id of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_client_secret",
            description="Client secret of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_api_url",
            description="Zoom's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://api.zoom.us/v2",
        ),
        SourceSetting(
            name="zoom_token_url",
            description="Where Zoom gives access tokens.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://zoom.us/oauth/token",
        ),
    )
    # https://developers.zoom.us/docs/api/webhooks/: after 5 minutes, 20 more and 60 more.
    retry_policy = RetryPolicy(response_timeout_s=3, retry_delays_s=(300, 1200, 3600))
    # Of a queue every telephone that rang has a record of its own, and they do not come at once.
    settle_s = 20
    proof = "HMAC-SHA256 over time and body, with the secret token of the app"
    # The record of a call holds all its legs.
    max_body_bytes = 128 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(signature.check_headers)

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Answer Zoom's validation of our URL, which is signed like any message and repeated every 72
        hours; None for any other message. Raises `InvalidSignature`.
        """
        return signature.validation(request, secrets, now)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the secret tokens signed the message within the last, or next, 300 seconds;
        raises `InvalidSignature`.
        """
        signature.signing_secret(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its content: Zoom's messages have no id, and two subscriptions of an app
        may send the same event.
        """
        # Ids of calls have 19 digits: one that comes as a number must not be refused.
        fields = request.body_as(read_json_object_with_long_ids)
        call_id = source_call_id(fields)
        content = [fields.get(field_name) for field_name in KEY_FIELDS]
        return MessageKeys(digest(sorted_json(content)), call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """The events of a message; raises `IgnoredEvent` and `MalformedPayload`."""
        return message_events(request.body_as(read_json_object_with_long_ids), message_id)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first secret token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return signature.sign(request, secrets.values[0], now)
