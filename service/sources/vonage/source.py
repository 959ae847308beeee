"""
Vonage Voice API: event webhooks, one for each change of a leg; the legs of a call share a
conversation.

https://developer.vonage.com/en/voice/voice-api/webhook-reference.
"""

from datetime import datetime
from typing import Final

from service.events import CallEvent
from service.sources.base import RetryPolicy, Source
from service.sources.common.forms import query_values
from service.sources.common.setting_checks import check_api_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting, ValueForm
from service.sources.vonage import signature as vonage_signature
from service.sources.vonage.events import read_events
from service.sources.vonage.payload import read_event, source_call_id
from service.sources.vonage.vocabulary import RECORD

# What a signature secret looks like is not documented.
SECRET: Final = ValueForm(
    others={
        "[0-9a-f]{8}": "an API key",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "the id of an application",
    }
)


class Vonage(Source):
    """The source `vonage`."""

    slug = "vonage"
    title = "Vonage"
    settings = (
        SourceSetting(
            name="vonage_signature_secret",
            is_issued=True,
            description=(
                "Vonage signature secret; several, separated by commas, while rotating "
                "and for several accounts."
            ),
            form=SECRET,
        ),
        SourceSetting(
            name="vonage_api_key",
            description="Vonage API key, for reading how calls ended.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="vonage_api_secret",
            description="Vonage API secret, for reading how calls ended.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="vonage_api_url",
            description="Vonage's API.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://api.nexmo.com",
        ),
    )
    # It retries once when no answer came in time; after an error answer it does not.
    retry_policy = RetryPolicy(response_timeout_s=10)
    proof = "HMAC-SHA256 token (JWT) over time and hash of the body, with the signature secret"
    call_id_carrier = "the address, signed by us"
    has_address_per_call = True
    has_moving_legs = True

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(vonage_signature.check_headers)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        vonage_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        The message's key is made of what its body holds: the token differs in each attempt, and
        blanks between the fields are not proved.
        """
        fields = read_event(request)
        return MessageKeys(digest(vonage_signature.compact_body(request)), source_call_id(fields))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a message; what in it is not understood becomes events of type `UNKNOWN` at
        the end.
        """
        fields = read_event(request)
        # Nothing in a message tells a caller's message from a recording of the talk; the author of
        # the NCCO can, in the URL. It is not signed, and decides no more than this.
        return read_events(fields, message_id, record_kinds=query_values(request, RECORD))

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first secret. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return vonage_signature.sign(request, secrets.values[0], now)
