"""
Plivo's signature, version 3: https://www.plivo.com/docs/voice/concepts/signature-validation.

HMAC-SHA256 over the URL without its query, the decoded query and the decoded form, each sorted by
name, and a nonce. No time is signed: only the dedupe stops a replay. Version 2 covers neither query
nor form and is not accepted.
"""

import base64
import hmac
import re
from functools import lru_cache
from itertools import chain
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import (
    check_first_name,
    read_form,
    read_query_strictly,
)
from service.sources.common.signatures import (
    check_count,
    digest,
    is_hmac_of_any,
    one_header,
    read_base64,
)
from service.sources.request import WebhookRequest
from service.sources.settings import Secrets

# Made with the token of the account or subaccount that the call is in, and with that of the main
# account.
SIGNATURE: Final = "x-plivo-signature-v3"
MAIN_SIGNATURE: Final = "x-plivo-signature-ma-v3"
NONCE: Final = "x-plivo-signature-v3-nonce"
# The nonce follows the form behind a dot. A nonce that may hold dots itself could be made of the
# end of a form.
NONCE_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Return if one of the secrets signed the request, a form sent with POST; raises
    `InvalidSignature`.
    """
    nonce, signatures = request.headers_as(check_headers)
    try:
        text = f"{signed_text(request)}.{nonce}".encode()
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    keys = [key.encode() for key in secrets.values]
    if not is_hmac_of_any(keys, text, signatures, algorithm="sha256"):
        raise InvalidSignature(
            "no secret gives this signature; "
            "compare PUBLIC_URL with the URL at Plivo, and the auth token"
        )


def check_headers(request: WebhookRequest) -> tuple[str, list[bytes]]:
    """
    The nonce and the raw signatures in the headers; raises `InvalidSignature` unless they could be
    those of a signed request.
    """
    nonce = one_header(request, NONCE)
    if not NONCE_FORM.fullmatch(nonce):
        raise InvalidSignature(f"{NONCE} is no word of letters and digits")
    signatures = _signatures(request)
    if not signatures:
        raise InvalidSignature(f"{SIGNATURE} is not base64")
    return nonce, signatures


def sign(request: WebhookRequest, token: str) -> WebhookRequest:
    """The same request, signed as Plivo does, with a nonce that follows from its content."""
    nonce = digest(request.url, request.body)
    mac = hmac.digest(token.encode(), f"{signed_text(request)}.{nonce}".encode(), "sha256")
    headers = {
        name: values
        for name, values in request.headers.items()
        if name not in (SIGNATURE, MAIN_SIGNATURE, NONCE)
    }
    return replace(
        request, headers={**headers, SIGNATURE: (base64.b64encode(mac).decode(),), NONCE: (nonce,)}
    )


def signed_text(request: WebhookRequest) -> str:
    """
    What Plivo signs of a POST, without the nonce; raises `MalformedPayload` or ValueError if it
    cannot be read.
    """
    return f"{_address(request.url)[0]}{signed_text_without_host(request)}"


def signed_text_without_host(request: WebhookRequest) -> str:
    """The same without scheme and host; raises as `signed_text` does."""
    _, path, query_text = _address(request.url)
    form_text = request.body_via(read_form, _form_text)
    texts = [text for text in (query_text, form_text) if text is not None]
    if not texts:
        return path
    return f"{path}?{'.'.join(texts)}"


def _signatures(request: WebhookRequest) -> list[bytes]:
    names = [name for name in (SIGNATURE, MAIN_SIGNATURE) if name in request.headers]
    values = ",".join(one_header(request, name) for name in names or [SIGNATURE]).split(",")
    check_count(values, SIGNATURE)
    return [raw for raw in map(read_base64, values) if raw is not None]


# Most senders use one address for all calls. Bounded, since others name the call in it.
@lru_cache(maxsize=64)
def _address(url: str) -> tuple[str, str, str | None]:
    """
    Scheme and host of a URL, its path, and the sorted parameters of its query, None without any;
    raises `MalformedPayload` or ValueError.
    """
    parts = urlsplit(url)
    query = url.partition("#")[0].partition("?")[2]
    return f"{parts.scheme}://{parts.netloc}", parts.path, _query_text(query)


def _query_text(query: str) -> str | None:
    pairs = read_query_strictly(query)
    return "&".join(f"{name}={value}" for name, value in sorted(pairs)) or None


def _form_text(pairs: list[tuple[str, str]]) -> str | None:
    """The sorted fields of a form, None without any."""
    if not pairs:
        return None
    ordered_pairs = sorted(pairs)
    check_first_name(ordered_pairs)
    return "".join(chain.from_iterable(ordered_pairs))
