"""
RingCentral: webhooks of telephony sessions, each of which holds the parties that changed.

Delivery: https://developers.ringcentral.com/guide/notifications/webhooks/receiving. Nothing is
signed: a token of our own in a header proves a message, beside the one in the address. The shape of
a message is in `payload`, who is who in `parties`, what they do in `events`.
"""

import hmac
import re
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature
from service.events import CallEvent
from service.sources.base import RetryPolicy, Source
from service.sources.common.fields import child
from service.sources.common.json_body import read_json_object, sorted_json
from service.sources.common.setting_checks import check_api_url
from service.sources.common.signatures import digest, one_header
from service.sources.request import JSON, OK, MessageKeys, Reply, WebhookRequest
from service.sources.ringcentral.call_log import logged_record, record_events
from service.sources.ringcentral.events import message_events
from service.sources.ringcentral.payload import CHANGE_FIELDS, read_members, session_id
from service.sources.settings import Secrets, SettingKind, SourceSetting, ValueForm

VERIFICATION: Final = "verification-token"
VALIDATION: Final = "validation-token"
JWT: Final = r"eyJ[\w-]+\.[\w-]+\.[\w-]+"
# With its headers, the answer to a handshake must stay below 1,024 bytes.
VISIBLE: Final = re.compile(r"[!-~]{1,256}", re.ASCII)


def check_token(token: str) -> str | None:
    """
    What is wrong with a verification token, or None: it is sent as a header, and must not change.
    """
    if VISIBLE.fullmatch(token):
        return None
    return "must be 1 to 256 visible ASCII characters without blanks"


class RingCentral(Source):
    """The source `ringcentral`."""

    slug = "ringcentral"
    title = "RingCentral"
    # The handshake has no body, and may name no type.
    content_types = frozenset({JSON, ""})
    settings = (
        SourceSetting(
            name="ringcentral_verification_token",
            description=(
                "RingCentral verification token of the subscription: a secret of your own making; "
                "several while rotating."
            ),
            check=check_token,
            form=ValueForm(others={JWT: "a JWT credential"}),
        ),
        SourceSetting(
            name="ringcentral_client_id",
            description=(
                "Client id of your RingCentral app, for its subscriptions and its call log."
            ),
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="ringcentral_client_secret",
            description=(
                "Client secret of your RingCentral app, for its subscriptions and its call log."
            ),
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="ringcentral_jwt",
            description=(
                "JWT credential made in RingCentral's developer console, "
                "for its subscriptions and its call log."
            ),
            kind=SettingKind.API_CREDENTIAL,
            form=ValueForm(pattern=JWT, text="three parts with dots between them, like eyJ..."),
        ),
        SourceSetting(
            name="ringcentral_api_url",
            description="RingCentral's API.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://platform.ringcentral.com",
        ),
    )
    # Whether a message is retried is not documented: no retry is counted on.
    retry_policy = RetryPolicy(response_timeout_s=3)
    proof = "a token of yours in a header; nothing is signed"
    requires_path_token = True

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` for a wrong token, which is the whole proof."""
        if VERIFICATION in request.headers or VALIDATION not in request.headers:
            _check_verification_token(request, secrets)

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Return the `Validation-Token` of a request without a body, with which RingCentral checks a
        URL; None for any other request.

        RingCentral is not documented to send our own token with it always. Without one it is
        answered too: the token in the URL is checked by then, and the answer holds nothing but what
        the sender sent. A wrong one raises `InvalidSignature`.
        """
        if request.method != "POST" or request.body or VALIDATION not in request.headers:
            return None
        token = one_header(request, VALIDATION)
        if not VISIBLE.fullmatch(token):
            raise InvalidSignature(f"{VALIDATION} is no token")
        if VERIFICATION in request.headers:
            _check_verification_token(request, secrets)
        return _validation_reply(token)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the header holds one of the tokens; raises `InvalidSignature`.

        A request without a type is refused too: only a handshake may be one.
        """
        if request.content_type != JSON:
            raise InvalidSignature(f"RingCentral sends {JSON}")
        _check_verification_token(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by the change that it reports.

        Where subscriptions overlap, one change comes with several ids, of messages and of
        subscriptions.
        """
        fields = request.body_as(read_json_object)
        # Raises for what is ignored.
        read_members(fields)
        body = child(fields, "body")
        change = [body.get(field_name) for field_name in CHANGE_FIELDS]
        return MessageKeys(digest(sorted_json(change)), session_id(body))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a message, or of a record of the call log; raises `IgnoredEvent` and
        `MalformedPayload`.
        """
        fields = request.body_as(read_json_object)
        if request.call_log_read_at is not None:
            return record_events(logged_record(fields), message_id)
        return message_events(fields, message_id)

    def reply(self, request: WebhookRequest) -> Reply:
        """
        Answer 200, with the `Validation-Token` of the request, which older subscriptions send with
        every message.
        """
        token = request.header(VALIDATION)
        if token is None or not VISIBLE.fullmatch(token):
            return OK
        return _validation_reply(token)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request with the first token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return replace(request, headers={**request.headers, VERIFICATION: (secrets.values[0],)})


def _check_verification_token(request: WebhookRequest, secrets: Secrets) -> None:
    """Raises `InvalidSignature` unless the request holds one of the tokens, once."""
    # A header may hold bytes that are not UTF-8: they must not raise, only not match.
    token = one_header(request, VERIFICATION).encode("utf-8", "surrogatepass")
    matches = [
        hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), token)
        for secret in secrets.values
    ]
    if not any(matches):
        raise InvalidSignature(f"{VERIFICATION} is none of the tokens that are set here")


def _validation_reply(token: str) -> Reply:
    # https://developers.ringcentral.com/guide/notifications/webhooks/creating-webhooks: the type is
    # required even without a body.
    return Reply(200, b"", JSON, {"Validation-Token": token})
