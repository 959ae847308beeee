"""
How Twilio signs: https://www.twilio.com/docs/usage/webhooks/webhooks-security and
/webhook-shared-keys.

HMAC over the URL that Twilio requested, then every form parameter as name and value, names in order
of code points, of a repeated name each different value once, in order. A JSON body is covered by
its SHA-256 in the query. No time is signed: only the dedupe stops a replay.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import read_form
from service.sources.common.json_body import read_json_object
from service.sources.common.signatures import is_hmac, one_header, read_base64
from service.sources.request import JSON, WebhookRequest
from service.sources.settings import Secrets

SIGNATURE: Final = "x-twilio-signature"
SETTINGS: Final = "x-twilio-webhooks-signature-settings"
BODY_HASH: Final = "bodySHA256"
LEGACY: Final = "HMAC_SHA1"
ALGORITHMS: Final[Mapping[str, str]] = {LEGACY: "sha1", "HMAC_SHA256": "sha256"}
DEFAULT_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class _Scheme:
    algorithm: str
    keys: tuple[str, ...]


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Return if one of the secrets signed the request, a form or JSON sent with POST; raises
    `InvalidSignature`.
    """
    given = read_base64(one_header(request, SIGNATURE))
    if given is None:
        raise InvalidSignature(f"{SIGNATURE} is not base64")
    scheme = _scheme(request, secrets)
    try:
        if request.content_type == JSON:
            check_body_hash(request)
        told = _form_text(request)
        texts = [f"{url}{told}".encode() for url in urls(request.url)]
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    matches = [
        is_hmac(key.encode(), text, given, algorithm=scheme.algorithm)
        for key in scheme.keys
        for text in texts
    ]
    if not any(matches):
        raise InvalidSignature(
            "no secret gives this signature; compare PUBLIC_URL with the URL at Twilio, and the auth token"
        )


def sign(request: WebhookRequest, secrets: Secrets) -> WebhookRequest:
    """Sign a request as Twilio does; raises ValueError without a secret."""
    if request.content_type == JSON and not body_hashes(request.query):
        mark = "&" if request.query else "?"
        request = replace(
            request,
            url=f"{request.url}{mark}{BODY_HASH}={hashlib.sha256(request.body).hexdigest()}",
        )
    headers = {
        name: values
        for name, values in request.headers.items()
        if name not in (SIGNATURE, SETTINGS)
    }
    if secrets.values:
        key, algorithm = secrets.values[0], LEGACY
    elif secrets.by_key_id:
        (key_id, key), algorithm = next(iter(secrets.by_key_id.items())), "HMAC_SHA256"
        headers[SETTINGS] = (f"key={key_id},algorithm={algorithm}",)
    else:
        raise ValueError("there is no secret to sign with: set TWILIO_AUTH_TOKEN")
    mac = hmac.new(
        key.encode(), signed_text(request.url, request).encode(), ALGORITHMS[algorithm]
    ).digest()
    return replace(request, headers={**headers, SIGNATURE: (base64.b64encode(mac).decode(),)})


def parameters(request: WebhookRequest) -> list[tuple[str, str]]:
    """
    The parameters of a request as name and value, those of a JSON body being its texts and numbers.

    Raises `MalformedPayload`.
    """
    if request.content_type == JSON:
        values = request.body_as(read_json_object).items()
        return [
            (name, str(value))
            for name, value in values
            if isinstance(value, str | int) and not isinstance(value, bool)
        ]
    return request.body_as(read_form)


def signed_text(url: str, request: WebhookRequest) -> str:
    """
    What Twilio signs when it requests that URL with the body of `request`; raises
    `MalformedPayload`.
    """
    return url + _form_text(request)


def target(url: str) -> str:
    """Path and query of a URL, as they came."""
    return url[_host_end(url, urlsplit(url)) :]


def urls(url: str) -> Iterator[str]:
    """
    The URL as it came, and with its port put in or taken out: senders are not consistent about it
    in what they sign.
    """
    parts = urlsplit(url)
    end = _host_end(url, parts)
    yield url
    if parts.port is not None:
        yield url[:end].removesuffix(f":{parts.port}") + url[end:]
    elif parts.scheme in DEFAULT_PORTS:
        yield f"{url[:end]}:{DEFAULT_PORTS[parts.scheme]}{url[end:]}"


def body_hashes(query: str) -> list[str]:
    """All that the query says the SHA-256 of the body is."""
    return [value for name, value in parse_qsl(query, keep_blank_values=True) if name == BODY_HASH]


def check_body_hash(request: WebhookRequest) -> None:
    """
    Raises `InvalidSignature` unless the query, which is signed, names the SHA-256 of the body once
    and rightly.
    """
    hashes = body_hashes(request.query)
    if len(hashes) != 1 or not hmac.compare_digest(
        hashlib.sha256(request.body).hexdigest().encode(), hashes[0].encode()
    ):
        raise InvalidSignature(f"a JSON body needs its SHA-256 in the query, once, as {BODY_HASH}")


def _form_text(request: WebhookRequest) -> str:
    pairs = [] if request.content_type == JSON else sorted(set(request.body_as(read_form)))
    return "".join(name + value for name, value in pairs)


def _host_end(url: str, parts: SplitResult) -> int:
    return url.index("://") + len("://") + len(parts.netloc)


def _scheme(request: WebhookRequest, secrets: Secrets) -> _Scheme:
    if SETTINGS not in request.headers:
        return _Scheme(ALGORITHMS[LEGACY], secrets.values)
    pairs = [part.strip().partition("=")[::2] for part in one_header(request, SETTINGS).split(",")]
    named = dict(pairs)
    if len(named) != len(pairs) or "key" not in named:
        raise InvalidSignature(f"{SETTINGS} names no key, or something twice")
    key = secrets.by_key_id.get(named["key"])
    algorithm = ALGORITHMS.get(named.get("algorithm", LEGACY))
    if key is None or algorithm is None:
        raise InvalidSignature(
            "signed with a shared key or an algorithm that is not known here; see TWILIO_SHARED_KEYS"
        )
    return _Scheme(algorithm, (key,))
