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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from service.errors import InvalidSignature
from service.sources.common import standard_webhooks as standard_signature
from service.sources.common.signatures import is_hmac, one_header, read_base64
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
VERSIONED_SIGNATURE: Final = standard_signature.SIGNATURE
SCHEME: Final = "hmac"
VERSION: Final = "1"
FIELDS: Final = 4
PER_SECOND: Final = 1000
MAX_TIMESTAMP_DIGITS: Final = 15
# Quo says that several may come one day. Each one costs a look at the whole body.
MOST_SIGNATURES: Final = 8


@dataclass(frozen=True, slots=True)
class _Signed:
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
    is_versioned, is_legacy = (
        bool(request.headers.get(name)) for name in (VERSIONED_SIGNATURE, LEGACY_SIGNATURE)
    )
    if is_versioned == is_legacy:
        raise InvalidSignature(
            f"either {VERSIONED_SIGNATURE} or {LEGACY_SIGNATURE} must be there, and not both"
        )
    if is_versioned:
        standard_signature.verify(request, _versioned(secrets), now)
    else:
        _verify_legacy(request, secrets, now)


def sign(
    request: WebhookRequest, secrets: Secrets, now: datetime, *, is_legacy: bool
) -> WebhookRequest:
    """
    The same request, signed as its generation is, or as the other one where only that has a secret.
    Raises ValueError without any.
    """
    keys, versioned = _legacy_keys(secrets), _versioned(secrets)
    if not keys or (versioned.values and not is_legacy):
        return standard_signature.sign(_without(request, LEGACY_SIGNATURE), versioned, now)
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
        return "must be the key (whsec_...) that Quo's API gave, or the signing secret (base64) that Quo's app shows, whole"
    return None


def _versioned(secrets: Secrets) -> Secrets:
    return Secrets(tuple(each for each in secrets.values if each.startswith(PREFIX)))


def _legacy_keys(secrets: Secrets) -> list[bytes]:
    keys = (read_secret(each) for each in secrets.values if not each.startswith(PREFIX))
    return [key for key in keys if key is not None]


def _verify_legacy(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    header = one_header(request, LEGACY_SIGNATURE)
    keys = _legacy_keys(secrets)
    if not keys:
        raise InvalidSignature("there is no legacy secret: base64 without whsec_")
    if header.count(",") >= MOST_SIGNATURES:
        raise InvalidSignature(f"{LEGACY_SIGNATURE} holds more than {MOST_SIGNATURES} signatures")
    matches = [
        (
            is_hmac(
                key,
                _signed_text(given.timestamp, request.body),
                given.signature,
                algorithm="sha256",
            ),
            given.timestamp,
        )
        for given in _read_signatures(header)
        for key in keys
    ]
    signed_at = [int(timestamp) for is_match, timestamp in matches if is_match]
    if not signed_at:
        raise InvalidSignature("no legacy secret gives one of these signatures")
    if all(
        abs(now.timestamp() * PER_SECOND - each) > TOLERANCE_S * PER_SECOND for each in signed_at
    ):
        raise InvalidSignature(
            f"the time in {LEGACY_SIGNATURE} is more than {TOLERANCE_S} s away from this machine's clock"
        )


def _read_signatures(header: str) -> Iterator[_Signed]:
    # A signature of another scheme or version proves nothing and takes nothing away from one that
    # is known.
    for part in header.split(","):
        fields = part.strip(" ").split(";")
        if len(fields) != FIELDS or fields[:2] != [SCHEME, VERSION]:
            continue
        timestamp, signature = fields[2], read_base64(fields[3])
        if (
            signature is not None
            and timestamp.isascii()
            and timestamp.isdigit()
            and len(timestamp) <= MAX_TIMESTAMP_DIGITS
        ):
            yield _Signed(timestamp, signature)


def _signed_text(timestamp: str, body: bytes) -> bytes:
    return f"{timestamp}.".encode() + body


def _without(request: WebhookRequest, header: str) -> WebhookRequest:
    return replace(
        request,
        headers={name: values for name, values in request.headers.items() if name != header},
    )
