"""
The messages of the benchmark of the front door: each is unlike all others, and signed before
anything is measured.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, islice
from random import Random
from typing import Final
from urllib.parse import quote_plus

from service.errors import MessageError
from service.sources import SOURCES, WebhookRequest
from tests.sources.cases import BASE_URL, CONTRACTS, addressed
from workers.simulator.requests import headers_of
from workers.simulator.scenarios import load

TWILIO_TOKEN: Final = CONTRACTS["twilio"].secrets[0]
STANDARD_SECRET: Final = CONTRACTS["standard"].secrets[0]
TWILIO_BYTES: Final = 478
STANDARD_BYTES: Final = 700
SCENARIO: Final = "answered"
EMPTY: Final = ("CallerZip", "CalledZip", "CallerCity", "ToCity", "FromState")


def messages(slug: str, number: int) -> list[bytes]:
    """So many requests of a source as bytes of HTTP, all of them of other calls."""
    makers: dict[str, Callable[[], Iterator[bytes]]] = {
        "twilio": _twilio,
        "standard": _standard,
    }
    if slug in makers:
        return list(islice(makers[slug](), number))
    return list(islice(_simulated(slug), number))


def _twilio() -> Iterator[bytes]:
    """Status callbacks in which a call ends, in Twilio's own order of fields."""
    url = f"{BASE_URL}/webhooks/twilio"
    key = TWILIO_TOKEN.encode()
    for number in count():
        fields = {
            "Called": "+15005550001",
            "ToState": "CA",
            "CallerCountry": "US",
            "Direction": "outbound-api",
            "Timestamp": "Mon, 02 Nov 2026 10:00:52 +0000",
            "CallbackSource": "call-progress-events",
            "SipResponseCode": "200",
            "SequenceNumber": "3",
            "CallSid": f"CA{number:032x}",
            "To": "+15005550001",
            "ToCountry": "US",
            "ApiVersion": "2010-04-01",
            "CallStatus": "completed",
            "Duration": "1",
            "From": "+15005550006",
            "CallDuration": "49",
            "AccountSid": "AC00000000000000000000000000000001",
            "FromCountry": "US",
        }
        # Twilio sends the parts of addresses empty where it knows none.
        fields |= dict.fromkeys(EMPTY, "")
        form = "&".join(f"{name}={quote_plus(value)}" for name, value in fields.items())
        fields["FromState"] = "x" * (TWILIO_BYTES - len(form))
        form += fields["FromState"]
        text = url + "".join(name + value for name, value in sorted(fields.items()))
        signature = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1)).decode()
        headers = [
            ("x-twilio-signature", signature),
            ("content-type", "application/x-www-form-urlencoded; charset=UTF-8"),
            ("user-agent", "TwilioProxy/1.1"),
            ("accept", "*/*"),
        ]
        yield as_http("/webhooks/twilio", headers, form.encode())


def _standard() -> Iterator[bytes]:
    """Messages of the standard source in which a call ends."""
    key = base64.b64decode(STANDARD_SECRET.removeprefix("whsec_"))
    now = str(int(datetime.now(UTC).timestamp()))
    for number in count():
        body = {
            "version": "1",
            "type": "call.ended",
            "call_id": f"pbx-{number:012d}",
            "occurred_at": "2026-11-02T10:00:52Z",
            "sequence": 3,
            "direction": "outbound",
            "from": "+15005550006",
            "to": "+15005550001",
            "hangup_cause": "completed",
            "duration_s": 49,
            "buildr_call_id": f"{number + 1}",
            "agent": "ana@example.test",
            "note": "",
        }
        body["note"] = "n" * (STANDARD_BYTES - len(json.dumps(body)))
        data = json.dumps(body).encode()
        signed = f"msg_{number:020d}.{now}.".encode() + data
        mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        headers = [
            ("webhook-id", f"msg_{number:020d}"),
            ("webhook-timestamp", now),
            ("webhook-signature", f"v1,{mac}"),
            ("content-type", "application/json"),
        ]
        yield as_http("/webhooks/standard", headers, data)


def _simulated(slug: str) -> Iterator[bytes]:
    """The messages of simulated calls that are stored, signed by the vendor's own library."""
    contract = CONTRACTS[slug]
    scenario = load(slug, SCENARIO)
    rng = Random(1)
    while True:
        now = datetime.now(UTC)
        for request in scenario.build_requests({}, base_url=BASE_URL, start_at=now, rng=rng):
            if _is_stored(slug, request):
                signed = contract.sign(addressed(slug, request), contract.secrets[0], now)
                path = signed.url.removeprefix(BASE_URL)
                yield as_http(path, headers_of(signed), signed.body)


def _is_stored(slug: str, request: WebhookRequest) -> bool:
    try:
        SOURCES[slug].keys(SOURCES[slug].redact(request))
    except MessageError:
        return False
    return True


def as_http(path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """A POST of HTTP/1.1 as bytes."""
    lines = [f"POST {path} HTTP/1.1", "host: hooks.example.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
