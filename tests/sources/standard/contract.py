"""
The contract of `standard`: signed by the library of the Standard Webhooks specification.
"""

from datetime import datetime
from typing import Final

from standardwebhooks.webhooks import Webhook

from service.events import (
    STATED_RESULTS,
    AnsweredBy,
    Direction,
    HangupCause,
    Party,
)
from service.sources import WebhookRequest
from service.sources.standard import vocabulary
from tests.sources.contract import SourceContract, with_headers


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign by the Standard Webhooks specification."""
    message_id = request.header("webhook-id") or "msg_1"
    signature = Webhook(secret).sign(message_id, now, request.body.decode())
    return with_headers(
        request,
        {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        },
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=(
        "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==",
        "whsec_YW5vdGhlci1zdGFuZGFyZC1zZWNyZXQ=",
    ),
    proofs=("webhook-id", "webhook-timestamp", "webhook-signature"),
    smallest="ended__only-required-fields",
    signs_url=False,
    tolerance_s=300,
    words={
        "type": set(vocabulary.EVENT_TYPES),
        "answered_by": set(AnsweredBy),
        "hangup_cause": set(HangupCause),
        "result": set(STATED_RESULTS),
        "direction": set(Direction),
        "party": set(Party),
    },
    unknown_values=frozenset({"call.teleported", "parrot", "vanished", "sold"}),
)
