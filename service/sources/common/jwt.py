"""
JSON Web Tokens in their compact form (RFC 7515), signed with HS256 and nothing else: what some
vendors prove their messages with.

Checked with `hmac` and no JWT library: vendors' secrets may be shorter than such a library wants,
and it would read a signature in more than one spelling, so that a changed one could still be taken
for the right one.
"""

import binascii
import hmac
from functools import lru_cache
from typing import Final

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.json_body import read_json_object
from service.sources.common.signatures import is_hmac_of_any
from service.sources.settings import Secrets

ALGORITHM: Final = "HS256"
HASH: Final = "sha256"
HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'
PARTS: Final = 3
TO_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
FROM_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")


def read_token(token: bytes, secrets: Secrets) -> bytes:
    """
    The payload of a token that one of the secrets signed; raises `InvalidSignature`.
    """
    # At most one part too many: a token of nothing but dots must not be decoded part by part.
    parts = token.split(b".", PARTS)
    decoded = [raw for raw in map(_decoded, parts) if raw is not None]
    if len(parts) != PARTS or len(decoded) != PARTS:
        raise InvalidSignature(
            "there is no JWT: three parts in base64url, each in its one canonical spelling"
        )
    header, payload, signature = decoded
    signed = b".".join(parts[:-1])
    keys = [secret.encode() for secret in secrets.values if secret]
    if not is_hmac_of_any(keys, signed, [signature], algorithm=HASH):
        raise InvalidSignature("no secret gives the signature of this JWT")
    _check_header(header)
    return payload


def write_token(payload: bytes, secret: str) -> bytes:
    """A signed token with this payload."""
    signed = b".".join(map(_encoded, (HEADER, payload)))
    return signed + b"." + _encoded(hmac.digest(secret.encode(), signed, HASH))


def unproved_payload(token: bytes) -> bytes | None:
    """The payload of a token, whoever signed it; None if it is not a token."""
    parts = token.split(b".", PARTS)
    if len(parts) != PARTS or parts[0].startswith(b"{"):
        return None
    return _decoded(parts[1])


# A sender writes the same header into all of its tokens, and it is read behind their proof only.
@lru_cache(maxsize=16)
def _check_header(header: bytes) -> None:
    try:
        fields = read_json_object(header)
    except MalformedPayload as err:
        raise InvalidSignature("the header of the JWT is no JSON object") from err
    # `crit` names what must be understood to believe the rest; nothing of that is.
    if fields.get("alg") != ALGORITHM or "crit" in fields:
        raise InvalidSignature(f"the JWT must be signed with {ALGORITHM}")


def _encoded(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(TO_URLSAFE)


def _decoded(part: bytes) -> bytes | None:
    padding = b"=" * (-len(part) % 4)
    try:
        raw = binascii.a2b_base64(part.translate(FROM_URLSAFE) + padding)
    except binascii.Error:
        return None
    if _encoded(raw) != part:
        return None
    return raw
