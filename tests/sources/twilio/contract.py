"""
The kit of `twilio`: signed by Twilio's own library.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from twilio.request_validator import RequestValidator

from service.sources import Incoming
from service.sources.common import sip
from service.sources.twilio import source as twilio
from tests.sources.contract import Kit, with_headers


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


def sign(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Sign as Twilio does with an auth token; a time plays no part in it."""
    del now
    validator = RequestValidator(secret)
    if incoming.content_type == "application/json":
        mark = "&" if incoming.query else "?"
        incoming = replace(incoming, url=f"{incoming.url}{mark}bodySHA256={hashlib.sha256(incoming.body).hexdigest()}")
        signature = validator.compute_signature(incoming.url, {})
    else:
        form = parse_qs(incoming.body.decode(), keep_blank_values=True)
        signature = validator.compute_signature(incoming.url, _MultiDict(form))
    return with_headers(incoming, {"x-twilio-signature": signature})


KIT: Final = Kit(
    sign=sign,
    secrets=("FAKE0000000000000000000000000000", "FAKE1111111111111111111111111111"),
    proofs=("x-twilio-signature",),
    smallest="status__only-required-fields",
    signs_url=True,
    words={
        **twilio.KNOWN_WORDS,
        "RecordingStatus": twilio.RECORDING_STATUSES | twilio.IGNORED_RECORDING_STATUSES,
        "DialCallStatus": twilio.HANGUP_CAUSES,
        "SipResponseCode": {*sip.DECISIVE, *sip.NOT_REACHED},
    },
    unknown_words=frozenset({"teleported", "parrot", "sideways", "pending"}),
    retry_headers=("i-twilio-idempotency-token",),
)
