"""
The kit of `openphone`: signed as versioned webhooks are, by the library of the Standard Webhooks specification.

A secret says of which generation it is, so that one kit signs only one of them; `test_openphone.py` takes every fixture through the legacy
signature as well.
"""

from datetime import datetime
from typing import Final

from standardwebhooks.webhooks import Webhook

from service.sources import Incoming
from service.sources.openphone import source as openphone
from service.sources.openphone import vocabulary as openphone_words
from tests.sources.contract import Kit, with_headers


def sign(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Sign by the Standard Webhooks specification."""
    signature = Webhook(secret).sign("msg_fake0001", now, incoming.body.decode())
    return with_headers(
        incoming, {"webhook-id": "msg_fake0001", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    )


KIT: Final = Kit(
    sign=sign,
    secrets=("whsec_ZmFrZS1xdW8tc2VjcmV0LWZvci10ZXN0cy0wMDAwMDA=", "whsec_ZmFrZS1xdW8tc2VjcmV0LWZvci10ZXN0cy0xMTExMTE="),
    proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
    smallest="completed__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    words={
        "type": set(openphone.READERS),
        "direction": openphone_words.DIRECTIONS,
        "status": openphone_words.STATUSES,
        "aiHandled": openphone_words.AI_WORDS,
        "processingStatus": openphone_words.PROCESSING,
    },
    unknown_words=frozenset({"call.teleported", "sideways", "vanished", "parrot", "half-done", "blurred"}),
    retry_headers=("webhook-id",),
)
