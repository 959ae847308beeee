"""
The kit of `callrail`: signed by the formula that CallRail's page gives. Vectors made with another
program are in `test_callrail.py`.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

from service.sources import WebhookRequest
from service.sources.callrail import source as callrail
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
        "kind": callrail.KINDS,
        "type": callrail.TYPES,
        "direction": callrail.DIRECTIONS,
        "call_type": {"abandoned", callrail.MISSED, "outbound"},
        "formatted_duration": {"(abandoned)"},
        "answered": callrail.BOOLEANS,
        "voicemail": callrail.BOOLEANS,
    },
    unknown_values=frozenset({"teleported", "sideways", "outboundteleported", "perhaps"}),
)
