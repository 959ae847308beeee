"""
The contract of `callrail`: signed by the formula that CallRail's page gives. Vectors made with
another program are in `test_callrail.py`.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

from service.sources import WebhookRequest
from service.sources.callrail import vocabulary
from tests.sources.contract import SourceContract, with_headers


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as CallRail does with a company's key; a time plays no part in it."""
    del now
    mac = hmac.new(secret.encode("utf-8"), msg=request.body, digestmod=hashlib.sha1)
    return with_headers(
        request, {"signature": base64.standard_b64encode(mac.digest()).decode("ascii")}
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("fake-callrail-signing-key-000", "fake-callrail-signing-key-111"),
    proofs=("signature",),
    smallest="post-call__only-required-fields",
    signs_url=False,
    words={
        "kind": vocabulary.KINDS,
        "type": vocabulary.TYPES,
        "direction": vocabulary.DIRECTIONS,
        "call_type": {"abandoned", vocabulary.MISSED, "outbound"},
        "formatted_duration": {"(abandoned)"},
        "answered": vocabulary.FLAGS,
        "voicemail": vocabulary.FLAGS,
    },
    unknown_values=frozenset({"teleported", "sideways", "outboundteleported", "perhaps"}),
)
