"""
The contract of `zoom`: signed by Zoom's formula with another library's HMAC. Vectors of Zoom's own
SDK are in `test_zoom.py`.
"""

from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from service.sources import WebhookRequest
from service.sources.zoom import vocabulary
from tests.sources.contract import SourceContract, with_headers


def hex_mac(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in lower-case hex."""
    mac = HMAC(secret.encode("utf-8"), SHA256())
    mac.update(message)
    return mac.finalize().hex()


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as Zoom does: the version, the time in seconds and the body, with colons between."""
    seconds = f"{now.timestamp():.0f}"
    message = b":".join((b"v0", seconds.encode("ascii"), request.body))
    return with_headers(
        request,
        {"x-zm-request-timestamp": seconds, "x-zm-signature": "v0=" + hex_mac(secret, message)},
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("fake-zoom-secret-token-000", "fake-zoom-secret-token-111"),
    proofs=("x-zm-signature", "x-zm-request-timestamp"),
    smallest="caller-ended__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    words={
        "event": {
            *vocabulary.LIVE,
            *vocabulary.RECORDS,
            *vocabulary.VOICEMAILS,
            vocabulary.RECORDING,
            *vocabulary.IGNORED,
            *vocabulary.BEGINNINGS,
            *vocabulary.STEPS,
            *vocabulary.SIDE_STEPS,
        },
        "result": vocabulary.RESULTS,
        "result_reason": vocabulary.REASONS,
        "direction": vocabulary.DIRECTIONS,
        "connect_type": vocabulary.CONNECT_TYPES,
        "extension_type": vocabulary.LIVE_EXTENSIONS,
        "callee_ext_type": vocabulary.RECORDED_EXTENSIONS,
    },
    unknown_values=frozenset(
        {
            "phone.callee_teleported",
            "robotButler",
            "Teleported",
            "Beamed up",
            "teleported",
            "levitate",
            "ghost",
            "whim",
            "sideways",
            "telepathic",
            "upwards",
            "Message",
            "a record of another call beside those of the first",
        }
    ),
    retry_headers=("x-zm-trackingid",),
)
