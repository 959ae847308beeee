"""
How Zoom signs its webhooks, and how it asks whether an address is ours:
https://developers.zoom.us/docs/api/webhooks/.

The app's secret token signs `v0:TIMESTAMP:BODY` with HMAC-SHA256. The same token answers the
question, over a text that Zoom chooses.
"""

import hmac
import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.json_body import read_json_object_with_long_ids
from service.sources.common.signatures import is_hmac, one_header
from service.sources.request import JSON, Reply, WebhookRequest
from service.sources.settings import Secrets

SIGNATURE: Final = "x-zm-signature"
TIMESTAMP: Final = "x-zm-request-timestamp"
ALGORITHM: Final = "sha256"
PROOF: Final = re.compile(r"v0=([0-9a-f]{64})")
# In seconds; milliseconds, should Zoom ever send them, are a thousand times as many.
TIME: Final = re.compile(r"[0-9]{1,13}")
FIRST_IN_MS: Final = 10**11
TOLERANCE_S: Final = 300
VALIDATION: Final = "endpoint.url_validation"
# Without a colon, so that what we sign here can never be the text of a message, `v0:...`.
PLAIN_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{1,256}")


def signer(request: WebhookRequest, secrets: Secrets, now: datetime) -> str:
    """
    The secret that signed a message within the last, or next, 300 seconds. Raises
    `InvalidSignature`.
    """
    found, timestamp = (
        PROOF.fullmatch(one_header(request, SIGNATURE)),
        one_header(request, TIMESTAMP),
    )
    if found is None:
        raise InvalidSignature(f"{SIGNATURE} is not v0= and 64 lower-case hex digits")
    if not TIME.fullmatch(timestamp):
        raise InvalidSignature(f"{TIMESTAMP} is no time in seconds since 1970")
    signature, message = bytes.fromhex(found[1]), _message(timestamp, request.body)
    matches = [
        secret
        for secret in secrets.values
        if is_hmac(secret.encode(), message, signature, algorithm=ALGORITHM)
    ]
    if not matches:
        raise InvalidSignature(
            "no secret token gives this signature; each app at Zoom has one of its own"
        )
    age_s = now.timestamp() - (
        int(timestamp) / 1000 if int(timestamp) >= FIRST_IN_MS else int(timestamp)
    )
    if abs(age_s) > TOLERANCE_S:
        raise InvalidSignature(
            f"{TIMESTAMP} is {round(age_s)} s away from this machine's clock; at most {TOLERANCE_S} s are allowed"
        )
    return matches[0]


def validation(request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
    """
    The answer to the question whether this address is ours, with the secret that signed it; None
    for any other message.

    Raises `InvalidSignature` where the question is not proved or asks for more than it may.
    """
    if VALIDATION.encode() not in request.body:
        return None
    secret = signer(request, secrets, now)
    try:
        fields = request.body_as(read_json_object_with_long_ids)
    except MalformedPayload:
        return None
    if fields.get("event") != VALIDATION:
        return None
    payload = fields.get("payload")
    plain = payload.get("plainToken") if isinstance(payload, dict) else None
    if not (isinstance(plain, str) and PLAIN_TOKEN.fullmatch(plain)):
        raise InvalidSignature("plainToken is no token of at most 256 characters")
    answer = {
        "plainToken": plain,
        "encryptedToken": hmac.digest(secret.encode(), plain.encode(), ALGORITHM).hex(),
    }
    return Reply(200, json.dumps(answer).encode(), JSON)


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """The same request, signed now with a secret."""
    timestamp = str(int(now.timestamp()))
    proof = f"v0={hmac.digest(secret.encode(), _message(timestamp, request.body), ALGORITHM).hex()}"
    return replace(
        request, headers={**request.headers, SIGNATURE: (proof,), TIMESTAMP: (timestamp,)}
    )


def _message(timestamp: str, body: bytes) -> bytes:
    return b"v0:" + timestamp.encode() + b":" + body
