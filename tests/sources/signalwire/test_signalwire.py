"""
What is peculiar to SignalWire: its signatures in all their forms, held to its own package, and what
it is answered.
"""

import base64
import hashlib
import hmac
import string
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from signalwire.core.security import validate_webhook_signature, validate_webhook_signature_sha256

from service.errors import InvalidSignature
from service.events import Direction, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from service.sources.signalwire.signature import OLDER_SIGNATURE, SIGNATURE, SIGNATURE_SHA256
from tests.sources.cases import Receive, fixture, fixture_names, signed
from tests.sources.contract import with_headers
from tests.sources.signalwire.contract import CONTRACT, json_signature
from tests.sources.signalwire.contract import sign as sign_signalwire
from workers.calls.basis import Reason
from workers.calls.fold import Stage, fold

SIGNALWIRE: Final = SOURCES["signalwire"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
KEY: Final = "PSK_FAKE_0000000000000000000000000000"
FORM: Final = ("application/x-www-form-urlencoded",)
JSON: Final = ("application/json",)
# Worked out with SignalWire's package.
VECTOR: Final = WebhookRequest(
    method="POST",
    url="https://hooks.example.test/hooks/signalwire/status?buildr_call_id=42",
    headers={"content-type": FORM, SIGNATURE: ("AuBjNOYP6SqmgryUeSYAd8rq8xM=",)},
    body=(
        b"CallSid=00000000-0000-4000-8000-000000000001&CallStatus=busy"
        b"&From=%2B15005550006&To=%2B15005550001&CallerName="
    ),
)
AS_JSON: Final = WebhookRequest(
    method="POST",
    url="https://hooks.example.test/webhooks/signalwire?buildr_call_id=42",
    headers={"content-type": JSON},
    body=(
        '{"CallSid":"00000000-0000-4000-8000-000000000001","CallStatus":"busy","CallerName":"é"}'
    ).encode(),
)


def verify(request: WebhookRequest, *keys: str) -> None:
    SIGNALWIRE.verify(request, Secrets(keys or (KEY,)), NOW)


def is_genuine_to_signalwire(request: WebhookRequest) -> bool:
    """What SignalWire's own package says of a request."""
    return validate_webhook_signature(
        KEY, request.header(SIGNATURE) or "", request.url, request.body.decode()
    )


@pytest.mark.parametrize("name", fixture_names("signalwire"))
def test_signalwires_package_agrees(name: str) -> None:
    """
    What the tests sign, and what `trigger` signs, is genuine to SignalWire's own package, and is
    the same.
    """
    request = signed("signalwire", name)
    assert is_genuine_to_signalwire(request)
    assert request == SIGNALWIRE.sign(fixture("signalwire", name), Secrets((KEY,)), NOW)
    stronger = request.header(SIGNATURE_SHA256)
    assert stronger is None or validate_webhook_signature_sha256(
        KEY, stronger, request.url, request.body.decode()
    )


@pytest.mark.parametrize("port", ["", ":443"])
def test_known_signature_is_accepted_with_and_without_the_port(port: str) -> None:
    """
    A signature worked out with SignalWire's package is accepted, whether our URL names the default
    port or not.
    """
    request = replace(VECTOR, url=VECTOR.url.replace(".test", f".test{port}"))
    assert is_genuine_to_signalwire(request)
    verify(request)


@pytest.mark.parametrize(
    "webhook",
    [
        replace(VECTOR, url=VECTOR.url.replace("https", "http")),
        replace(VECTOR, url=VECTOR.url.replace("=42", "=43")),
        replace(VECTOR, url=f"{VECTOR.url}#rt=15000"),
        replace(VECTOR, body=VECTOR.body.removesuffix(b"&CallerName=")),
        replace(VECTOR, body=VECTOR.body + b"&Extra=1"),
        with_headers(VECTOR, {SIGNATURE: base64.b64decode(VECTOR.header(SIGNATURE) or "").hex()}),
    ],
)
def test_known_signature_is_refused_for_anything_else(webhook: WebhookRequest) -> None:
    """
    Another scheme, id, fragment, a dropped empty field, an added one, or the same bytes written in
    hex, is not what was signed.
    """
    with pytest.raises(InvalidSignature):
        verify(webhook)


def test_older_name_of_the_header_counts_where_the_own_one_is_absent() -> None:
    """Older senders call it as Twilio does; beside SignalWire's own header it proves nothing."""
    proof = VECTOR.headers[SIGNATURE]
    verify(replace(VECTOR, headers={"content-type": FORM, OLDER_SIGNATURE: proof}))
    for wrong in ((), ("",), proof * 2, ("AuBjNOYP6SqmgryUeSYAd8rq8xN=",)):
        with pytest.raises(InvalidSignature):
            verify(replace(VECTOR, headers={"content-type": FORM, OLDER_SIGNATURE: wrong}))
        with pytest.raises(InvalidSignature):
            verify(
                replace(
                    VECTOR, headers={"content-type": FORM, SIGNATURE: wrong, OLDER_SIGNATURE: proof}
                )
            )


def test_repeated_parameters_are_all_signed_in_their_order() -> None:
    """
    Unlike Twilio's signature, SignalWire's covers how often a value comes and in which order, as
    its package holds.
    """
    base = replace(VECTOR, body=b"X=b&CallSid=1&X=a&CallStatus=busy&X=b")
    request = sign_signalwire(base, KEY, NOW)
    assert is_genuine_to_signalwire(request)
    verify(request)
    for body in (b"X=a&CallSid=1&X=b&CallStatus=busy&X=b", b"X=b&CallSid=1&X=a&CallStatus=busy"):
        assert not is_genuine_to_signalwire(replace(request, body=body))
        with pytest.raises(InvalidSignature):
            verify(replace(request, body=body))


@pytest.mark.parametrize(
    "names", [(SIGNATURE,), (SIGNATURE_SHA256,), (SIGNATURE, SIGNATURE_SHA256), (OLDER_SIGNATURE,)]
)
def test_json_is_proved_byte_for_byte(names: tuple[str, ...]) -> None:
    """
    JSON is signed as it came, in hex, by SHA-1 or SHA-256; a changed byte, URL or digit is refused.
    """
    proofs = {
        name: json_signature(
            AS_JSON.url, AS_JSON.body, KEY, "sha256" if name == SIGNATURE_SHA256 else "sha1"
        )
        for name in (SIGNATURE, SIGNATURE_SHA256, OLDER_SIGNATURE)
    }
    request = with_headers(AS_JSON, {name: proofs[name] for name in names})
    verify(request)
    strongest = names[-1]
    for changed in (
        replace(request, body=request.body.replace(b"busy", b"bus ")),
        replace(request, body=request.body + b" "),
        replace(request, url=request.url + "0"),
        with_headers(request, {strongest: proofs[strongest][:-1] + "g"}),
        with_headers(request, {strongest: proofs[strongest].upper()}),
        replace(request, headers={**request.headers, strongest: (proofs[strongest],) * 2}),
    ):
        with pytest.raises(InvalidSignature):
            verify(changed)


def test_stronger_signature_decides() -> None:
    """A wrong SHA-256 signature beside a right SHA-1 one is refused."""
    right = json_signature(AS_JSON.url, AS_JSON.body, KEY)
    for wrong in ("0" * 64, right, ""):
        with pytest.raises(InvalidSignature):
            verify(with_headers(AS_JSON, {SIGNATURE: right, SIGNATURE_SHA256: wrong}))


def test_stronger_signature_does_not_cover_a_form() -> None:
    """
    SignalWire defines it for JSON only, so that it neither proves a form nor invalidates its
    signature.
    """
    proof = hmac.new(KEY.encode(), VECTOR.url.encode() + VECTOR.body, "sha256").hexdigest()
    verify(with_headers(VECTOR, {SIGNATURE_SHA256: proof}))
    with pytest.raises(InvalidSignature):
        verify(replace(VECTOR, headers={"content-type": FORM, SIGNATURE_SHA256: (proof,)}))


def test_json_may_be_covered_by_its_hash_in_the_url() -> None:
    """
    A signature in base64 covers the URL only; it is enough where that names the SHA-256 of the
    body, and never without.
    """

    def by_url(url: str, body: bytes) -> WebhookRequest:
        mac = base64.b64encode(hmac.digest(KEY.encode(), url.encode(), "sha1")).decode()
        return replace(with_headers(AS_JSON, {SIGNATURE: mac}), url=url, body=body)

    url = f"{AS_JSON.url}&bodySHA256={hashlib.sha256(AS_JSON.body).hexdigest()}"
    request = by_url(url, AS_JSON.body)
    assert is_genuine_to_signalwire(request)
    verify(request)
    for changed in (
        by_url(AS_JSON.url, AS_JSON.body),
        replace(request, body=b"{}"),
        by_url(f"{url}&bodySHA256=0", AS_JSON.body),
    ):
        with pytest.raises(InvalidSignature):
            verify(changed)


async def test_other_methods_and_types_are_refused(receive: Receive) -> None:
    """Only a POST of a form or of JSON is read."""
    request = signed("signalwire", CONTRACT.smallest)
    assert HTTPStatus.METHOD_NOT_ALLOWED == await receive(replace(request, method="GET"))
    for headers in ({}, {"content-type": ("text/plain",)}, {"content-type": (*FORM, *JSON)}):
        changed = replace(request, headers={**headers, SIGNATURE: request.headers[SIGNATURE]})
        assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == await receive(changed)


def test_one_signature_makes_one_message() -> None:
    """
    A message regrouped under the same signature is the same message; under another public address
    it stays the same, too.
    """
    genuine = sign_signalwire(replace(VECTOR, body=b"CallSid=1&CallStatus=busy&X=1&X=1"), KEY, NOW)
    regrouped = replace(genuine, body=b"CallSid=1&CallStatusbusy=&X=1X1")
    verify(regrouped)
    assert SIGNALWIRE.keys(genuine) == SIGNALWIRE.keys(regrouped)
    assert SIGNALWIRE.keys(VECTOR) == SIGNALWIRE.keys(
        replace(VECTOR, url=VECTOR.url.replace("hooks.example.test", "calls.example.com"))
    )
    assert SIGNALWIRE.keys(AS_JSON) != SIGNALWIRE.keys(
        replace(AS_JSON, body=AS_JSON.body.replace(b"busy", b"failed"))
    )


def test_sip_code_says_why() -> None:
    """SignalWire's own name of the field decides as Twilio's does."""
    form: dict[str, JsonValue] = {"CallSid": "1", "CallStatus": "no-answer", "SipResultCode": "603"}
    (event,) = SIGNALWIRE.parse(
        build_request({"body_form": form}, base_url="https://hooks.example.test"), "m1"
    )
    assert event.hangup_cause == "rejected"
    assert event.source == "signalwire"


@pytest.mark.parametrize(
    "name", ["status__completed", "voice__inbound-ringing", "dial__busy", "status__json-name-twice"]
)
def test_every_answer_is_an_empty_document(name: str) -> None:
    """SignalWire wants 200 for a status callback, and XML where it asks what to do next."""
    reply = SIGNALWIRE.reply(fixture("signalwire", name))
    assert (200, "text/xml", b'<?xml version="1.0" encoding="UTF-8"?><Response/>') == (
        reply.status,
        reply.content_type,
        reply.body,
    )


def test_word_answered_is_an_answer() -> None:
    """SignalWire sends it beside `in-progress` of the same answer."""
    call = fold(SIGNALWIRE.parse(fixture("signalwire", "status__answered"), "m1"))
    assert (Stage.IN_PROGRESS, None, (), True) == (
        call.stage,
        call.result,
        call.unknown_values,
        call.legs[0].is_answered,
    )


def test_number_callback_is_an_inbound_call_of_which_only_the_times_are_known() -> None:
    """
    It states no direction, and the time of creation instead of the end. That the exchange picked up
    shows neither talk nor a missed call.
    """
    call = fold(SIGNALWIRE.parse(fixture("signalwire", "number__completed"), "m1"))
    assert (Direction.INBOUND, None, Reason.CAUSE_MISSING) == (
        call.direction,
        call.result,
        call.basis.reason,
    )
    created_at = datetime(2026, 5, 4, 15, tzinfo=UTC)
    assert (created_at, created_at + timedelta(seconds=60)) == (call.started_at, call.ended_at)


@pytest.mark.parametrize(
    ("status", "duration_s", "expected"),
    [
        ("completed", "49", Result.CONNECTED),
        ("no-answer", "0", Result.MISSED_INBOUND),
        ("canceled", "0", Result.ABANDONED),
    ],
)
def test_agents_leg_decides_beside_a_number_callback(
    status: str, duration_s: str, expected: Result
) -> None:
    """With an agent's leg the callback of the number is the end that the call waits for."""
    agent: dict[str, JsonValue] = {
        "ApiVersion": "2010-04-01",
        "CallSid": "00000000-0000-4000-8000-000000000002",
        "ParentCallSid": "00000000-0000-4000-8000-000000000001",
        "CallStatus": status,
        "CallDuration": duration_s,
        "Direction": "outbound-dial",
        "To": "sip:ana@acme.sip.example.com",
    }
    agent_events = SIGNALWIRE.parse(
        build_request({"body_form": agent}, base_url="https://hooks.example.test"), "m1"
    )
    number_events = SIGNALWIRE.parse(fixture("signalwire", "number__completed"), "m2")
    call = fold([*agent_events, *number_events])
    assert (expected, int(duration_s)) == (call.result, call.duration_s)


def test_failed_number_callback_is_a_missed_call() -> None:
    """A call that failed was talked on by nobody."""
    call = fold(SIGNALWIRE.parse(fixture("signalwire", "number__failed"), "m1"))
    assert Result.MISSED_INBOUND == call.result


def test_callback_of_a_call_without_a_direction_stays_open() -> None:
    """Only the callback of a number is known to be of an inbound call."""
    call = fold(SIGNALWIRE.parse(fixture("signalwire", "status__no-direction"), "m1"))
    assert (None, None, Reason.DIRECTION_UNKNOWN) == (
        call.direction,
        call.result,
        call.basis.reason,
    )


def test_own_signature_replaces_an_old_one() -> None:
    """A request file that was captured with its signatures is signed anew."""
    old = with_headers(VECTOR, {SIGNATURE: "old", SIGNATURE_SHA256: "old", OLDER_SIGNATURE: "old"})
    assert SIGNALWIRE.sign(old, Secrets((KEY,)), NOW) == VECTOR


# Of a vendor: the first name begins with a letter.
PARAMETERS: Final = st.dictionaries(
    st.builds("{}{}".format, st.sampled_from(string.ascii_letters), st.text(max_size=5)),
    st.lists(st.text(max_size=6), min_size=1, max_size=3),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(
    form=PARAMETERS,
    query=st.dictionaries(st.text(min_size=1, max_size=4), st.text(max_size=4), max_size=2),
)
def test_whatever_signalwires_package_takes_is_genuine(
    form: dict[str, list[str]], query: dict[str, str]
) -> None:
    """
    Any names and values, empty, repeated or far from ASCII, are proved as SignalWire's package
    proves them, and only so.
    """
    body: dict[str, JsonValue] = {name: [*values] for name, values in form.items()}
    request = build_request(
        {"path": "/webhooks/signalwire", "query": {**query}, "body_form": body},
        base_url="https://hooks.example.test",
    )
    genuine = sign_signalwire(request, KEY, NOW)
    assert is_genuine_to_signalwire(genuine)
    verify(genuine)
    assert genuine == SIGNALWIRE.sign(request, Secrets((KEY,)), NOW)
    with pytest.raises(InvalidSignature):
        verify(replace(genuine, body=genuine.body + b"&more=1"))
    with pytest.raises(InvalidSignature):
        verify(genuine, f"{KEY}0")
