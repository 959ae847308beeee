"""
The signature of the Standard Webhooks specification: https://www.standardwebhooks.com.

HMAC-SHA256 over id, time (seconds since 1970) and body. Several sources sign so, each with a secret
of its own.
"""

import base64
import hmac
import secrets as random
from datetime import datetime
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources.common.signatures import (
    check_count,
    digest,
    is_hmac_of_any,
    one_header,
    read_base64,
)
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
SCHEME: Final = "v1"
PREFIX: Final = "whsec_"
TOLERANCE_S: Final = 300
MAX_TIMESTAMP_DIGITS: Final = 12
MAX_ID_LENGTH: Final = 200
LEAST_KEY_BYTES: Final = 16


def verify(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    """
    Return if one of the secrets signed the message within the last, or next, 300 seconds; raises
    `InvalidSignature`.
    """
    message_id, timestamp, signatures = request.headers_as(check_headers)
    keys = list(filter(None, map(read_secret, secrets.values)))
    if not keys:
        raise InvalidSignature("there is no secret that can be read: whsec_ and base64")
    text = _signed_text(message_id, timestamp, request.body)
    if not is_hmac_of_any(keys, text, signatures, algorithm="sha256"):
        raise InvalidSignature("no secret gives one of these signatures")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        raise InvalidSignature(
            f"{TIMESTAMP} is more than {TOLERANCE_S} s away from this machine's clock"
        )


def check_headers(request: WebhookRequest) -> tuple[str, str, list[bytes]]:
    """
    Id, time and raw signatures in the headers; raises `InvalidSignature` unless they could be those
    of a signed message.
    """
    message_id = one_header(request, ID)
    timestamp = one_header(request, TIMESTAMP)
    if not _is_plain(message_id) or not _is_timestamp(timestamp):
        raise InvalidSignature(
            f"{ID} must be printable ASCII of at most {MAX_ID_LENGTH} characters, "
            f"{TIMESTAMP} whole seconds since 1970"
        )
    signatures = _read_signatures(request)
    if not signatures:
        raise InvalidSignature("no secret gives one of these signatures")
    return message_id, timestamp, signatures


def sign(request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
    """
    The same request, signed with the first secret; a request without an id gets one made of its
    content. Raises ValueError without a secret.
    """
    keys = list(map(read_secret, secrets.values[:1]))
    if not keys or keys[0] is None:
        raise ValueError("there is no secret to sign with: it must be whsec_ and base64")
    message_id = request.header(ID) or f"msg_{digest(request.url, request.body)}"
    timestamp = str(int(now.timestamp()))
    mac = hmac.digest(keys[0], _signed_text(message_id, timestamp, request.body), "sha256")
    proof = {
        ID: (message_id,),
        TIMESTAMP: (timestamp,),
        SIGNATURE: (f"{SCHEME},{base64.b64encode(mac).decode()}",),
    }
    return replace(request, headers={**request.headers, **proof})


@lru_cache(maxsize=64)
def read_secret(text: str) -> bytes | None:
    """
    The key in a secret, with or without `whsec_`, with or without padding; None if it is not base64
    or empty.
    """
    encoded = text.strip().removeprefix(PREFIX).rstrip("=")
    return read_base64(encoded + "=" * (-len(encoded) % 4)) or None


def check_secret(text: str) -> str | None:
    """What is wrong with a secret that is to be set, or None."""
    if len(read_secret(text) or b"") < LEAST_KEY_BYTES:
        return (
            "must be whsec_ and the base64 of at least 16 random bytes, "
            "like: echo whsec_$(openssl rand -base64 32)"
        )
    return None


def make_secret() -> str:
    """A new secret."""
    return PREFIX + base64.b64encode(random.token_bytes(24)).decode()


def _read_signatures(request: WebhookRequest) -> list[bytes]:
    """The signatures that are read, of those that came, separated by blanks."""
    values = one_header(request, SIGNATURE).split(" ")
    check_count(values, SIGNATURE)
    return [raw for raw in map(_read_signature, values) if raw is not None]


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= MAX_ID_LENGTH


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_TIMESTAMP_DIGITS


def _signed_text(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _read_signature(text: str) -> bytes | None:
    scheme, _, encoded = text.partition(",")
    if scheme != SCHEME:
        return None
    return read_base64(encoded)
