"""
How Plivo signs, version 3: https://www.plivo.com/docs/voice/concepts/signature-validation.

HMAC-SHA256 over the URL without its query, the decoded query and the decoded form, each sorted by
name, and a nonce. No time is signed: only the dedupe stops a replay. Version 2 covers neither query
nor form and is not accepted.
"""

import base64
import hmac
import re
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import read_form
from service.sources.common.signatures import digest, is_hmac, one_header, read_base64
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
    nonce = one_header(request, NONCE)
    if not NONCE_FORM.fullmatch(nonce):
        raise InvalidSignature(f"{NONCE} is no word of letters and digits")
    headers = [name for name in (SIGNATURE, MAIN_SIGNATURE) if name in request.headers] or [
        SIGNATURE
    ]
    given = [
        raw
        for name in headers
        for raw in map(read_base64, one_header(request, name).split(","))
        if raw is not None
    ]
    try:
        text = f"{signed_text(request)}.{nonce}".encode()
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    matches = [
        is_hmac(key.encode(), text, signature, algorithm="sha256")
        for key in secrets.values
        for signature in given
    ]
    if not any(matches):
        raise InvalidSignature(
            "no secret gives this signature; compare PUBLIC_URL with the URL at Plivo, and the auth token"
        )


def sign(request: WebhookRequest, token: str) -> WebhookRequest:
    """Sign a request as Plivo does, with a nonce that follows from its content."""
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


def signed_text(request: WebhookRequest, *, with_host: bool = True) -> str:
    """
    What Plivo signs of a POST, without the nonce; raises `MalformedPayload` or ValueError if it
    cannot be read.
    """
    parts = urlsplit(request.url)
    address = f"{parts.scheme}://{parts.netloc}{parts.path}" if with_host else parts.path
    form = request.body_as(read_form)
    query = "&".join(f"{name}={value}" for name, value in sorted(read_query(parts.query)))
    mark = "?" if query or form else ""
    return (
        address
        + mark
        + query
        + ("." if query and form else "")
        + "".join(name + value for name, value in sorted(form))
    )


def read_query(query: str) -> list[tuple[str, str]]:
    """The parameters of a query, decoded; raises ValueError if they are not UTF-8."""
    return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=1000)
