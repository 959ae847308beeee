"""
How JustCall signs: https://developer.justcall.io/docs/dynamic-webhook-signatures.

HMAC-SHA256 with the API secret over that secret, the URL, the type of the event and the time. The
rest of the body is not signed: who has caught one message could send it again with other data, to
the same address, of the same type and for as long as its time is accepted.
"""

import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.fields import iso_moment
from service.sources.common.json_body import JsonValue, check_unproved, read_json_object
from service.sources.common.signatures import is_hmac, one_header
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

SIGNATURE: Final = "x-justcall-signature"
VERSION: Final = "x-justcall-signature-version"
TIME: Final = "x-justcall-request-timestamp"
ONLY_VERSION: Final = "v1"
# A message comes up to five times, 30 to 90 seconds apart, and its time is that of the event: the
# last try is some six minutes behind it.
TOLERANCE_S: Final = 600
HEX: Final = re.compile("[0-9a-f]{64}")
NUMBER: Final = re.compile("[0-9]{1,14}")
# Seconds since 1970 have ten digits, milliseconds thirteen.
MOST_SECONDS: Final = 10**11
# What JavaScript's encodeURIComponent leaves as it is and `quote` does not.
UNQUOTED: Final = "!'()*~"


def verify(request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
    """
    Return if one of the secrets signed URL, type and time, and the time is near; raises
    `InvalidSignature`.
    """
    time, signature = request.headers_as(check_headers)
    signed_at = read_time(time)
    if signed_at is None or abs((now - signed_at).total_seconds()) > TOLERANCE_S:
        raise InvalidSignature(f"{TIME} is more than {TOLERANCE_S} s away, or is no time")
    matches = [
        is_hmac(key, text, signature, algorithm="sha256")
        for key, text in _signed_texts(request, secrets, time)
    ]
    if not any(matches):
        raise InvalidSignature(
            "no API secret gives this signature; "
            "compare PUBLIC_URL with the URL at JustCall, and the secret"
        )


def check_headers(request: WebhookRequest) -> tuple[str, bytes]:
    """
    The time and the raw signature in the headers; raises `InvalidSignature` unless they could be
    those of a signed message.
    """
    signature = one_header(request, SIGNATURE)
    version = one_header(request, VERSION)
    time = one_header(request, TIME)
    if version != ONLY_VERSION:
        raise InvalidSignature(f"{VERSION} is not {ONLY_VERSION}")
    if HEX.fullmatch(signature) is None:
        raise InvalidSignature(f"{SIGNATURE} is not the hex of a SHA-256")
    return time, bytes.fromhex(signature)


def sign(request: WebhookRequest, key: str, now: datetime) -> WebhookRequest:
    """Sign a request as JustCall does, which also writes the URL into the body."""
    fields: Mapping[str, JsonValue] = request.body_as(read_json_object)
    time = f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    text = _signed_text(key, request.url, str(fields.get("type", "")), time)
    proofs = {
        SIGNATURE: hmac.new(key.encode(), text, "sha256").hexdigest(),
        VERSION: ONLY_VERSION,
        TIME: time,
    }
    return replace(
        request,
        headers={**request.headers, **{name: (value,) for name, value in proofs.items()}},
        body=json.dumps(
            {**fields, "webhook_url": request.url}, ensure_ascii=False, separators=(",", ":")
        ).encode(),
    )


def read_time(text: str | None) -> datetime | None:
    """
    The time of an event (UTC), from `YYYY-MM-DD HH:MM:SS` or a number of seconds or milliseconds;
    None if it is none.
    """
    if text is None or NUMBER.fullmatch(text) is None:
        return iso_moment(text)
    number = int(text)
    if number < MOST_SECONDS:
        return datetime.fromtimestamp(number, UTC)
    return datetime.fromtimestamp(number / 1000, UTC)


def _signed_texts(
    request: WebhookRequest, secrets: Secrets, time: str
) -> list[tuple[bytes, bytes]]:
    """Each secret as a key, and what JustCall would have signed with it."""
    try:
        event_name = _signed_type(request)
        return [
            (key.encode(), _signed_text(key, request.url, event_name, time))
            for key in secrets.values
        ]
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err


def _signed_type(request: WebhookRequest) -> str:
    # What is signed is the URL that is set at JustCall. It must be the one at which the message
    # came in: that the body repeats it proves nothing by itself.
    check_unproved(request.body)
    fields = request.body_as(read_json_object)
    url = fields.get("webhook_url")
    event_name = fields.get("type")
    if not isinstance(url, str) or not hmac.compare_digest(url.encode(), request.url.encode()):
        raise InvalidSignature(
            "webhook_url is not the address at which the message came in; "
            "compare PUBLIC_URL with the URL at JustCall"
        )
    if not isinstance(event_name, str) or not event_name:
        raise InvalidSignature("type is missing")
    return event_name


def _signed_text(key: str, url: str, event_name: str, time: str) -> bytes:
    return "|".join((key, _quoted(url), event_name, time)).encode()


# One address serves all calls. Bounded, since anybody may send to others.
@lru_cache(maxsize=64)
def _quoted(url: str) -> str:
    return quote(url, safe=UNQUOTED)
