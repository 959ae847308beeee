"""
The contract of `ringcentral`, which signs nothing: its token is in a header.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import Result
from service.sources import WebhookRequest
from service.sources.ringcentral import vocabulary
from tests.sources.contract import EarlyResults, SourceContract, with_headers


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Prove a message as RingCentral does; a time plays no part in it."""
    del now
    return with_headers(request, {"verification-token": secret})


def forgeries(request: WebhookRequest) -> Iterable[WebhookRequest]:
    """Requests with the token in the wrong place, or spelled in another way."""
    token = request.headers["verification-token"][0]
    bare = replace(
        request,
        headers={
            name: values for name, values in request.headers.items() if name != "verification-token"
        },
    )
    yield with_headers(bare, {"validation-token": token})
    yield replace(bare, url=f"{bare.url}?verification-token={token}")
    yield with_headers(bare, {"authorization": f"Bearer {token}"})
    for other in (
        token.upper(),
        f"{token} ",
        f" {token}",
        f"{token}, {token}",
        token[:-1],
        f"{token}\x00",
    ):
        yield with_headers(bare, {"verification-token": other})


HANG_UP_ALONE: Final = EarlyResults(
    frozenset({Result.CANCELLED}),
    "a hang-up means a talk only after an answer: where the answer is late, the rep's end reads "
    "as cancelled until it comes",
)

CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("fake-rc-verification-token-000", "fake-rc-verification-token-111"),
    proofs=("verification-token",),
    smallest="disconnected__only-required-fields",
    signs_url=False,
    signs_body=False,
    forgeries=forgeries,
    words={
        "code": vocabulary.CODES,
        "reason": vocabulary.REASONS,
        "direction": vocabulary.DIRECTIONS,
        "type": vocabulary.ORIGINS | vocabulary.IGNORED_ORIGINS,
    },
    unknown_values=frozenset(
        {
            "teleported",
            "evaporated",
            "sideways",
            "Hologram",
            "(empty)",
            "/restapi/v1.0/account/telephony/dreams",
        }
    ),
    retry_headers=("validation-token",),
    early_results={
        "answered-click-to-call": HANG_UP_ALONE,
        "no-answer-click-to-call": HANG_UP_ALONE,
    },
)
