"""
How Zoom signs its webhooks, and how it validates that a URL is ours:
https://developers.zoom.us/docs/api/webhooks/.

The app's secret token signs `v0:TIMESTAMP:BODY` with HMAC-SHA256. To validate a URL, Zoom wants the
HMAC of a text that it chooses, with the same token.
"""

import hmac
import json
import re
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.fields import child
from service.sources.common.json_body import read_json_object_with_long_ids
from service.sources.common.signatures import is_hmac, one_header
from service.sources.request import JSON, Reply, WebhookRequest
from service.sources.settings import Secrets

SIGNATURE: Final = "x-zm-signature"
TIMESTAMP: Final = "x-zm-request-timestamp"
ALGORITHM: Final = "sha256"
PROOF: Final = re.compile(r"v0=([0-9a-f]{64})")
# Zoom sends seconds. Should it ever send milliseconds, they are recognised by their size.
TIME: Final = re.compile(r"[0-9]{1,13}")
FIRST_IN_MS: Final = 10**11
TOLERANCE_S: Final = 300
VALIDATION: Final = "endpoint.url_validation"
# Without a colon, so that what we sign here can never be the text of a message, `v0:...`.
PLAIN_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{1,256}")


def signing_secret(request: WebhookRequest, secrets: Secrets, now: datetime) -> str:
    """
    The secret that signed a message within the last, or next, 300 seconds; raises
    `InvalidSignature`.
    """
    timestamp, signature = request.headers_as(check_headers)
    message = _signed_text(timestamp, request.body)
    matches = [
        secret
        for secret in secrets.values
        if is_hmac(secret.encode(), message, signature, algorithm=ALGORITHM)
    ]
    if not matches:
        raise InvalidSignature(
            "no secret token gives this signature; each app at Zoom has one of its own"
        )
    age_s = now.timestamp() - _epoch_s(timestamp)
    if abs(age_s) > TOLERANCE_S:
        raise InvalidSignature(
            f"{TIMESTAMP} is {round(age_s)} s away from this machine's clock; "
            f"at most {TOLERANCE_S} s are allowed"
        )
    return matches[0]


def check_headers(request: WebhookRequest) -> tuple[str, bytes]:
    """
    The time and the raw signature in the headers; raises `InvalidSignature` unless they could be
    those of a signed message.
    """
    proof = PROOF.fullmatch(one_header(request, SIGNATURE))
    timestamp = one_header(request, TIMESTAMP)
    if proof is None:
        raise InvalidSignature(f"{SIGNATURE} is not v0= and 64 lower-case hex digits")
    if not TIME.fullmatch(timestamp):
        raise InvalidSignature(f"{TIMESTAMP} is no time in seconds since 1970")
    return timestamp, bytes.fromhex(proof[1])


def validation(request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
    """
    The answer to a validation of our URL, with the secret that signed the request; None for any
    other message.

    Raises `InvalidSignature` for a validation that is not proved or holds no plain token.
    """
    # Most messages are none, and are not parsed for this.
    if VALIDATION.encode() not in request.body:
        return None
    secret = signing_secret(request, secrets, now)
    try:
        fields = request.body_as(read_json_object_with_long_ids)
    except MalformedPayload:
        return None
    if fields.get("event") != VALIDATION:
        return None
    plain_token = child(fields, "payload").get("plainToken")
    if not (isinstance(plain_token, str) and PLAIN_TOKEN.fullmatch(plain_token)):
        raise InvalidSignature("plainToken is no token of at most 256 characters")
    answer = {
        "plainToken": plain_token,
        "encryptedToken": hmac.digest(secret.encode(), plain_token.encode(), ALGORITHM).hex(),
    }
    return Reply(200, json.dumps(answer).encode(), JSON)


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """The same request, signed now with a secret."""
    timestamp = str(int(now.timestamp()))
    mac = hmac.digest(secret.encode(), _signed_text(timestamp, request.body), ALGORITHM)
    proof = {SIGNATURE: (f"v0={mac.hex()}",), TIMESTAMP: (timestamp,)}
    return replace(request, headers={**request.headers, **proof})


def _signed_text(timestamp: str, body: bytes) -> bytes:
    return b"v0:" + timestamp.encode() + b":" + body


def _epoch_s(timestamp: str) -> float:
    number = int(timestamp)
    if number >= FIRST_IN_MS:
        return number / 1000
    return number
