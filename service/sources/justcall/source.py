"""
JustCall: call events of webhooks of version 2, of the dialer and of the Sales Dialer, each of which
describes the whole call.

Events: https://developer.justcall.io/docs/call-events. Signatures, which do not cover the call's
data, are in `signature`, the shape of a webhook in `payload`, what it means in `vocabulary` and
`events`.
"""

from datetime import datetime

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common.fields import Fields, child, text
from service.sources.common.json_body import check_unproved, read_json_object
from service.sources.common.signatures import digest
from service.sources.justcall import signature
from service.sources.justcall.events import read_events
from service.sources.justcall.payload import CALL_IDS, read_webhook, source_call_id
from service.sources.justcall.vocabulary import PROBE
from service.sources.request import OK, MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting


class JustCall(Source):
    """The source `justcall`."""

    slug = "justcall"
    title = "JustCall"
    settings = (
        SourceSetting(
            name="justcall_api_secret",
            is_issued=True,
            description="JustCall API secrets; the old and the new one while renewing.",
        ),
    )
    # The time is needed to know which of two changes is the later one. JustCall does not publish
    # how long it waits.
    kept_headers = frozenset({"content-type", signature.TIME})
    # Five tries in all, 30 to 90 seconds apart:
    # https://developer.justcall.io/docs/auto-retry-on-delivery-failure
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(60, 60, 60, 60))
    proof = "HMAC-SHA256 over address, type and time, **not the call's data**, with the API secret"
    call_id_carrier = "`metadata` of the dialer's link"
    signs_url = True
    max_body_bytes = 128 * KIB

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` if there is a signature, and it cannot be one."""
        if signature.SIGNATURE in request.headers:
            request.headers_as(signature.check_headers)

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Answer the probe of a new URL, which is about no call and of which nothing is kept; None for
        any other request.
        """
        if not request.body:
            return OK
        try:
            check_unproved(request.body)
            fields = request.body_as(read_json_object)
        except MalformedPayload:
            return None
        return OK if _is_probe(fields) else None

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove URL, type and time; raises `InvalidSignature`."""
        signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its type, which is signed, and its `request_id`, which a retry keeps;
        one without that by its body.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        fields = read_webhook(request)
        call_id = source_call_id(fields)
        request_id = text(fields, "request_id")
        if request_id is None:
            return MessageKeys(digest("body", request.body), call_id)
        return MessageKeys(digest("id", text(fields, "type") or "", request_id), call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its events; a value in it that no table lists becomes one of type
        `UNKNOWN`.

        Raises `IgnoredEvent` and `MalformedPayload`.
        """
        occurred_at = signature.read_time(request.header(signature.TIME))
        return read_events(read_webhook(request), message_id, occurred_at=occurred_at)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request with its URL in its body, signed with the first secret. Raises ValueError
        without one, `MalformedPayload` for a body that is no JSON object.
        """
        if not secrets.values:
            raise self.no_secret()
        return signature.sign(request, secrets.values[0], now)


def _is_probe(fields: Fields) -> bool:
    if any(text(part, *CALL_IDS) is not None for part in (fields, child(fields, "data"))):
        # It may be an event of an older webhook, documented as flat and unsigned: it is refused and
        # logged, not taken for a probe.
        return False
    is_about_nothing = text(fields, "type") is None and text(fields, "request_id") is None
    return is_about_nothing or fields.get("type") == PROBE
