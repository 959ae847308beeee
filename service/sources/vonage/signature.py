"""
Vonage's signature: a JSON Web Token (HS256) in `Authorization` with the time and the hash of the
body.

Claims: https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks.
What is hashed: https://api.support.vonage.com/hc/en-us/articles/19033783342876.
"""

import hashlib
import hmac
import json
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common import jwt
from service.sources.common.json_body import (
    JsonValue,
    check_unproved,
    compact_json,
    read_json_object,
)
from service.sources.common.signatures import AUTHORIZATION, authorization, digest
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

SCHEME: Final = "Bearer"
ISSUER: Final = "Vonage"
# Seconds. Vonage sets no limit; its tokens never expire.
TOLERANCE_S: Final = 300


def verify(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    """
    Return if one of the secrets signed the token, and the token this body at about this time; else
    raises `InvalidSignature`.
    """
    claims = jwt.read_token(request.headers_as(check_headers).encode(), secrets)
    try:
        _check_claims(read_json_object(claims), request, now)
    except MalformedPayload as err:
        raise InvalidSignature("the token holds no JSON object") from err


def check_headers(request: WebhookRequest) -> str:
    """
    The token in the headers; raises `InvalidSignature` unless it could be a JWT.
    """
    token = authorization(request, SCHEME.lower())
    if token is None or not token.isascii() or token.count(".") != jwt.PARTS - 1:
        raise InvalidSignature(f"{AUTHORIZATION} is not a bearer token")
    return token


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """The same request, signed as Vonage does."""
    iat = int(now.timestamp())
    claims: dict[str, JsonValue] = {
        "iat": iat,
        "jti": digest(request.body, str(iat)),
        "iss": ISSUER,
        "payload_hash": _hash(request.body),
        "api_key": "trigger",
    }
    token = jwt.write_token(json.dumps(claims, separators=(",", ":")).encode(), secret)
    return replace(
        request, headers={**request.headers, AUTHORIZATION: (f"{SCHEME} {token.decode()}",)}
    )


def compact_body(request: WebhookRequest) -> bytes:
    """
    The JSON object in the body without blanks, names in the order in which they came. Raises
    `MalformedPayload`.
    """
    return request.body_via(read_json_object, compact_json)


def _check_claims(claims: dict[str, JsonValue], request: WebhookRequest, now: datetime) -> None:
    if claims.get("iss") != ISSUER:
        raise InvalidSignature(f"the token is not issued by {ISSUER}")
    if not _is_recent(claims.get("iat"), now):
        raise InvalidSignature(
            f"the token names no time, or one more than {TOLERANCE_S} seconds away"
        )
    payload_hash = claims.get("payload_hash")
    if not isinstance(payload_hash, str) or not payload_hash.isascii():
        raise InvalidSignature("the token holds no hash of a body")
    if not _is_hash_of(request, payload_hash):
        raise InvalidSignature("the token is for another body")


def _is_recent(issued_at: JsonValue, now: datetime) -> bool:
    if isinstance(issued_at, bool) or not isinstance(issued_at, int | float):
        return False
    return abs(now.timestamp() - issued_at) <= TOLERANCE_S


def _is_hash_of(request: WebhookRequest, payload_hash: str) -> bool:
    if hmac.compare_digest(_hash(request.body), payload_hash):
        return True
    # Vonage describes the hash as that of the compact JSON. A body that differs from it in blanks
    # and spelling means the same; one in which a name occurs twice is not read at all.
    try:
        check_unproved(request.body)
        return hmac.compare_digest(_hash(compact_body(request)), payload_hash)
    except MalformedPayload:
        return False


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
