"""
CallRail's signature:
https://support.callrail.com/hc/en-us/articles/5711246459149-Webhooks.

HMAC-SHA1 over the raw body, in base64. Nothing in the URL is signed, and no time.
"""

import base64
import hmac
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources.common.signatures import is_hmac_of_any, one_header, read_base64
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

SIGNATURE: Final = "signature"
ALGORITHM: Final = "sha1"
SIGNATURE_BYTES: Final = 20


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """Return if the key of one of the companies signed the body; raises `InvalidSignature`."""
    signature = read_signature(request)
    keys = [key.encode() for key in secrets.values]
    if not is_hmac_of_any(keys, request.body, [signature], algorithm=ALGORITHM):
        raise InvalidSignature(
            "no signing key gives this signature; each company at CallRail has a key of its own"
        )


def read_signature(request: WebhookRequest) -> bytes:
    """The raw signature in the header; raises `InvalidSignature` unless it is one in base64."""
    signature = read_base64(one_header(request, SIGNATURE))
    if signature is None or len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature(f"{SIGNATURE} is not the base64 of a signature")
    return signature


def sign(request: WebhookRequest, key: str) -> WebhookRequest:
    """The same request, signed as CallRail does."""
    mac = hmac.digest(key.encode(), request.body, ALGORITHM)
    return replace(
        request, headers={**request.headers, SIGNATURE: (base64.b64encode(mac).decode(),)}
    )
