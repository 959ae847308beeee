"""
Vonage's signature: a JSON Web Token (HS256) in `Authorization`, which holds the time and the hash of the body.

Claims: https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks. What is hashed:
https://api.support.vonage.com/hc/en-us/articles/19033783342876.

The token is checked with `hmac` and no JWT library: the vendor's secrets may be shorter than such a library wants, and it would read the
signature in more than one spelling.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import InvalidSignature, MalformedPayload
from service.secrets import Secrets
from service.sources.base import Incoming, digest, is_hmac
from service.sources.signatures import JsonValue, one_header, read_json_object

AUTHORIZATION: Final = "authorization"
TOKEN: Final = re.compile(r"Bearer (([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]+)", re.ASCII)
ALGORITHM: Final = "HS256"
ISSUER: Final = "Vonage"
# Vonage sets no limit; its tokens never run out.
TOLERANCE_S: Final = 300


def verify(incoming: Incoming, secrets: Secrets, now: datetime) -> None:
    """Return if one of the secrets signed the token, and the token this body at about this time; else raises `InvalidSignature`."""
    found = TOKEN.fullmatch(one_header(incoming, AUTHORIZATION))
    if found is None:
        raise InvalidSignature(f"{AUTHORIZATION} is not a bearer token of three parts")
    signed_text, head, payload, signature = found.groups()
    mac = _bytes(signature)
    matches = [is_hmac(secret.encode(), signed_text.encode(), mac, algorithm="sha256") for secret in secrets.values]
    if not any(matches):
        raise InvalidSignature("no signature secret gives this signature")
    header = _object(head)
    # `crit` would name what must be understood of the token beyond its signature, and nothing is.
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise InvalidSignature(f"the token is not a plain {ALGORITHM}")
    _check_claims(_object(payload), incoming, now)


def sign(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """The same request, signed as Vonage does."""
    iat = int(now.timestamp())
    claims: dict[str, JsonValue] = {
        "iat": iat,
        "jti": digest(incoming.body, str(iat)),
        "iss": ISSUER,
        "payload_hash": _hash(incoming.body),
        "api_key": "trigger",
    }
    text = f"{_text({'alg': ALGORITHM, 'typ': 'JWT'})}.{_text(claims)}"
    mac = _base64url(hmac.digest(secret.encode(), text.encode(), "sha256"))
    return replace(incoming, headers={**incoming.headers, AUTHORIZATION: (f"Bearer {text}.{mac}",)})


def compact(body: bytes) -> bytes:
    """A JSON object as it is without blanks, names in the order in which they came. Raises `MalformedPayload`."""
    return json.dumps(read_json_object(body), ensure_ascii=False, separators=(",", ":")).encode()


def _check_claims(claims: dict[str, JsonValue], incoming: Incoming, now: datetime) -> None:
    iat, told = claims.get("iat"), claims.get("payload_hash")
    if claims.get("iss") != ISSUER:
        raise InvalidSignature(f"the token is not issued by {ISSUER}")
    if isinstance(iat, bool) or not isinstance(iat, int | float) or abs(now.timestamp() - iat) > TOLERANCE_S:
        raise InvalidSignature(f"the token names no time, or one more than {TOLERANCE_S} seconds away")
    if not isinstance(told, str) or not told.isascii() or not _is_hashed(incoming.body, told):
        raise InvalidSignature("the token is for another body")


def _is_hashed(body: bytes, told: str) -> bool:
    if hmac.compare_digest(_hash(body), told):
        return True
    # Vonage describes the hash as that of the compact JSON. A body that differs from it in blanks and spelling says the same; one in which
    # a name comes twice is not read at all.
    try:
        return hmac.compare_digest(_hash(compact(body)), told)
    except MalformedPayload:
        return False


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _object(part: str) -> dict[str, JsonValue]:
    try:
        return read_json_object(_bytes(part))
    except MalformedPayload as err:
        raise InvalidSignature("a part of the token is no JSON object") from err


def _text(value: dict[str, JsonValue]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(part: str) -> bytes:
    """Bytes from base64url in its one canonical spelling, or a changed last character would stand for the same signature."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as err:
        raise InvalidSignature("a part of the token is not base64url") from err
    if _base64url(raw) != part:
        raise InvalidSignature("a part of the token is not base64url in its canonical form")
    return raw
