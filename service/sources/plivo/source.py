"""
Plivo Voice: ring, answer, hangup, machine detection, `<Dial>` and `<Record>` requests.

https://www.plivo.com/docs/voice/xml/request, https://www.plivo.com/docs/voice/xml/dial,
https://www.plivo.com/docs/voice/api/call/machine-detection.
"""

import re
from datetime import datetime
from typing import Final

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.base import RetryPolicy, Source
from service.sources.common.setting_checks import check_api_url, check_switch
from service.sources.common.signatures import digest
from service.sources.plivo import signature as plivo_signature
from service.sources.plivo.events import read_events
from service.sources.plivo.payload import leg_ids, read_parameters
from service.sources.request import FORM, MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting, ValueForm

EMPTY_XML: Final = Reply(
    200, b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>', "text/xml"
)
AUTH_ID: Final = re.compile(r"[A-Z0-9]{10,40}", re.ASCII)

# https://www.plivo.com/docs/account/api/subaccount: ids of accounts begin with MA, those of
# subaccounts with SA. What a token looks like is not documented.
AUTH_TOKEN: Final = ValueForm(others={"(MA|SA)[A-Z0-9]{18}": "an auth id"})


def check_auth_id(value: str) -> str | None:
    """What is wrong with an auth id, or None: it is a part of the API's paths."""
    if AUTH_ID.fullmatch(value):
        return None
    return "must be capital letters and digits, like MA and 18 more"


class Plivo(Source):
    """The source `plivo`."""

    slug = "plivo"
    title = "Plivo"
    content_types = frozenset({FORM})
    settings = (
        SourceSetting(
            name="plivo_auth_token",
            is_issued=True,
            description=(
                "Plivo auth token; several, separated by commas, while rotating "
                "and for subaccounts."
            ),
            form=AUTH_TOKEN,
        ),
        SourceSetting(
            name="plivo_auth_id",
            description="Auth id (MA...) of the Plivo account, for reading its call log.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_auth_id,
        ),
        SourceSetting(
            name="plivo_machine_detection",
            description=(
                "`true` if your outbound calls use machine detection: what Plivo's call log shows "
                "as answered then stays open, since it does not show who answered."
            ),
            kind=SettingKind.API_CREDENTIAL,
            check=check_switch,
            default="false",
        ),
        SourceSetting(
            name="plivo_api_url",
            description="Plivo's API.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_api_url,
            default="https://api.plivo.com",
        ),
    )
    # With `#rc=5&rp=all` at the end of the URL; all attempts fall within 55 seconds.
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(1, 2, 4, 8, 16))
    proof = "HMAC-SHA256 (V3) over address, query and form, with the auth token"
    call_id_carrier = "query"
    signs_url = True
    has_address_per_call = True

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(plivo_signature.check_headers)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        plivo_signature.verify(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        The message's key is made of what its signature covers, without the nonce.

        A retry has a nonce of its own. The rest of the signed text differs between two events of a
        call (status, cause, leg, recording).
        """
        parameters = read_parameters(request)
        source_call_id = leg_ids(request, parameters).source_call_id
        try:
            text = plivo_signature.signed_text_without_host(request)
        except ValueError as err:
            raise MalformedPayload("the query cannot be decoded") from err
        return MessageKeys(digest("POST", text), source_call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        The events of a request: one, or more where a hangup repeats when the leg began and was
        answered; what in it is not understood becomes events of type `UNKNOWN` at the end.
        """
        return read_events(request, read_parameters(request), message_id)

    def reply(self, request: WebhookRequest) -> Reply:
        """
        An empty XML document: Plivo counts 200 as success, and asks some of its URLs what to do
        next with the call.
        """
        return EMPTY_XML

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first auth token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return plivo_signature.sign(request, secrets.values[0])
