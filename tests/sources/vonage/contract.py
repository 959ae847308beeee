"""
The contract of `vonage`: signed with PyJWT, which shares no code with ours. `test_vonage.py` holds
it to Vonage's own check.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

import jwt
from msgspec.structs import replace

from service.events import Result
from service.sources import WebhookRequest
from service.sources.vonage import vocabulary
from tests.sources.contract import REP_GONE, SourceContract, no_parent, with_headers

SECRETS: Final = (
    "fake-signature-secret-do-not-use-000000000000000000",
    "fake-signature-secret-do-not-use-111111111111111111",
)


def claims_of(request: WebhookRequest, now: datetime) -> dict[str, object]:
    """What Vonage says in the token of a request."""
    return {
        "iat": int(now.timestamp()),
        "jti": f"00000000-0000-4000-8000-{int(now.timestamp()):012}",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(request.body).hexdigest(),
        "api_key": "fakekey0",
        "application_id": "00000000-0000-4000-8000-0000000000bb",
    }


def with_token(
    request: WebhookRequest,
    claims: Mapping[str, object],
    secret: str,
    algorithm: str = "HS256",
    headers: dict[str, object] | None = None,
) -> WebhookRequest:
    """The request with a token that holds these claims."""
    token = jwt.PyJWS().encode(
        json.dumps(claims, separators=(",", ":")).encode(), secret, algorithm, headers
    )
    return with_headers(request, {"authorization": f"Bearer {token}"})


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as Vonage does; every try has a token of its own."""
    return with_token(request, claims_of(request, now), secret)


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """
    Requests with a token that proves less than it must, made by somebody who has a genuine one, or
    even the secret.
    """
    value = request.headers["authorization"][0]
    head, payload, signature = value.removeprefix("Bearer ").split(".")
    claims: dict[str, object] = jwt.decode(
        value.removeprefix("Bearer "), options={"verify_signature": False}
    )
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    for changed in (
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"..{signature}",
    ):
        yield with_headers(request, {"authorization": f"Bearer {changed}"})
    for changed in (
        value.removeprefix("Bearer "),
        f"Basic {value[7:]}",
        f"Bearer  {value[7:]}",
        f"{value}=",
        f"{value} ",
        f"{value}\n",
    ):
        yield with_headers(request, {"authorization": changed})
    yield with_token(request, claims, SECRETS[0], "HS384")
    yield with_token(request, claims, SECRETS[0], headers={"crit": ["exp"], "exp": 1})
    payload_hash = str(claims["payload_hash"])
    for wrong in (
        {"iss": "vonage"},
        {"iss": ["Vonage"]},
        {"payload_hash": payload_hash.upper()},
        {"payload_hash": [payload_hash]},
        {"payload_hash": "é"},
    ):
        yield with_token(request, {**claims, **wrong}, SECRETS[0])
    for iat in (str(claims["iat"]), True, 0, float(10**17)):
        yield with_token(request, {**claims, "iat": iat}, SECRETS[0])
    for name in ("iat", "iss", "payload_hash"):
        yield with_token(
            request, {key: claim for key, claim in claims.items() if key != name}, SECRETS[0]
        )
    twice = json.dumps(json.loads(request.body), separators=(",", ":"))
    yield replace(request, body=f'{twice[:-1]},"status":"completed"}}'.encode())
    yield replace(request, body=request.body + request.body)


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=SECRETS,
    proofs=("authorization",),
    smallest="status__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    forgeries=forgeries,
    words={
        **vocabulary.KNOWN_VALUES,
        "status": {*vocabulary.STATUSES, *vocabulary.IGNORED_STATUSES},
        "detail": vocabulary.DETAILS,
    },
    unknown_values=frozenset({"teleported", "sideways", "evaporated", "beep_boop", "parrot"}),
    early_results={
        "answered-click-to-call": REP_GONE,
        "answered-from-app": REP_GONE,
        "inbound-abandoned": no_parent("Vonage", Result.CANCELLED),
        "inbound-missed": no_parent("Vonage", Result.NO_ANSWER),
        "inbound-voicemail": no_parent("Vonage", Result.NO_ANSWER),
    },
)
