"""
What every source that signs needs: one header, canonical base64, HMAC in constant time, digests.
"""

import binascii
import hashlib
import hmac
import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from service.errors import InvalidSignature
from service.sources.request import WebhookRequest

AUTHORIZATION: Final = "authorization"
# Of one header. Vendors send one, or two while a key is rotated.
MOST_SIGNATURES: Final = 8


# Setting up a hash by its name takes longer than to hash a message. What is kept is never changed,
# only copied.
@lru_cache(maxsize=64)
def _keyed(key: bytes, algorithm: str) -> hmac.HMAC:
    return hmac.new(key, digestmod=algorithm)


def _mac(key: bytes, message: bytes, algorithm: str) -> bytes:
    mac = _keyed(key, algorithm).copy()
    mac.update(message)
    return mac.digest()


def is_hmac(key: bytes, message: bytes, signature: bytes, *, algorithm: str) -> bool:
    """
    Whether `signature` (raw bytes) is the HMAC of the message; takes the same time whatever
    differs.
    """
    return hmac.compare_digest(_mac(key, message, algorithm), signature)


def is_hmac_of_any(
    keys: Iterable[bytes], message: bytes, signatures: Sequence[bytes], *, algorithm: str
) -> bool:
    """
    Whether one of the keys gives one of the signatures of a message: one HMAC for each key, however
    many signatures came, all compared in constant time.
    """
    # A sender of many signatures must not make us hash the whole body for each of them.
    expected = [_mac(key, message, algorithm) for key in keys]
    matches = [
        hmac.compare_digest(mac, signature)
        for mac, signature in itertools.product(expected, signatures)
    ]
    return any(matches)


def check_count(values: Sequence[str], name: str) -> None:
    """Raises `InvalidSignature` for more signatures than any vendor sends in one header."""
    if len(values) > MOST_SIGNATURES:
        raise InvalidSignature(f"{name} holds more than {MOST_SIGNATURES} signatures")


def digest(*parts: str | bytes) -> str:
    """
    32 hexadecimal digits of a SHA-256 over the parts and their lengths, so that moving a byte from
    one part to the next changes them.
    """
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        pieces += (len(data).to_bytes(8, "big"), data)
    return hashlib.sha256(b"".join(pieces)).hexdigest()[:32]


def one_header(request: WebhookRequest, name: str) -> str:
    """
    The value of a header that proves something; raises `InvalidSignature` unless it came exactly
    once and is not empty.
    """
    values = request.headers.get(name, ())
    if len(values) != 1 or not values[0]:
        raise InvalidSignature(f"{name} came {len(values)} times or is empty; it must come once")
    return values[0]


def authorization(request: WebhookRequest, scheme: str) -> str | None:
    """
    The credentials in the Authorization header, None if it is of another scheme; `scheme` is in
    lower case. Raises as `one_header` does.

    The scheme may be written in any case: https://www.rfc-editor.org/rfc/rfc9110#section-11.1.
    """
    sent_scheme, _, credentials = one_header(request, AUTHORIZATION).partition(" ")
    if sent_scheme.lower() != scheme:
        return None
    return credentials


# A signature is read before the body is, and once more with it; secrets with each message. Found
# by its hash, so that the time tells nothing of what else is here.
@lru_cache(maxsize=64)
def read_base64(text: str) -> bytes | None:
    """
    Bytes from base64 in its one canonical spelling, else None.

    A lenient decoder reads several texts as the same bytes, so that a changed signature could
    still be accepted.
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (ValueError, binascii.Error):
        return None
    if binascii.b2a_base64(raw, newline=False).decode() != text:
        return None
    return raw
