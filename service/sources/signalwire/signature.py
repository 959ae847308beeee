"""
SignalWire's signature: https://signalwire.com/docs/compatibility-api/guides/webhook-security, and
its package `signalwire-sdk`.

A form is signed as by Twilio, except that of a repeated name every value counts, in the order in
which they came: base64 of HMAC-SHA1. JSON is signed byte for byte behind the URL: lower-case hex of
HMAC-SHA1, and of HMAC-SHA256 in a header of its own. JSON may also be covered by its SHA-256 in the
query, as by Twilio. No time is signed. The query of a form may have been signed in another order
than it was requested in, as by Twilio.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from itertools import chain
from operator import itemgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import check_first_name, read_form
from service.sources.common.signatures import one_header
from service.sources.request import JSON, WebhookRequest
from service.sources.settings import Secrets
from service.sources.twilio.query_order import in_one_order
from service.sources.twilio.signature import (
    check_body_hash,
    is_signed,
    read_signature,
    reordered_texts,
    target,
    url_forms,
)

SIGNATURE: Final = "x-signalwire-signature"
SIGNATURE_SHA256: Final = "x-signalwire-sha256-signature"
# The name in older senders; it counts only where SignalWire's own name is absent.
OLDER_SIGNATURE: Final = "x-twilio-signature"
HEX: Final[Mapping[str, re.Pattern[str]]] = {
    "sha1": re.compile("[0-9a-f]{40}"),
    "sha256": re.compile("[0-9a-f]{64}"),
}


class _Claim(Struct, frozen=True):
    """A signature that came, and the texts of which one must have been signed."""

    signature: bytes
    algorithm: str
    texts: tuple[bytes, ...]


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Return if one of the signing keys made each signature that came; raises `InvalidSignature`.
    """
    try:
        claims = _claims(request)
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    if all(_is_proved(claim, secrets) for claim in claims):
        return
    if request.content_type == JSON or not _is_proved(_reordered(request, claims[0]), secrets):
        raise InvalidSignature(
            "no signing key gives this signature; "
            "compare PUBLIC_URL with the URL at SignalWire, and the project's key"
        )


def check_headers(request: WebhookRequest) -> None:
    """
    Raises `InvalidSignature` unless the headers alone could be those of a signed request.
    """
    if request.content_type != JSON:
        read_signature(request, _header_name(request))
    elif SIGNATURE_SHA256 in request.headers:
        _read_sha256(request)
    elif HEX["sha1"].fullmatch(one_header(request, _header_name(request))) is None:
        read_signature(request, _header_name(request))


def sign(request: WebhookRequest, key: str) -> WebhookRequest:
    """The same request, signed as SignalWire does."""
    headers = {
        name: values
        for name, values in request.headers.items()
        if name not in (SIGNATURE, SIGNATURE_SHA256, OLDER_SIGNATURE)
    }
    text = request.url.encode() + _signed_body(request)
    if request.content_type == JSON:
        headers[SIGNATURE] = (hmac.digest(key.encode(), text, "sha1").hex(),)
        headers[SIGNATURE_SHA256] = (hmac.digest(key.encode(), text, "sha256").hex(),)
    else:
        mac = hmac.digest(key.encode(), text, "sha1")
        headers[SIGNATURE] = (base64.b64encode(mac).decode(),)
    return replace(request, headers=headers)


def signed_text(request: WebhookRequest) -> bytes:
    """
    The signed text without scheme and host, for a form the same in every order of the query that
    `verify` accepts under one signature. Raises `MalformedPayload`.
    """
    if request.content_type == JSON:
        return target(request.url).encode() + request.body
    return in_one_order(target(request.url) + request.body_via(read_form, _form_text)).encode()


def _signed_body(request: WebhookRequest) -> bytes:
    """What is signed behind the URL."""
    if request.content_type == JSON:
        return request.body
    return request.body_via(read_form, _form_text).encode()


def _form_text(pairs: list[tuple[str, str]]) -> str:
    ordered_pairs = sorted(pairs, key=itemgetter(0))
    check_first_name(ordered_pairs)
    return "".join(chain.from_iterable(ordered_pairs))


def _is_proved(claim: _Claim, secrets: Secrets) -> bool:
    return is_signed(secrets.values, claim.texts, claim.signature, algorithm=claim.algorithm)


def _claims(request: WebhookRequest) -> tuple[_Claim, ...]:
    """All signatures that came; each of them must be right."""
    if request.content_type != JSON:
        return (_form_claim(request),)
    if SIGNATURE_SHA256 not in request.headers:
        return (_json_claim(request, _header_name(request)),)
    text = request.url.encode() + request.body
    sha256_claim = _Claim(_read_sha256(request), "sha256", (text,))
    other_names = [name for name in (SIGNATURE, OLDER_SIGNATURE) if name in request.headers]
    return (sha256_claim, *(_json_claim(request, name) for name in other_names))


def _form_claim(request: WebhookRequest) -> _Claim:
    body = _signed_body(request)
    name = _header_name(request)
    texts = tuple(url.encode() + body for url in url_forms(request.url))
    return _Claim(read_signature(request, name), "sha1", texts)


def _reordered(request: WebhookRequest, claim: _Claim) -> _Claim:
    """The claim of a form whose query was requested in another order than signed."""
    form_text = request.body_via(read_form, _form_text)
    return replace(claim, texts=tuple(reordered_texts(request.url, form_text)))


def _json_claim(request: WebhookRequest, name: str) -> _Claim:
    value = one_header(request, name)
    if HEX["sha1"].fullmatch(value) is not None:
        return _Claim(bytes.fromhex(value), "sha1", (request.url.encode() + request.body,))
    # In base64 it covers the URL only, so that the body must be covered by the URL.
    check_body_hash(request)
    signature = read_signature(request, name)
    return _Claim(signature, "sha1", tuple(url.encode() for url in url_forms(request.url)))


def _header_name(request: WebhookRequest) -> str:
    if SIGNATURE in request.headers:
        return SIGNATURE
    return OLDER_SIGNATURE


def _read_sha256(request: WebhookRequest) -> bytes:
    sha256_hex = one_header(request, SIGNATURE_SHA256)
    if HEX["sha256"].fullmatch(sha256_hex) is None:
        raise InvalidSignature(f"{SIGNATURE_SHA256} is not hex")
    return bytes.fromhex(sha256_hex)
