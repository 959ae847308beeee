"""
Signing as the vendors' own libraries do it: the oracle of the conformance tests, one function per source.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

from service.sources import Incoming


@dataclass(frozen=True, slots=True)
class _MultiDict:
    """Form parameters the way the frameworks that Twilio's library knows hold them."""

    values: Mapping[str, list[str]]

    def __iter__(self) -> object:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def getlist(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self.values[name]


def sign_twilio(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Sign as Twilio does with an auth token; a time plays no part in it."""
    del now
    validator = RequestValidator(secret)
    if incoming.content_type == "application/json":
        mark = "&" if incoming.query else "?"
        incoming = replace(incoming, url=f"{incoming.url}{mark}bodySHA256={hashlib.sha256(incoming.body).hexdigest()}")
        signature = validator.compute_signature(incoming.url, {})
    else:
        form = parse_qs(incoming.body.decode(), keep_blank_values=True)
        signature = validator.compute_signature(incoming.url, _MultiDict(form))
    return with_headers(incoming, {"x-twilio-signature": signature})


def sign_standard(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Sign by the Standard Webhooks specification."""
    message_id = incoming.header("webhook-id") or "msg_1"
    signature = Webhook(secret).sign(message_id, now, incoming.body.decode())
    return with_headers(
        incoming, {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    )


def with_headers(incoming: Incoming, headers: Mapping[str, str]) -> Incoming:
    """The same request with these headers set."""
    return replace(incoming, headers={**incoming.headers, **{name: (value,) for name, value in headers.items()}})


SIGN: Final[Mapping[str, Callable[[Incoming, str, datetime], Incoming]]] = {"twilio": sign_twilio, "standard": sign_standard}
SECRETS: Final[Mapping[str, tuple[str, str]]] = {
    "twilio": ("FAKE0000000000000000000000000000", "FAKE1111111111111111111111111111"),
    "standard": ("whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==", "whsec_YW5vdGhlci1zdGFuZGFyZC1zZWNyZXQ="),
}
PROOFS: Final[Mapping[str, tuple[str, ...]]] = {
    "twilio": ("x-twilio-signature",),
    "standard": ("webhook-id", "webhook-timestamp", "webhook-signature"),
}
