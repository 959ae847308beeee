"""
Dialpad's proof: the whole body is one JWT in its compact form, of which the middle part is the message.

https://developers.dialpad.com/docs/event-subscriptions. The algorithm is HS256 and no other; the key is the webhook's secret.
"""

import base64
import binascii
import hmac
from dataclasses import replace
from typing import Final

from service.errors import InvalidSignature, MalformedPayload
from service.secrets import Secrets
from service.sources.base import Incoming, is_hmac
from service.sources.signatures import read_json_object

ALGORITHM: Final = "HS256"
HASH: Final = "sha256"
HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'
PARTS: Final = 3


def verify(incoming: Incoming, secrets: Secrets) -> None:
    """Raises `InvalidSignature` unless one of the secrets signed the body."""
    parts = incoming.body.strip().split(b".")
    decoded = [_decoded(part) for part in parts]
    header, signature = decoded[0], decoded[-1]
    if len(parts) != PARTS or header is None or signature is None or decoded[1] is None:
        raise InvalidSignature("the body is no JWT; the webhook at Dialpad must have a secret")
    _check_header(header)
    signed = b".".join(parts[:-1])
    matches = [is_hmac(each.encode(), signed, signature, algorithm=HASH) for each in secrets.values if each]
    if not any(matches):
        raise InvalidSignature("no secret gives the signature of this JWT")


def payload(body: bytes) -> bytes:
    """The message in a JWT, unproved; what is no JWT is taken to be the message itself."""
    parts = body.strip().split(b".")
    is_jwt = len(parts) == PARTS and not parts[0].startswith(b"{")
    found = _decoded(parts[1]) if is_jwt else None
    return body if found is None else found


def sign(incoming: Incoming, secrets: Secrets) -> Incoming:
    """The same request as a JWT, signed with the first secret."""
    signed = b".".join(map(_encoded, (HEADER, incoming.body)))
    mac = hmac.digest(secrets.values[0].encode(), signed, HASH)
    return replace(incoming, body=signed + b"." + _encoded(mac))


def _check_header(header: bytes) -> None:
    try:
        fields = read_json_object(header)
    except MalformedPayload as err:
        raise InvalidSignature(f"the header of the JWT cannot be read: {err}") from err
    # `crit` names what must be understood to believe the rest; nothing of that is.
    if fields.get("alg") != ALGORITHM or "crit" in fields:
        raise InvalidSignature(f"the JWT must be signed with {ALGORITHM}")


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decoded(part: bytes) -> bytes | None:
    """Bytes from base64url in its one canonical spelling, without padding, else None."""
    try:
        raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        return None
    return raw if _encoded(raw) == part else None
