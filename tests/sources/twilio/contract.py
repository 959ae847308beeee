"""
The contract of `twilio`: signed by Twilio's own library.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from twilio.request_validator import RequestValidator

from service.sources import WebhookRequest
from service.sources.common import sip
from service.sources.twilio import vocabulary
from tests.sources.contract import REP_GONE, SourceContract, with_headers, with_query


@dataclass(frozen=True, slots=True)
class _MultiDict:
    """Form parameters the way the frameworks that Twilio's library knows hold them."""

    values: Mapping[str, list[str]]

    def __iter__(self) -> object:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def getlist(self, name: str) -> list[str]:
        """All values of a parameter."""
        return self.values[name]


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as Twilio does with an auth token; a time plays no part in it."""
    del now
    validator = RequestValidator(secret)
    if request.content_type == "application/json":
        body_hash = hashlib.sha256(request.body).hexdigest()
        request = with_query(request, f"bodySHA256={body_hash}")
        signature = validator.compute_signature(request.url, {})
    else:
        form = parse_qs(request.body.decode(), keep_blank_values=True)
        signature = validator.compute_signature(request.url, _MultiDict(form))
    return with_headers(request, {"x-twilio-signature": signature})


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("FAKE0000000000000000000000000000", "FAKE1111111111111111111111111111"),
    proofs=("x-twilio-signature",),
    smallest="status__only-required-fields",
    signs_url=True,
    words={
        **vocabulary.KNOWN_VALUES,
        "CallStatus": vocabulary.CALL_STATUSES.keys() - {vocabulary.SIGNALWIRE_ANSWERED},
        "RecordingStatus": vocabulary.RECORDING_STATUSES | vocabulary.IGNORED_RECORDING_STATUSES,
        "StatusCallbackEvent": (
            vocabulary.CONFERENCE_EVENTS.keys() | vocabulary.IGNORED_CONFERENCE_EVENTS
        ),
        "DialCallStatus": vocabulary.HANGUP_CAUSES,
        "DialBridged": {vocabulary.NOT_BRIDGED, "true"},
        "SipResponseCode": {*sip.DECISIVE, *sip.NOT_REACHED},
    },
    unknown_values=frozenset(
        {"teleported", "parrot", "sideways", "pending", "participant-dance", "vanished"}
    ),
    retry_headers=("i-twilio-idempotency-token",),
    early_results={
        "answered-click-to-call": REP_GONE,
    },
)
