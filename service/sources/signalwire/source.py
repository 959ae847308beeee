"""
SignalWire: the requests of its Compatibility API (cXML), which are Twilio's under another
signature; their payload, vocabulary and events are in `service.sources.twilio`.

https://signalwire.com/docs/compatibility-api/rest/calls/webhooks/voice-status-callback.
"""

import secrets
from datetime import datetime
from typing import Final

from service.events import CallEvent
from service.sources.base import RetryPolicy
from service.sources.request import EMPTY_DOCUMENT, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting, ValueForm
from service.sources.signalwire import signature as signalwire_signature
from service.sources.signalwire.number_callback import is_number_callback, read_number_callback
from service.sources.twilio.payload import read_parameters
from service.sources.twilio.source import TwilioRequests

# As in the tests of SignalWire's own libraries; API tokens begin with PT.
SIGNING_KEY: Final = ValueForm(
    pattern="PSK_[0-9A-Za-z]+",
    text="PSK_ and letters and digits",
    others={
        "PT[0-9a-f]{40,60}": "an API token",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "the id of a project",
    },
)


class SignalWire(TwilioRequests):
    """The source `signalwire`."""

    slug = "signalwire"
    title = "SignalWire"
    settings = (
        SourceSetting(
            name="signalwire_signing_key",
            is_issued=True,
            description=(
                "SignalWire signing keys, one for each project; "
                "the old and the new one while resetting."
            ),
            form=SIGNING_KEY,
            generate=lambda: f"PSK_{secrets.token_hex(12)}",
        ),
    )
    # SignalWire waits 5 seconds, and retries a status callback twice if no answer came by then.
    # Whether it retries after an answer of 503 is not documented:
    # https://signalwire.com/docs/compatibility-api/guides/common-webhook-errors
    retry_policy = RetryPolicy(response_timeout_s=5)
    proof = "HMAC-SHA1 over address and form, with the project's signing key"

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        signalwire_signature.check_headers(request)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        signalwire_signature.verify(request, secrets)

    def signed_text(self, request: WebhookRequest) -> bytes:
        """
        Path and query, and the form's parameters in SignalWire's order, or the JSON as it came.
        """
        return signalwire_signature.signed_text(request)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a request, as Twilio's; of a number's callback also the start of the call.
        """
        events = super().parse(request, message_id)
        parameters = read_parameters(request)
        if not is_number_callback(parameters):
            return events
        return read_number_callback(events, parameters)

    def reply(self, request: WebhookRequest) -> Reply:
        """
        An empty document: SignalWire wants 200, and XML where it asks what to do next with the
        call.
        """
        return EMPTY_DOCUMENT

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first key. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return signalwire_signature.sign(request, secrets.values[0])
