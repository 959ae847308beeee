"""
How Quo, formerly OpenPhone, signs: each of its two generations of webhooks in its own way, with
secrets of its own.

Versioned: by the Standard Webhooks specification, with a secret that starts with `whsec_`
(https://www.quo.com/docs/2026-03-30/webhooks-signature-validation). Legacy: HMAC-SHA256 over a time
and the body, with a secret in plain base64
(https://support.quo.com/core-concepts/integrations/webhooks). The secrets of both are in one list,
and how one is written says which it is of, so that no secret ever proves a message of the other
generation.
"""

import base64
import hmac
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources.common import standard_webhooks
from service.sources.common.signatures import (
    check_count,
    is_hmac_of_any,
    one_header,
    read_base64,
)
from service.sources.common.standard_webhooks import (
    LEAST_KEY_BYTES,
    PREFIX,
    TOLERANCE_S,
    read_secret,
)
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

# The change of the vendor's name changed no header.
LEGACY_SIGNATURE: Final = "openphone-signature"
VERSIONED_SIGNATURE: Final = standard_webhooks.SIGNATURE
SCHEME: Final = "hmac"
VERSION: Final = "1"
FIELDS: Final = 4
PER_SECOND: Final = 1000
MAX_TIMESTAMP_DIGITS: Final = 15
# Of one message: each costs an HMAC over the whole body for each secret.
MOST_TIMES: Final = 2


class _Signed(Struct, frozen=True):
    """
    One signature of a legacy header: the signed time as it is written, in milliseconds, and the raw
    signature.
    """

    timestamp: str
    signature: bytes


def verify(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    """
    Return if a secret of the message's own generation signed it within the last, or next, 300
    seconds.

    Raises `InvalidSignature`, too, if the headers of both generations came, or of neither.
    """
    if _is_versioned(request):
        standard_webhooks.verify(request, _versioned_secrets(secrets), now)
    else:
        _verify_legacy(request, secrets, now)


def check_headers(request: WebhookRequest) -> None:
    """
    Raises `InvalidSignature` unless the headers alone could be those of a signed message of one
    generation.
    """
    if _is_versioned(request):
        request.headers_as(standard_webhooks.check_headers)
    else:
        _read_signatures(request)


def sign(
    request: WebhookRequest, secrets: Secrets, now: datetime, *, is_legacy: bool
) -> WebhookRequest:
    """
    The same request, signed as its generation is, or as the other one where only that has a secret.
    Raises ValueError without any.
    """
    keys = _legacy_keys(secrets)
    versioned = _versioned_secrets(secrets)
    if not keys or (versioned.values and not is_legacy):
        return standard_webhooks.sign(_without(request, LEGACY_SIGNATURE), versioned, now)
    timestamp = str(int(now.timestamp() * PER_SECOND))
    signature = base64.b64encode(
        hmac.digest(keys[0], _signed_text(timestamp, request.body), "sha256")
    ).decode()
    unsigned = _without(request, VERSIONED_SIGNATURE)
    return replace(
        unsigned,
        headers={
            **unsigned.headers,
            LEGACY_SIGNATURE: (f"{SCHEME};{VERSION};{timestamp};{signature}",),
        },
    )


def check_secret(text: str) -> str | None:
    """What is wrong with a secret that is to be set, or None."""
    if len(read_secret(text) or b"") < LEAST_KEY_BYTES:
        return (
            "must be the key (whsec_...) that Quo's API gave, "
            "or the signing secret (base64) that Quo's app shows, whole"
        )
    return None


def _is_versioned(request: WebhookRequest) -> bool:
    is_versioned = bool(request.headers.get(VERSIONED_SIGNATURE))
    is_legacy = bool(request.headers.get(LEGACY_SIGNATURE))
    if is_versioned == is_legacy:
        raise InvalidSignature(
            f"either {VERSIONED_SIGNATURE} or {LEGACY_SIGNATURE} must be there, and not both"
        )
    return is_versioned


def _versioned_secrets(secrets: Secrets) -> Secrets:
    return Secrets(tuple(secret for secret in secrets.values if secret.startswith(PREFIX)))


def _legacy_keys(secrets: Secrets) -> list[bytes]:
    legacy_secrets = [secret for secret in secrets.values if not secret.startswith(PREFIX)]
    keys = map(read_secret, legacy_secrets)
    return [key for key in keys if key is not None]


def _verify_legacy(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    keys = _legacy_keys(secrets)
    if not keys:
        raise InvalidSignature("there is no legacy secret: base64 without whsec_")
    times = [
        int(timestamp)
        for timestamp, signatures in _read_signatures(request).items()
        if is_hmac_of_any(
            keys, _signed_text(timestamp, request.body), signatures, algorithm="sha256"
        )
    ]
    if not times:
        raise InvalidSignature("no legacy secret gives one of these signatures")
    now_ms = now.timestamp() * PER_SECOND
    if min(abs(now_ms - time_ms) for time_ms in times) > TOLERANCE_S * PER_SECOND:
        raise InvalidSignature(
            f"the time in {LEGACY_SIGNATURE} is more than {TOLERANCE_S} s away "
            "from this machine's clock"
        )


def _read_signatures(request: WebhookRequest) -> dict[str, list[bytes]]:
    """
    The signatures in a legacy header by their times; raises `InvalidSignature` if there is none.
    """
    # Quo documents that several may come one day.
    parts = one_header(request, LEGACY_SIGNATURE).split(",")
    check_count(parts, LEGACY_SIGNATURE)
    by_time: dict[str, list[bytes]] = {}
    for signed in map(_read_signature, parts):
        # A signature of another scheme or version proves nothing, and does not spoil one that is
        # read.
        if signed is not None:
            by_time.setdefault(signed.timestamp, []).append(signed.signature)
    if not by_time:
        raise InvalidSignature("no legacy secret gives one of these signatures")
    if len(by_time) > MOST_TIMES:
        raise InvalidSignature(f"{LEGACY_SIGNATURE} holds more than {MOST_TIMES} times")
    return by_time


def _read_signature(part: str) -> _Signed | None:
    fields = part.strip(" ").split(";")
    if len(fields) != FIELDS or fields[:2] != [SCHEME, VERSION]:
        return None
    timestamp = fields[2]
    signature = read_base64(fields[3])
    if signature is None or not _is_timestamp(timestamp):
        return None
    return _Signed(timestamp, signature)


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_TIMESTAMP_DIGITS


def _signed_text(timestamp: str, body: bytes) -> bytes:
    return f"{timestamp}.".encode() + body


def _without(request: WebhookRequest, header: str) -> WebhookRequest:
    return replace(
        request,
        headers={name: values for name, values in request.headers.items() if name != header},
    )
