"""
The open source: JSON of our own form, signed by the Standard Webhooks specification.

https://www.standardwebhooks.com.
"""

import json
from datetime import datetime
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources.base import KIB, RetryPolicy, Source
from service.sources.common import standard_webhooks as standard_signature
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.common.signatures import digest
from service.sources.common.standard_webhooks import check_secret, make_secret
from service.sources.request import JSON, MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting
from service.sources.standard.events import read_event
from service.sources.standard.payload import StandardMessage

MAX_FAULTS: Final = 5
ACCEPTED: Final = Reply(202, b'{"status":"accepted"}', JSON)


class Standard(Source):
    """The source `standard`."""

    slug = "standard"
    title = "Standard (anything that can send a webhook)"
    settings = (
        SourceSetting(
            name="standard_secret",
            description=(
                "Standard Webhooks secret (whsec_...) of the source `standard`; "
                "several while rotating."
            ),
            check=check_secret,
            generate=make_secret,
        ),
    )
    # What the specification recommends to senders; yours does what you made it do.
    retry_policy = RetryPolicy(
        response_timeout_s=15,
        retry_delays_s=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
    )
    proof = "HMAC-SHA256 over id, time and body (Standard Webhooks)"
    call_id_carrier = "`buildr_call_id` in the body"
    has_address_per_call = True
    # A note and a transcript of the greatest length, every letter of them written as \\uXXXX.
    max_body_bytes = 256 * KIB
    kept_headers = frozenset({"content-type", standard_signature.ID})

    def check_headers(self, request: WebhookRequest, secrets: Secrets) -> None:
        """Raises `InvalidSignature` unless the headers could be those of a signed request."""
        request.headers_as(standard_signature.check_headers)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the secrets signed the message within the last, or next, 300 seconds.

        Raises `InvalidSignature`.
        """
        standard_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """The message's key is its signed `webhook-id`; without one, as offline, a hash of it."""
        value = request.body_as(read_json_object).get("call_id")
        if not isinstance(value, str):
            value = None
        return MessageKeys(
            request.header(standard_signature.ID) or digest(request.body),
            call_id(value, name="call_id"),
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its one event; raises `MalformedPayload` that names the fields at fault,
        never their values.
        """
        request.body_as(read_json_object)
        try:
            message = StandardMessage.model_validate_json(request.body)
        except ValidationError as err:
            raise MalformedPayload(_describe(err)) from err
        return [read_event(message, message_id)]

    def reply(self, request: WebhookRequest) -> Reply:
        """202: the message is stored."""
        return ACCEPTED

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first secret; a request without an id gets one made of its
        content. Raises ValueError.
        """
        if not secrets.values:
            raise self.no_secret()
        return standard_signature.sign(request, secrets, now)


def _describe(err: ValidationError) -> str:
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    lines = [_fault_line(fault) for fault in faults[:MAX_FAULTS]]
    if len(faults) > MAX_FAULTS:
        lines.append(f"and {len(faults) - MAX_FAULTS} more")
    return "; ".join(lines)


def _fault_line(fault: ErrorDetails) -> str:
    # The path of a fault may hold a name that the sender made up; written as JSON it stays one
    # short line.
    path = ".".join(map(str, fault["loc"])) or "message"
    return f"{json.dumps(path)[:60]}: {fault['msg'].removeprefix('Value error, ')}"
