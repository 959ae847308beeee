"""
How the Standard Webhooks specification signs: https://www.standardwebhooks.com.

HMAC-SHA256 over id, time and body. Several sources sign so, each with a secret of its own.
"""

import base64
import hmac
import secrets as random
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import InvalidSignature
from service.sources.common.signatures import digest, one_header, read_base64
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
    name, timestamp, signatures = (
        one_header(request, header) for header in (ID, TIMESTAMP, SIGNATURE)
    )
    if not _is_plain(name) or not _is_timestamp(timestamp):
        raise InvalidSignature(
            f"{ID} must be printable ASCII of at most {MAX_ID_LENGTH} characters, {TIMESTAMP} whole seconds since 1970"
        )
    keys = [key for key in map(read_secret, secrets.values) if key is not None]
    if not keys:
        raise InvalidSignature("there is no secret that can be read: whsec_ and base64")
    text = _signed_text(name, timestamp, request.body)
    given = [
        signature
        for signature in map(_read_signature, signatures.split(" "))
        if signature is not None
    ]
    # Once for each key: whoever sends many signatures must not make us work through the whole body
    # for each.
    expected = [hmac.digest(key, text, "sha256") for key in keys]
    matches = [hmac.compare_digest(each, signature) for each in expected for signature in given]
    if not any(matches):
        raise InvalidSignature("no secret gives one of these signatures")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        raise InvalidSignature(
            f"{TIMESTAMP} is more than {TOLERANCE_S} s away from this machine's clock"
        )


def sign(request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
    """
    The same request, signed with the first secret; a request without an id is named after its
    content. Raises ValueError.
    """
    key = read_secret(secrets.values[0]) if secrets.values else None
    if key is None:
        raise ValueError("there is no secret to sign with: it must be whsec_ and base64")
    name = request.header(ID) or f"msg_{digest(request.url, request.body)}"
    timestamp = str(int(now.timestamp()))
    mac = hmac.digest(key, _signed_text(name, timestamp, request.body), "sha256")
    signature = f"{SCHEME},{base64.b64encode(mac).decode()}"
    return replace(
        request,
        headers={**request.headers, ID: (name,), TIMESTAMP: (timestamp,), SIGNATURE: (signature,)},
    )


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
        return "must be whsec_ and the base64 of at least 16 random bytes, like: echo whsec_$(openssl rand -base64 32)"
    return None


def make_secret() -> str:
    """A new secret."""
    return PREFIX + base64.b64encode(random.token_bytes(24)).decode()


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= MAX_ID_LENGTH


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_TIMESTAMP_DIGITS


def _signed_text(name: str, timestamp: str, body: bytes) -> bytes:
    return f"{name}.{timestamp}.".encode() + body


def _read_signature(text: str) -> bytes | None:
    scheme, _, encoded = text.partition(",")
    return read_base64(encoded) if scheme == SCHEME else None
