"""
The contract of `signalwire`: signed by a reading of SignalWire's rules that shares no code with
ours.

`test_signalwire.py` holds it to SignalWire's own package, which can check signatures and not make
them.
"""

import hashlib
import hmac
from base64 import standard_b64encode
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from urllib.parse import unquote_plus

from service.sources import WebhookRequest
from service.sources.common import sip
from service.sources.twilio import vocabulary
from tests.sources.contract import REP_GONE, SourceContract, with_headers


def form_pairs(body: str) -> Iterator[tuple[str, str]]:
    """The fields of a form, every one, in order."""
    for part in body.split("&"):
        if part:
            name, _, value = part.partition("=")
            yield unquote_plus(name), unquote_plus(value)


def form_signature(url: str, body: str, key: str) -> str:
    """What SignalWire puts into `X-SignalWire-Signature` of a form."""
    pairs = list(form_pairs(body))
    names = sorted({name for name, _ in pairs})
    form_text = "".join(
        name + value for sorted_name in names for name, value in pairs if name == sorted_name
    )
    return standard_b64encode(
        hmac.new(key.encode("utf-8"), (url + form_text).encode("utf-8"), hashlib.sha1).digest()
    ).decode("ascii")


def json_signature(url: str, body: bytes, key: str, algorithm: str = "sha1") -> str:
    """What SignalWire puts into `X-SignalWire-Signature`, or the one with SHA-256, of JSON."""
    return hmac.new(key.encode("utf-8"), url.encode("utf-8") + body, algorithm).hexdigest()


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Sign as SignalWire does; a time plays no part in it."""
    del now
    if request.content_type == "application/json":
        return with_headers(
            request,
            {
                "x-signalwire-signature": json_signature(request.url, request.body, secret),
                "x-signalwire-sha256-signature": json_signature(
                    request.url, request.body, secret, "sha256"
                ),
            },
        )
    return with_headers(
        request,
        {"x-signalwire-signature": form_signature(request.url, request.body.decode(), secret)},
    )


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=("PSK_FAKE_0000000000000000000000000000", "PSK_FAKE_1111111111111111111111111111"),
    proofs=("x-signalwire-signature",),
    smallest="status__only-required-fields",
    signs_url=True,
    words={
        **vocabulary.KNOWN_VALUES,
        "RecordingStatus": vocabulary.RECORDING_STATUSES | vocabulary.IGNORED_RECORDING_STATUSES,
        "StatusCallbackEvent": (
            vocabulary.CONFERENCE_EVENTS.keys() | vocabulary.IGNORED_CONFERENCE_EVENTS
        ),
        "DialCallStatus": vocabulary.HANGUP_CAUSES,
        "DialBridged": {vocabulary.NOT_BRIDGED, "true"},
        "SipResultCode": {*sip.DECISIVE, *sip.NOT_REACHED},
    },
    unknown_values=frozenset(
        {"teleported", "parrot", "sideways", "pending", "evaporated"}
        | {"participant-dance", "vanished"}
    ),
    early_results={
        "answered-click-to-call": REP_GONE,
    },
)
