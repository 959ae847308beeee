"""
How Telnyx signs:
https://developers.telnyx.com/development/api-fundamentals/webhooks/receiving-webhooks.

Ed25519 over the timestamp, a `|` and the raw body, with a key pair of the account. The address is
not signed. The public key proves a message and can make none; a seed, for trials, can do both.
"""

import base64
import secrets as random
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources.common.signatures import one_header, read_base64
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

SIGNATURE: Final = "telnyx-signature-ed25519"
TIMESTAMP: Final = "telnyx-timestamp"
SEED: Final = "seed:"
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TOLERANCE_S: Final = 300
MAX_TIMESTAMP_DIGITS: Final = 12


def verify(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    """
    Return if one of the keys proves the message within the last, or next, 300 seconds; raises
    `InvalidSignature`.
    """
    timestamp, signature = request.headers_as(check_headers)
    text = _signed_text(timestamp, request.body)
    keys = filter(None, map(_public_key, secrets.values))
    if not any(_is_signed(key, signature, text) for key in keys):
        raise InvalidSignature(
            "no public key proves this signature; "
            "compare TELNYX_PUBLIC_KEY with the portal's, and which account it is"
        )
    away_s = now.timestamp() - int(timestamp)
    if abs(away_s) > TOLERANCE_S:
        raise InvalidSignature(
            f"{TIMESTAMP} is {abs(away_s):.0f} s away from this machine's clock, "
            f"more than {TOLERANCE_S} s"
        )


def check_headers(request: WebhookRequest) -> tuple[str, bytes]:
    """
    The time and the raw signature in the headers; raises `InvalidSignature` unless they could be
    those of a signed message.
    """
    timestamp = one_header(request, TIMESTAMP)
    signature = read_base64(one_header(request, SIGNATURE))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_TIMESTAMP_DIGITS):
        raise InvalidSignature(f"{TIMESTAMP} must be whole seconds since 1970")
    if signature is None or len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature(f"{SIGNATURE} is not the base64 of {SIGNATURE_BYTES} bytes")
    return timestamp, signature


def sign(request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
    """
    The same request, signed with the first seed. Raises ValueError if none is set: a public key
    signs nothing.
    """
    seed = next((seed for seed in map(_read_seed, secrets.values) if seed is not None), None)
    if seed is None:
        raise ValueError(
            "there is no secret to sign with: a public key proves messages and signs none. "
            f"For trials, set TELNYX_PUBLIC_KEY to {SEED} and the base64 of 32 random bytes, "
            f"like: echo {SEED}$(openssl rand -base64 32)"
        )
    timestamp = str(int(now.timestamp()))
    from nacl.signing import SigningKey

    signature = SigningKey(seed).sign(_signed_text(timestamp, request.body)).signature
    return replace(
        request,
        headers={
            **request.headers,
            TIMESTAMP: (timestamp,),
            SIGNATURE: (base64.b64encode(signature).decode("ascii"),),
        },
    )


def check_key(text: str) -> str | None:
    """What is wrong with a public key or a seed that is to be set, or None."""
    if _read_key(text.removeprefix(SEED)) is None:
        return (
            f"must be Telnyx's public key, the base64 of {KEY_BYTES} bytes, "
            f"or for trials {SEED} and the base64 of {KEY_BYTES} random bytes"
        )
    return None


def make_seed() -> str:
    """A new seed, for a key pair that takes the place of Telnyx's in trials."""
    return SEED + base64.b64encode(random.token_bytes(KEY_BYTES)).decode("ascii")


# Making the key of a seed takes as long as proving a message with it.
@lru_cache(maxsize=64)
def _public_key(value: str) -> "VerifyKey | None":
    """The key in a setting, or that of the seed in it; None if it holds neither."""
    # Loaded on use: only Telnyx signs so.
    from nacl.signing import SigningKey, VerifyKey

    seed = _read_seed(value)
    if seed is not None:
        return SigningKey(seed).verify_key
    public_key = _read_key(value)
    if public_key is None:
        return None
    return VerifyKey(public_key)


def _is_signed(key: "VerifyKey", signature: bytes, text: bytes) -> bool:
    from nacl.exceptions import BadSignatureError

    try:
        key.verify(text, signature)
    except BadSignatureError:
        return False
    return True


def _signed_text(timestamp: str, body: bytes) -> bytes:
    return timestamp.encode("ascii") + b"|" + body


def _read_seed(text: str) -> bytes | None:
    if not text.startswith(SEED):
        return None
    return _read_key(text.removeprefix(SEED))


def _read_key(text: str) -> bytes | None:
    raw = read_base64(text)
    if raw is None or len(raw) != KEY_BYTES:
        return None
    return raw
