"""
How the tests prove a request as Bandwidth: the header is made as HTTP clients make it, by httpx.
Bandwidth signs nothing.
"""

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import httpx

from service.sources import WebhookRequest
from service.sources.bandwidth import events, vocabulary
from service.sources.common import sip
from tests.sources.contract import SourceContract, with_headers

SECRETS: Final = ("hookuser:fake-password-0000000000", "hookuser:fake-password-1111111111")


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Send the credentials as Bandwidth does; a time plays no part in it."""
    del now
    user, _, password = secret.partition(":")
    authenticated = next(
        httpx.BasicAuth(user, password).auth_flow(httpx.Request("POST", request.url))
    )
    return with_headers(request, {"authorization": authenticated.headers["authorization"]})


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """Requests with other credentials than ours, and with ours in another form."""
    user, _, password = SECRETS[0].partition(":")
    pairs = (
        "",
        ":",
        user,
        f"{user}:",
        f":{password}",
        password,
        f"{user}:{password} ",
        f"{user}:{password}:",
        f"{user.upper()}:{password}",
    )
    for pair in (
        *pairs,
        f"{user}:{password.upper()}",
        f"{password}:{user}",
        f"{user}{password}",
        f"{SECRETS[0]},{SECRETS[1]}",
        "é:é",
    ):
        yield with_headers(
            request, {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        )
    value = request.headers["authorization"][0]
    text = value.removeprefix("Basic ")
    for changed in (
        f"Bearer {text}",
        text,
        f"Basic{text}",
        f"Basic  {text}",
        f"{value} ",
        f"{value}=",
        f"Basic {SECRETS[0]}",
        "Basic",
        "Basic ",
    ):
        yield with_headers(request, {"authorization": changed})


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=SECRETS,
    proofs=("authorization",),
    smallest="disconnect__only-required-fields",
    signs_url=False,
    signs_body=False,
    forgeries=forgeries,
    words={
        "eventType": {
            *events.READERS,
            *vocabulary.RECORDING_EVENTS,
            *vocabulary.IGNORED_EVENTS,
        },
        "direction": vocabulary.DIRECTIONS,
        "cause": vocabulary.CAUSES,
        "sipResponseCode": sip.INVALID_NUMBER,
        "value": vocabulary.ANSWERERS,
        "status": vocabulary.RECORDING_STATUSES,
    },
    unknown_values=frozenset(
        {"teleported", "sideways", "evaporated", "android", "transmogrified", "parrot", "(empty)"}
    ),
)
