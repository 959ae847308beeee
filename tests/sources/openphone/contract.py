"""
How the tests sign as Quo: as versioned webhooks are, by the library of the Standard Webhooks
specification.

A secret shows of which generation it is, so that only one of them is signed here;
`test_openphone.py` takes every fixture through the legacy signature as well.
"""

from datetime import datetime
from typing import Final

from standardwebhooks.webhooks import Webhook

from service.sources import WebhookRequest
from service.sources.openphone import events, vocabulary
from tests.sources.contract import SourceContract, with_headers


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign by the Standard Webhooks specification."""
    signature = Webhook(secret).sign("msg_fake0001", now, request.body.decode())
    return with_headers(
        request,
        {
            "webhook-id": "msg_fake0001",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        },
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=(
        "whsec_ZmFrZS1xdW8tc2VjcmV0LWZvci10ZXN0cy0wMDAwMDA=",
        "whsec_ZmFrZS1xdW8tc2VjcmV0LWZvci10ZXN0cy0xMTExMTE=",
    ),
    proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
    smallest="completed__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    words={
        "type": set(events.READERS),
        "direction": vocabulary.DIRECTIONS,
        "status": vocabulary.STATUSES,
        "aiHandled": vocabulary.AI_HANDLERS,
        "processingStatus": vocabulary.PROCESSING,
    },
    unknown_values=frozenset(
        {"call.teleported", "sideways", "vanished", "parrot", "half-done", "blurred"}
    ),
    retry_headers=("webhook-id",),
)
