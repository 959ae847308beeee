"""
Requests of each source, signed by the vendor's own library where there is one for Python: Twilio's
SDK, the Standard Webhooks library, PyJWT for Dialpad, the documented formula for Zoom.
"""

import json
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

from tests.faults.calls import Json, SimulatedCall, encode_form

PUBLIC_URL: Final = "https://hooks.example.test"
TWILIO_TOKEN: Final = "FAKE0000000000000000000000000000"
STANDARD_SECRET: Final = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
DIALPAD_SECRET: Final = "fake-dialpad-webhook-secret-0000"
ZOOM_SECRET: Final = "fake-zoom-secret-token-000"
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What is sent."""

    path: str
    headers: dict[str, str]
    body: bytes


@lru_cache
def _twilio_validator() -> RequestValidator:
    return RequestValidator(TWILIO_TOKEN)


@lru_cache
def _standard_signer() -> Webhook:
    return Webhook(STANDARD_SECRET)


def sign(call: SimulatedCall, position: int, payload: Json, *, now: float) -> SignedRequest:
    """One message of a call, signed for one attempt at `now` (seconds since 1970)."""
    match call.kind.source:
        case "twilio":
            return _twilio(call, payload)
        case "standard":
            return _standard(f"msg_{call.number}_{position}", payload, now)
        case "dialpad":
            return _dialpad(payload)
        case _:
            return _zoom(payload, now)


def _twilio(call: SimulatedCall, payload: Json) -> SignedRequest:
    path = f"/webhooks/twilio?buildr_call_id={call.buildr_call_id}"
    form = {name: str(value) for name, value in payload.items()}
    signature = _twilio_validator().compute_signature(PUBLIC_URL + path, form)
    return SignedRequest(
        path, {"content-type": FORM, "x-twilio-signature": signature}, encode_form(payload)
    )


def _standard(message_id: str, payload: Json, now: float) -> SignedRequest:
    text = json.dumps(payload)
    headers = {
        "content-type": JSON,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": _standard_signer().sign(
            message_id, datetime.fromtimestamp(int(now), UTC), text
        ),
    }
    return SignedRequest("/webhooks/standard", headers, text.encode())


def _dialpad(payload: Json) -> SignedRequest:
    with warnings.catch_warnings():
        # Dialpad takes secrets that are shorter than the algorithm would have them.
        warnings.simplefilter("ignore")
        token = jwt.encode(dict(payload), DIALPAD_SECRET, "HS256")
    return SignedRequest("/webhooks/dialpad", {"content-type": "application/jwt"}, token.encode())


def _zoom(payload: Json, now: float) -> SignedRequest:
    body = json.dumps(payload).encode()
    seconds = str(int(now))
    mac = HMAC(ZOOM_SECRET.encode(), SHA256())
    mac.update(b":".join((b"v0", seconds.encode(), body)))
    headers = {
        "content-type": JSON,
        "x-zm-request-timestamp": seconds,
        "x-zm-signature": "v0=" + mac.finalize().hex(),
    }
    return SignedRequest("/webhooks/zoom", headers, body)
