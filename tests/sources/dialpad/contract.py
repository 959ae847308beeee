"""
The contract of `dialpad`: signed by PyJWT, which makes the forgeries too.
"""

import base64
import json
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import jwt
from msgspec.structs import replace

from service.sources import WebhookRequest
from service.sources.dialpad import vocabulary
from tests.sources.contract import SourceContract, with_headers

SECRETS: Final = ("fake-dialpad-webhook-secret-0000", "fake-dialpad-webhook-secret-1111")


def token(
    payload: bytes,
    secret: str | None,
    algorithm: str = "HS256",
    headers: dict[str, object] | None = None,
) -> bytes:
    """A JWT with these bytes as its message."""
    with warnings.catch_warnings():
        # Dialpad takes secrets that are shorter than the algorithm would have them.
        warnings.simplefilter("ignore")
        return (
            jwt.PyJWS(algorithms=["HS256", "HS512", "none"])
            .encode(payload, secret or "", algorithm, headers)
            .encode()
        )


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Make a JWT of the JSON, as Dialpad does; a time plays no part in it."""
    del now
    return replace(request, body=token(request.body, secret))


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """Bodies that are not signed, not with this key or algorithm, or not as a whole."""
    head, middle, mac = request.body.split(b".")
    payload = base64.urlsafe_b64decode(middle + b"==")
    other = base64.urlsafe_b64encode(payload.replace(b"hangup", b"missed")).rstrip(b"=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=")
    bodies = [
        payload,
        json.dumps(request.body.decode()).encode(),
        token(payload, None, "none"),
        token(payload, SECRETS[0], "HS512"),
        token(payload, SECRETS[0], headers={"crit": ["x"], "x": 1}),
        token(payload, SECRETS[1]),
        token(payload, f"{SECRETS[0]} "),
        b".".join((none, middle, mac)),
        b".".join((none, middle, b"")),
        b".".join((head, middle, b"")),
        b".".join((head, other, mac)),
        b".".join((head, middle)),
        b".".join((head, b"", mac)),
        b".".join((head, middle, mac, mac)),
        b".".join((head, middle, mac + b"=")),
        b".".join((head, middle + b"=", mac)),
        b".".join((b"", head, middle, mac)),
        request.body + b".",
        request.body + b"A",
        request.body + payload,
        payload + request.body,
        b"Bearer " + request.body,
        b"\xff" + request.body,
        b"",
        b"..",
        b".",
    ]
    yield from (replace(request, body=body) for body in bodies)
    yield with_headers(
        replace(request, body=payload),
        {"authorization": request.body.decode(), "content-type": "application/json"},
    )
    yield replace(request, body=payload, url=f"{request.url}?token={request.body.decode()}")


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=SECRETS,
    proofs=(),
    smallest="hangup__only-required-fields",
    signs_url=False,
    forgeries=forgeries,
    words={
        "state": {*vocabulary.EVENT_TYPES, *vocabulary.IGNORED},
        "direction": vocabulary.DIRECTIONS,
        "type": vocabulary.TARGET_TYPES,
    },
    unknown_values=frozenset({"teleported", "sideways", "robot"}),
)
