"""
How SignalWire signs: https://signalwire.com/docs/compatibility-api/guides/webhook-security, and its
package `signalwire-sdk`.

A form is signed as by Twilio, except that of a repeated name every value counts, in the order in
which they came: base64 of HMAC-SHA1. JSON is signed byte for byte behind the URL: lower-case hex of
HMAC-SHA1, and of HMAC-SHA256 in a header of its own. JSON may also be covered by its SHA-256 in the
query, as by Twilio. No time is signed.
"""

import base64
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import read_form
from service.sources.common.signatures import is_hmac, one_header, read_base64
from service.sources.request import JSON, WebhookRequest
from service.sources.settings import Secrets
from service.sources.twilio.signature import check_body_hash, target, urls

SIGNATURE: Final = "x-signalwire-signature"
SIGNATURE_SHA256: Final = "x-signalwire-sha256-signature"
# What older senders call the same; it counts only where SignalWire's own name is absent.
OLDER_SIGNATURE: Final = "x-twilio-signature"
HEX: Final[Mapping[str, re.Pattern[str]]] = {
    "sha1": re.compile("[0-9a-f]{40}"),
    "sha256": re.compile("[0-9a-f]{64}"),
}


@dataclass(frozen=True, slots=True)
class _Claim:
    """A signature that came, and the texts of which one must have been signed."""

    given: bytes
    algorithm: str
    texts: tuple[bytes, ...]


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Return if one of the signing keys made each signature that came; raises `InvalidSignature`.
    """
    try:
        claims = _json_claims(request) if request.content_type == JSON else (_form_claim(request),)
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    if not all(_is_proved(claim, secrets) for claim in claims):
        raise InvalidSignature(
            "no signing key gives this signature; compare PUBLIC_URL with the URL at SignalWire, and the project's key"
        )


def sign(request: WebhookRequest, key: str) -> WebhookRequest:
    """Sign a request as SignalWire does."""
    headers = {
        name: values
        for name, values in request.headers.items()
        if name not in (SIGNATURE, SIGNATURE_SHA256, OLDER_SIGNATURE)
    }
    if request.content_type == JSON:
        text = _raw_text(request.url, request)
        proofs = {
            name: hmac.new(key.encode(), text, kind).hexdigest()
            for name, kind in ((SIGNATURE, "sha1"), (SIGNATURE_SHA256, "sha256"))
        }
    else:
        proofs = {
            SIGNATURE: base64.b64encode(
                hmac.digest(key.encode(), _form_text(request.url, request), "sha1")
            ).decode()
        }
    return replace(
        request, headers={**headers, **{name: (value,) for name, value in proofs.items()}}
    )


def signed_text(request: WebhookRequest) -> bytes:
    """What a signature covers of a request, without scheme and host. Raises `MalformedPayload`."""
    write: Callable[[str, WebhookRequest], bytes] = (
        _raw_text if request.content_type == JSON else _form_text
    )
    return write(target(request.url), request)


def _form_claim(request: WebhookRequest) -> _Claim:
    told = "".join(_parameters(request))
    return _Claim(
        _base64(*_header(request)),
        "sha1",
        tuple(f"{url}{told}".encode() for url in urls(request.url)),
    )


def _is_proved(claim: _Claim, secrets: Secrets) -> bool:
    matches = [
        is_hmac(key.encode(), text, claim.given, algorithm=claim.algorithm)
        for key in secrets.values
        for text in claim.texts
    ]
    return any(matches)


def _json_claims(request: WebhookRequest) -> tuple[_Claim, ...]:
    """All signatures that came; each of them must be right."""
    raw = _raw_text(request.url, request)
    if SIGNATURE_SHA256 not in request.headers:
        return (_json_claim(request, raw, *_header(request)),)
    name, value = SIGNATURE_SHA256, one_header(request, SIGNATURE_SHA256)
    if HEX["sha256"].fullmatch(value) is None:
        raise InvalidSignature(f"{name} is not hex")
    stronger = _Claim(bytes.fromhex(value), "sha256", (raw,))
    beside = [each for each in (SIGNATURE, OLDER_SIGNATURE) if each in request.headers]
    return (
        stronger,
        *(_json_claim(request, raw, each, one_header(request, each)) for each in beside),
    )


def _json_claim(request: WebhookRequest, raw: bytes, name: str, value: str) -> _Claim:
    if HEX["sha1"].fullmatch(value) is not None:
        return _Claim(bytes.fromhex(value), "sha1", (raw,))
    # In base64 it covers the URL only, so that the body must be covered by the URL.
    check_body_hash(request)
    return _Claim(_base64(name, value), "sha1", tuple(url.encode() for url in urls(request.url)))


def _header(request: WebhookRequest) -> tuple[str, str]:
    name = SIGNATURE if SIGNATURE in request.headers else OLDER_SIGNATURE
    return name, one_header(request, name)


def _base64(name: str, value: str) -> bytes:
    given = read_base64(value)
    if given is None:
        raise InvalidSignature(f"{name} is not base64")
    return given


def _form_text(url: str, request: WebhookRequest) -> bytes:
    return "".join((url, *_parameters(request))).encode()


def _parameters(request: WebhookRequest) -> Iterator[str]:
    for name, value in sorted(request.body_as(read_form), key=lambda pair: pair[0]):
        yield name + value


def _raw_text(url: str, request: WebhookRequest) -> bytes:
    return url.encode() + request.body
