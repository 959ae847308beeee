"""
Twilio's signature: https://www.twilio.com/docs/usage/webhooks/webhooks-security and
/webhook-shared-keys.

HMAC over the URL that Twilio requested, then every form parameter as name and value, names in order
of code points, of a repeated name each different value once, in order. A JSON body is covered by
its SHA-256 in the query. No time is signed: only the dedupe stops a replay. The query may have been
signed in another order than it was requested in: see `service.sources.twilio.query_order`.
"""

import base64
import hashlib
import hmac
import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload
from service.sources.common.forms import check_first_name, query_pairs, read_form
from service.sources.common.signatures import is_hmac, one_header, read_base64
from service.sources.request import JSON, WebhookRequest
from service.sources.settings import Secrets
from service.sources.twilio.query_order import in_one_order, other_orders

SIGNATURE: Final = "x-twilio-signature"
SETTINGS: Final = "x-twilio-webhooks-signature-settings"
BODY_HASH: Final = "bodySHA256"
HMAC_SHA1: Final = "HMAC_SHA1"
HMAC_SHA256: Final = "HMAC_SHA256"
ALGORITHMS: Final[Mapping[str, str]] = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}
# HMACs of one request, over all secrets, forms of the URL and orders of its query: those of eight
# secrets.
MOST_TRIES: Final = 400
# Bytes of a signature, by SHA-1 and by SHA-256.
SIGNATURE_BYTES: Final = frozenset({20, 32})
DEFAULT_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}


class _Scheme(Struct, frozen=True):
    algorithm: str
    keys: tuple[str, ...]


def verify(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Return if one of the secrets signed the request, a form or JSON sent with POST; raises
    `InvalidSignature`.
    """
    signature = read_signature(request, SIGNATURE)
    scheme = _scheme(request, secrets)
    try:
        if request.content_type == JSON:
            check_body_hash(request)
        parameter_text = _parameter_text(request)
        texts = [f"{url}{parameter_text}".encode() for url in url_forms(request.url)]
    except (MalformedPayload, ValueError) as err:
        raise InvalidSignature("what should be signed cannot be read") from err
    if is_signed(scheme.keys, texts, signature, algorithm=scheme.algorithm):
        return
    other_texts = reordered_texts(request.url, parameter_text)
    if not is_signed(scheme.keys, other_texts, signature, algorithm=scheme.algorithm):
        raise InvalidSignature(
            "no secret gives this signature; "
            "compare PUBLIC_URL with the URL at Twilio, and the auth token"
        )


def check_headers(request: WebhookRequest, secrets: Secrets) -> None:
    """
    Raises `InvalidSignature` unless the headers alone could be those of a signed request.
    """
    read_signature(request, SIGNATURE)
    _scheme(request, secrets)


def read_signature(request: WebhookRequest, name: str) -> bytes:
    """
    The raw signature in a header; raises `InvalidSignature` unless it is one in base64.
    """
    signature = read_base64(one_header(request, name))
    if signature is None or len(signature) not in SIGNATURE_BYTES:
        raise InvalidSignature(f"{name} is not the base64 of a signature")
    return signature


def is_signed(
    keys: Iterable[str], texts: Iterable[bytes], signature: bytes, *, algorithm: str
) -> bool:
    """
    Whether one of the keys gives the signature of one of the texts; tries at most `MOST_TRIES`.
    """
    tries = itertools.islice(itertools.product(keys, texts), MOST_TRIES)
    # Each is compared in constant time. Which of them was the right one is no secret.
    return any(is_hmac(key.encode(), text, signature, algorithm=algorithm) for key, text in tries)


def reordered_texts(url: str, form_text: str) -> list[bytes]:
    """What may have been signed where the query was requested in another order than signed."""
    orders = other_orders(url, form_text)
    return [f"{form}{form_text}".encode() for order in orders for form in _urls(order)]


def sign(request: WebhookRequest, secrets: Secrets) -> WebhookRequest:
    """
    The same request, signed with the first auth token, or with the first shared key if there is no
    token. Raises ValueError without a secret.
    """
    if request.content_type == JSON and not body_hashes(request):
        request = _with_body_hash(request)
    headers = {
        name: values
        for name, values in request.headers.items()
        if name not in (SIGNATURE, SETTINGS)
    }
    if secrets.values:
        key = secrets.values[0]
        algorithm = HMAC_SHA1
    elif secrets.by_key_id:
        key_id, key = next(iter(secrets.by_key_id.items()))
        algorithm = HMAC_SHA256
        headers[SETTINGS] = (f"key={key_id},algorithm={algorithm}",)
    else:
        raise ValueError("there is no secret to sign with: set TWILIO_AUTH_TOKEN")
    text = request.url + _parameter_text(request)
    mac = hmac.digest(key.encode(), text.encode(), ALGORITHMS[algorithm])
    return replace(request, headers={**headers, SIGNATURE: (base64.b64encode(mac).decode(),)})


def signed_text(request: WebhookRequest) -> bytes:
    """
    The signed text without scheme and host, the same for every order of the query that `verify`
    accepts under one signature; raises `MalformedPayload`.
    """
    return in_one_order(target(request.url) + _parameter_text(request)).encode()


# Most senders use one address for all calls. Bounded, since others name the call in it.
@lru_cache(maxsize=64)
def url_forms(url: str) -> tuple[str, ...]:
    """
    The URL as it came, and with its port added or removed: senders are not consistent about it in
    what they sign.
    """
    return tuple(_urls(url))


@lru_cache(maxsize=64)
def target(url: str) -> str:
    """Path and query of a URL, as they came."""
    return url[_host_end(url, urlsplit(url)) :]


def _urls(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    end = _host_end(url, parts)
    yield url
    if parts.port is not None:
        yield url[:end].removesuffix(f":{parts.port}") + url[end:]
    elif parts.scheme in DEFAULT_PORTS:
        yield f"{url[:end]}:{DEFAULT_PORTS[parts.scheme]}{url[end:]}"


def body_hashes(request: WebhookRequest) -> list[str]:
    """All values of the query parameter for the SHA-256 of the body."""
    return [value for name, value in query_pairs(request) if name == BODY_HASH]


def check_body_hash(request: WebhookRequest) -> None:
    """
    Raises `InvalidSignature` unless the query, which is signed, holds the SHA-256 of the body
    exactly once.
    """
    hashes = body_hashes(request)
    body_hash = hashlib.sha256(request.body).hexdigest()
    if len(hashes) != 1 or not hmac.compare_digest(body_hash.encode(), hashes[0].encode()):
        raise InvalidSignature(f"a JSON body needs its SHA-256 in the query, once, as {BODY_HASH}")


def _with_body_hash(request: WebhookRequest) -> WebhookRequest:
    separator = "&" if request.query else "?"
    body_hash = hashlib.sha256(request.body).hexdigest()
    return replace(request, url=f"{request.url}{separator}{BODY_HASH}={body_hash}")


def _parameter_text(request: WebhookRequest) -> str:
    """What is signed behind the URL: nothing of a JSON body, which is covered by its hash."""
    if request.content_type == JSON:
        return ""
    return request.body_via(read_form, _form_text)


def _form_text(pairs: list[tuple[str, str]]) -> str:
    ordered_pairs = sorted(set(pairs))
    check_first_name(ordered_pairs)
    return "".join(chain.from_iterable(ordered_pairs))


def _host_end(url: str, parts: SplitResult) -> int:
    return url.index("://") + len("://") + len(parts.netloc)


def _scheme(request: WebhookRequest, secrets: Secrets) -> _Scheme:
    if SETTINGS not in request.headers:
        return _Scheme(ALGORITHMS[HMAC_SHA1], secrets.values)
    pairs = [part.strip().partition("=")[::2] for part in one_header(request, SETTINGS).split(",")]
    signature_settings = dict(pairs)
    if len(signature_settings) != len(pairs) or "key" not in signature_settings:
        raise InvalidSignature(f"{SETTINGS} names no key, or something twice")
    key = secrets.by_key_id.get(signature_settings["key"])
    algorithm = ALGORITHMS.get(signature_settings.get("algorithm", HMAC_SHA1))
    if key is None or algorithm is None:
        raise InvalidSignature(
            "signed with a shared key or an algorithm that is not known here; "
            "see TWILIO_SHARED_KEYS"
        )
    return _Scheme(algorithm, (key,))
