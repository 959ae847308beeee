"""
The kit of `dialpad`: signed by PyJWT, which also says what the forgeries hold.
"""

import base64
import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

import jwt

from service.sources import Incoming
from service.sources.dialpad import source as dialpad
from tests.sources.contract import Kit, with_headers

SECRETS: Final = ("fake-dialpad-webhook-secret-0000", "fake-dialpad-webhook-secret-1111")


def token(payload: bytes, secret: str | None, algorithm: str = "HS256", headers: dict[str, object] | None = None) -> bytes:
    """A JWT with these bytes as its message."""
    with warnings.catch_warnings():
        # Dialpad takes secrets that are shorter than the algorithm would have them.
        warnings.simplefilter("ignore")
        return jwt.PyJWS(algorithms=["HS256", "HS512", "none"]).encode(payload, secret or "", algorithm, headers).encode()


def sign(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Make a JWT of the JSON, as Dialpad does; a time plays no part in it."""
    del now
    return replace(incoming, body=token(incoming.body, secret))


def forgeries(incoming: Incoming) -> Iterator[Incoming]:
    """Bodies that are not signed, not with this key or algorithm, or not as a whole."""
    head, middle, mac = incoming.body.split(b".")
    payload = base64.urlsafe_b64decode(middle + b"==")
    other = base64.urlsafe_b64encode(payload.replace(b"hangup", b"missed")).rstrip(b"=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=")
    bodies = [
        payload,
        json.dumps(incoming.body.decode()).encode(),
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
        incoming.body + b".",
        incoming.body + b"A",
        incoming.body + payload,
        payload + incoming.body,
        b"Bearer " + incoming.body,
        b"\xff" + incoming.body,
        b"",
        b"..",
        b".",
    ]
    yield from (replace(incoming, body=body) for body in bodies)
    yield with_headers(replace(incoming, body=payload), {"authorization": incoming.body.decode(), "content-type": "application/json"})
    yield replace(incoming, body=payload, url=f"{incoming.url}?token={incoming.body.decode()}")


KIT: Final = Kit(
    sign=sign,
    secrets=SECRETS,
    proofs=(),
    smallest="hangup__only-required-fields",
    signs_url=False,
    forgeries=forgeries,
    words={
        "state": {*dialpad.STATES, *dialpad.IGNORED},
        "direction": dialpad.DIRECTIONS,
        "type": dialpad.TARGETS,
    },
    unknown_words=frozenset({"teleported", "sideways", "robot"}),
)
