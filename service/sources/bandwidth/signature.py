"""
How Bandwidth proves its webhooks: https://dev.bandwidth.com/docs/voice/webhooks.

Nothing is signed. HTTP Basic credentials prove who sends, and neither the URL nor the body.
"""

import hmac
import secrets as random
from base64 import b64encode
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources.common.signatures import AUTHORIZATION, authorization, read_base64
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

SCHEME: Final = "Basic"
# It is sent, not signed with: guessing it takes a request each, and the path token of the address.
LEAST_PASSWORD: Final = 8


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """Return if user and password are one of the pairs that are set; raises `InvalidSignature`."""
    encoded_pair = authorization(request, SCHEME.lower())
    credentials = read_base64(encoded_pair or "")
    if not credentials:
        raise InvalidSignature(f"{AUTHORIZATION} holds no user and password")
    matches = [hmac.compare_digest(pair.encode(), credentials) for pair in secrets.values]
    if not any(matches):
        raise InvalidSignature("user and password are not those that are set here")


def sign(request: WebhookRequest, pair: str) -> WebhookRequest:
    """The same request with these credentials, a user and a password with a colon between them."""
    value = f"{SCHEME} {b64encode(pair.encode()).decode()}"
    return replace(request, headers={**request.headers, AUTHORIZATION: (value,)})


def check_credentials(value: str) -> str | None:
    """What is wrong with a user and password that are to be set, or None."""
    user, _, password = value.partition(":")
    if not user or not password:
        return "must be user and password with a colon between them, like hookuser:THEPASSWORD"
    if len(password) < LEAST_PASSWORD:
        return f"must have a password of at least {LEAST_PASSWORD} characters"
    return None


def make_credentials() -> str:
    """A user and a new password, for trials."""
    return f"demo:{random.token_hex(16)}"
