"""
Twilio Programmable Voice: status, answering machine, recording, conference, `<Dial action>` and
`<Enqueue action>` requests, and the base of the sources that send the same requests.

https://www.twilio.com/docs/voice/api/call-resource,
https://www.twilio.com/docs/voice/answering-machine-detection,
https://www.twilio.com/docs/voice/twiml/dial.
"""

import re
from abc import abstractmethod
from datetime import datetime
from typing import Final

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.base import RetryPolicy, Source
from service.sources.common.setting_checks import check_api_url, check_pair
from service.sources.common.signatures import digest
from service.sources.request import (
    EMPTY_DOCUMENT,
    FORM,
    JSON,
    NO_CONTENT,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SettingKind, SourceSetting, ValueForm
from service.sources.twilio import signature as twilio_signature
from service.sources.twilio.events import read_events
from service.sources.twilio.payload import (
    Parameters,
    read_parameters,
    refuse_ignored,
    source_call_id,
)

# Of a `<Dial action>` and an `<Enqueue action>` request, which ask what to do next.
ACTION_FIELDS: Final = frozenset({"DialCallStatus", "QueueResult"})
ACCOUNT_SID: Final = re.compile(r"AC[0-9a-fA-F]{32}")
# https://www.twilio.com/docs/glossary/what-is-a-sid; an auth token has no prefix.
AUTH_TOKEN: Final = ValueForm(
    pattern="[0-9a-f]{32}",
    text="32 hex digits",
    others={"AC[0-9a-fA-F]{32}": "an account SID", "SK[0-9a-fA-F]{32}": "the SID of an API key"},
)
API_KEY: Final = ValueForm(
    pattern="SK[0-9a-fA-F]{32}",
    text="SK and 32 hex digits",
    others={"AC[0-9a-fA-F]{32}": "an account SID"},
)


def check_account_sid(value: str) -> str | None:
    """What is wrong with an account SID, or None: it is a part of the API's paths."""
    if ACCOUNT_SID.fullmatch(value):
        return None
    return "must be AC and 32 hex digits"


class TwilioRequests(Source):
    """A source that sends Twilio's requests; its signature is its own."""

    content_types = frozenset({FORM, JSON})
    call_id_carrier = "query"
    signs_url = True
    has_address_per_call = True

    @abstractmethod
    def signed_text(self, request: WebhookRequest) -> bytes:
        """
        What a signature covers of a request, without scheme and host. Raises `MalformedPayload`.
        """

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        The message's key is made of what its signature covers.

        Twilio's own `I-Twilio-Idempotency-Token` is not signed: whoever could see one message could
        send it again under new tokens, or use up the token of a message to come. The signed text
        itself is the same on every retry, differs between two events (sequence number, status,
        recording id), and nobody can make another one for the same signature.
        """
        parameters = read_parameters(request)
        refuse_ignored(request, parameters)
        return MessageKeys(
            digest("POST", self.signed_text(request)), source_call_id(request, parameters)
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a request: one, or two where it reports two legs, or two things of one; what
        is not understood becomes events of type `UNKNOWN` at the end.
        """
        parameters = read_parameters(request)
        refuse_ignored(request, parameters)
        return read_events(self.slug, request, parameters, message_id)


class Twilio(TwilioRequests):
    """The source `twilio`."""

    slug = "twilio"
    title = "Twilio"
    settings = (
        SourceSetting(
            name="twilio_auth_token",
            is_issued=True,
            description="Twilio auth token; several, separated by commas, while rotating.",
            form=AUTH_TOKEN,
        ),
        SourceSetting(
            name="twilio_shared_keys",
            description="Twilio shared keys as id:key pairs, separated by commas.",
            kind=SettingKind.KEY_PAIR,
            check=check_pair,
        ),
        SourceSetting(
            name="twilio_account_sid",
            description="Account SID (AC...) of Twilio, for reading its call log.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_account_sid,
        ),
        SourceSetting(
            name="twilio_api_key",
            description=(
                "SID (SK...) of a Twilio API key that may read calls and recordings; without one "
                "the auth token is used."
            ),
            kind=SettingKind.API_CREDENTIAL,
            form=API_KEY,
        ),
        SourceSetting(
            name="twilio_api_secret",
            description="Secret of the Twilio API key.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="twilio_api_url",
            description="Twilio's API.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://api.twilio.com",
        ),
    )
    # Twilio sends once, and to the fallback URL if there is one; `#rc=5&rp=all` at the end of the
    # URL asks for up to five retries.
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(1, 2, 4, 8, 16))
    proof = "HMAC-SHA1 or SHA256 over address and form, with the auth token or a shared key"

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        twilio_signature.check_headers(request, secrets)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        twilio_signature.verify(request, secrets)

    def signed_text(self, request: WebhookRequest) -> bytes:
        """Path and query, and the form's parameters in Twilio's order."""
        return twilio_signature.signed_text(request)

    def reply(self, request: WebhookRequest) -> Reply:
        """
        204, or an empty TwiML document where Twilio asks what to do next with the call; never
        raises.
        """
        try:
            parameters = read_parameters(request)
        except MalformedPayload:
            return NO_CONTENT
        if not parameters.keys().isdisjoint(ACTION_FIELDS) or _is_voice_url(parameters):
            return EMPTY_DOCUMENT
        return NO_CONTENT

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first auth token, or with the first shared key if there is
        no token. Raises ValueError without a secret.
        """
        return twilio_signature.sign(request, secrets)


def _is_voice_url(parameters: Parameters) -> bool:
    """Whether the request asks for the TwiML of a new inbound call."""
    is_inbound_call = (
        parameters.get("CallStatus") == "ringing" and parameters.get("Direction") == "inbound"
    )
    return is_inbound_call and "CallbackSource" not in parameters
