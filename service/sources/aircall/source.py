"""
Aircall: webhooks of calls, each of which describes the whole call as it was when the message was
sent.

Events: https://developer.aircall.io/docs/webhooks-overview. Nothing is signed: a token in the body
proves a message, and is removed from the body before it is stored. The shape of a message is in
`payload`, what it means in `events`.
"""

import hmac
import json
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.events import CallEvent
from service.sources.aircall.events import message_events
from service.sources.aircall.payload import source_call_id
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common.fields import without_secret
from service.sources.common.json_body import check_unproved, read_json_object
from service.sources.common.setting_checks import check_api_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting

PROOF_FIELD: Final = "token"


class Aircall(Source):
    """The source `aircall`."""

    slug = "aircall"
    title = "Aircall"
    settings = (
        SourceSetting(
            name="aircall_token",
            is_issued=True,
            description=(
                "Tokens of the Aircall webhooks; more while one webhook takes the place of another."
            ),
        ),
        SourceSetting(
            name="aircall_api_id",
            description="Aircall API id, for its webhooks and its call log.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="aircall_api_token",
            description="Aircall API token, for its webhooks and its call log.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="aircall_api_url",
            description="Aircall's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://api.aircall.io/v1",
        ),
    )
    # Up to 50 times, but Aircall does not publish when: one more try is all that is counted on.
    retry_policy = RetryPolicy(response_timeout_s=5, retry_delays_s=(60,))
    proof = "a token in the body; nothing is signed"
    call_id_carrier = "a comment or tag of the call"
    requires_path_token = True
    max_body_bytes = 128 * KIB

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the body holds the token of one of the webhooks; raises `InvalidSignature`.
        """
        token = _token(request).encode()
        matches = [hmac.compare_digest(secret.encode(), token) for secret in secrets.values]
        if not any(matches):
            raise InvalidSignature(
                "the token in the body is that of no webhook here; "
                "each webhook at Aircall has one of its own"
            )

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """The message without its token, which would prove any other message."""
        return without_secret(request, PROOF_FIELD)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its whole body without the token: Aircall's events have no id, and two
        webhooks may report the same event, each with a token of its own.
        """
        message_key = digest(without_secret(request, PROOF_FIELD).body)
        return MessageKeys(message_key, source_call_id(request.body_as(read_json_object)))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """The events of a message; raises `IgnoredEvent` and `MalformedPayload`."""
        return message_events(request.body_as(read_json_object), message_id)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request with the first token in its body.

        Raises ValueError without a token, `MalformedPayload` if the body is not a JSON object.
        """
        if not secrets.values:
            raise self.no_secret()
        fields = {**request.body_as(read_json_object), PROOF_FIELD: secrets.values[0]}
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        return replace(request, body=body)


def _token(request: WebhookRequest) -> str:
    """The token in a body; raises `InvalidSignature` if there is none."""
    try:
        check_unproved(request.body)
        token = request.body_as(read_json_object).get(PROOF_FIELD)
    except MalformedPayload as err:
        raise InvalidSignature(f"the body cannot hold a token: {err}") from err
    if not isinstance(token, str) or not token:
        raise InvalidSignature("the body holds no token")
    return token
