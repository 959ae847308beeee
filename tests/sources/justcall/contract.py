"""
How the tests sign as JustCall: by its rules, with no code shared with ours, held to the vectors in
`test_justcall.py`.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from string import ascii_letters, digits
from typing import Final

from service.sources import WebhookRequest
from service.sources.justcall import vocabulary
from tests.sources.contract import SourceContract, with_headers

SIGNATURE: Final = "x-justcall-signature"
VERSION: Final = "x-justcall-signature-version"
TIME: Final = "x-justcall-request-timestamp"
# https://tc39.es/ecma262/#sec-encodeuricomponent-uricomponent
UNESCAPED: Final = frozenset((ascii_letters + digits + "-_.!~*'()").encode())


def encode_uri_component(text: str) -> str:
    """What JavaScript's function of that name gives."""
    return "".join(map(encode_byte, text.encode()))


def encode_byte(byte: int) -> str:
    """One byte of a URL's component, in percent encoding where it needs that."""
    return chr(byte) if byte in UNESCAPED else f"%{byte:02X}"


def signature(url: str, kind: str, time: str, secret: str) -> str:
    """What JustCall puts into `x-justcall-signature`."""
    payload = f"{secret}|{encode_uri_component(url)}|{kind}|{time}"
    return hmac.new(bytes(secret, "utf-8"), bytes(payload, "utf-8"), hashlib.sha256).hexdigest()


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as JustCall does; the time is that of the event, which a retry repeats."""
    body = json.loads(request.body)
    time = request.header(TIME) or now.strftime("%Y-%m-%d %H:%M:%S")
    proof = signature(body["webhook_url"], body["type"], time, secret)
    return with_headers(request, {SIGNATURE: proof, VERSION: "v1", TIME: time})


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """
    Another type, address or time than was signed, another version, and another spelling of the
    proof.
    """
    body = json.loads(request.body)
    for changes in (
        {"type": "call.missed"},
        {"type": ""},
        {"type": None},
        {"type": ["call.completed"]},
        {"webhook_url": f"{request.url}?x=1"},
        {"webhook_url": request.url.upper()},
        {"webhook_url": None},
    ):
        yield WebhookRequest(
            method="POST",
            url=request.url,
            headers=request.headers,
            body=json.dumps({**body, **changes}).encode(),
        )
    for without in ("type", "webhook_url"):
        rest = {name: value for name, value in body.items() if name != without}
        yield WebhookRequest(
            method="POST", url=request.url, headers=request.headers, body=json.dumps(rest).encode()
        )
    for changed in (
        b"",
        b"{}",
        b"[]",
        b"null",
        request.body + b"}",
        request.body[:-1] + b',"type":"call.completed"}',
    ):
        yield WebhookRequest(method="POST", url=request.url, headers=request.headers, body=changed)
    yield with_headers(request, {TIME: "2026-11-02 10:05:01"})
    yield with_headers(request, {TIME: "1793613900"})
    yield with_headers(request, {TIME: "2026-11-02T10:05:00Z"})
    yield with_headers(request, {VERSION: "v2"})
    yield with_headers(request, {SIGNATURE: (request.header(SIGNATURE) or "").upper()})


def _written(outcome: str) -> str:
    """As JustCall writes it: those of the Sales Dialer alone in its long form."""
    if "_" in outcome:
        return f"OUTGOING_{outcome.upper()}"
    return outcome.capitalize()


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("fake-justcall-secret-000", "fake-justcall-secret-111"),
    proofs=(SIGNATURE, VERSION, TIME),
    smallest="completed__only-required-fields",
    signs_url=True,
    signs_body=False,
    tolerance_s=600,
    forgeries=forgeries,
    words={
        "type": {
            *vocabulary.EVENTS,
            *vocabulary.IGNORED,
            *map(_written, vocabulary.OUTCOMES),
        },
        "direction": set(map(str.capitalize, vocabulary.DIRECTIONS)),
    },
    unknown_values=frozenset(
        {
            "Teleported",
            "Sideways",
            "Lost",
            "call.beamed",
            "call.completed without call_info.type",
            "call.completed without a known call_info.direction",
        }
    ),
)
