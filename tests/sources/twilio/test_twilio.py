"""
What is peculiar to Twilio: its signature's vectors, shared keys, ports, retries, and what it is
answered.
"""

import hashlib
import string
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twilio.request_validator import RequestValidator

from service.errors import (
    InvalidSignature,
    MalformedPayload,
)
from service.events import EventType, HangupCause
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from service.sources.twilio.signature import SETTINGS, SIGNATURE
from tests.sources.cases import Receive, signed
from tests.sources.contract import with_headers
from tests.sources.twilio.contract import CONTRACT
from tests.sources.twilio.contract import sign as sign_twilio

TWILIO: Final = SOURCES["twilio"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
TOKEN: Final = "FAKE0000000000000000000000000000"
KEY_ID: Final = "webhooks_sharedkey_01"
SHARED: Final = Secrets(by_key_id={KEY_ID: TOKEN})
FORM_OF_VECTOR_A: Final = {
    "AccountSid": "AC00000000000000000000000000000001",
    "ApiVersion": "2010-04-01",
    "CallDuration": "49",
    "CallSid": "CA00000000000000000000000000000001",
    "CallStatus": "completed",
    "CallbackSource": "call-progress-events",
    "CalledZip": "",
    "Direction": "outbound-api",
    "Duration": "1",
    "From": "+15005550006",
    "SequenceNumber": "3",
    "Timestamp": "Mon, 02 Nov 2026 10:00:49 +0000",
    "To": "+5511999990000",
    "ToCity": "São Paulo",
}
SHA1_OF_VECTOR_A: Final = "cgy6G5CYMA/6PvPI8TGuRSvbCIY="
SHA256_OF_VECTOR_A: Final = "rp0KioNT6MYjqjAw8USA3DtqozvITUZLGv+At0uSW+M="


def vector_a(base_url: str = "https://hooks.example.test", **form: str | None) -> WebhookRequest:
    body = {
        name: value for name, value in {**FORM_OF_VECTOR_A, **form}.items() if value is not None
    }
    return build_request(
        {"path": "/hooks/twilio/status?buildr_call_id=42&tenant=acme", "body_form": dict(body)},
        base_url=base_url,
    )


def verify(request: WebhookRequest, secrets: Secrets | None = None) -> None:
    TWILIO.verify(request, secrets or Secrets((TOKEN,)), NOW)


@pytest.mark.parametrize(
    "base_url", ["https://hooks.example.test", "https://hooks.example.test:443"]
)
def test_known_form_signature_is_accepted_with_and_without_the_port(base_url: str) -> None:
    """A signature worked out by hand is accepted, whether our URL names the default port or not."""
    verify(with_headers(vector_a(base_url), {SIGNATURE: SHA1_OF_VECTOR_A}))


@pytest.mark.parametrize(
    "webhook",
    [
        vector_a("http://hooks.example.test"),
        vector_a("https://hooks.example.test:444/x"),
        vector_a(CalledZip=None),
        vector_a(Extra="1"),
        replace(vector_a(), url=vector_a().url + "#rc=5&rp=all"),
        replace(vector_a(), url=vector_a().url.replace("&tenant", "&&tenant")),
    ],
)
def test_known_form_signature_is_refused_for_anything_else(webhook: WebhookRequest) -> None:
    """
    Another scheme, a dropped empty field, an added field, a fragment or a re-encoded query is not
    what was signed.
    """
    with pytest.raises(InvalidSignature):
        verify(with_headers(webhook, {SIGNATURE: SHA1_OF_VECTOR_A}))


def test_known_json_signature_is_accepted() -> None:
    """A JSON body is proved by its SHA-256 in the signed query."""
    body = '{"a":1,"b":"é"}'
    body_hash = hashlib.sha256(body.encode()).hexdigest()
    request = WebhookRequest(
        method="POST",
        url=f"https://hooks.example.test/hooks/twilio/json?bodySHA256={body_hash}",
        headers={
            "content-type": ("application/json",),
            SIGNATURE: ("MRnFnKypGb5l1npd4NA9ST5wq3A=",),
        },
        body=body.encode(),
    )
    verify(request)
    with pytest.raises(InvalidSignature):
        verify(replace(request, body=b'{"a":2,"b":"x"}'))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?x=1",
        "?bodySHA256=",
        "?bodySHA256=00",
        "?bodySHA256={hash}&bodySHA256={hash}",
        "?bodysha256={hash}",
    ],
)
def test_json_without_its_hash_is_refused(query: str) -> None:
    """
    A JSON body that the signed query does not name once, by its exact SHA-256, is not covered by
    any signature.
    """
    body = b'{"CallSid":"CA1"}'
    url = "https://hooks.example.test/webhooks/twilio" + query.format(
        hash=hashlib.sha256(body).hexdigest()
    )
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    with pytest.raises(InvalidSignature):
        verify(
            WebhookRequest(
                method="POST",
                url=url,
                headers={"content-type": ("application/json",), SIGNATURE: (signature,)},
                body=body,
            )
        )


async def test_body_without_a_signed_type_is_refused(receive: Receive) -> None:
    """
    A body that is neither form nor JSON is in no signature, so that a signature over the bare URL
    must not let it in.
    """
    url = "https://hooks.example.test/webhooks/twilio"
    signature = RequestValidator(TOKEN).compute_signature(url, {})
    for headers in (
        {},
        {"content-type": ("text/plain",)},
        {"content-type": ("application/x-www-form-urlencoded", "application/json")},
    ):
        request = WebhookRequest(
            method="POST",
            url=url,
            headers={**headers, SIGNATURE: (signature,)},
            body=b"CallSid=CA1&CallStatus=busy",
        )
        assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == await receive(request)


async def test_get_is_refused(receive: Receive) -> None:
    """A GET has everything in its URL; only POST is taken."""
    request = replace(signed("twilio", CONTRACT.smallest), method="GET")
    assert HTTPStatus.METHOD_NOT_ALLOWED == await receive(request)


@pytest.mark.parametrize(
    ("url", "signed_url"),
    [
        (
            "https://hooks.example.test/webhooks/twilio",
            "https://hooks.example.test:443/webhooks/twilio",
        ),
        (
            "https://hooks.example.test:443/webhooks/twilio",
            "https://hooks.example.test/webhooks/twilio",
        ),
        (
            "http://127.0.0.1:8000/webhooks/twilio?a=%2B+b",
            "http://127.0.0.1:8000/webhooks/twilio?a=%2B+b",
        ),
        ("http://127.0.0.1:8000/webhooks/twilio?", "http://127.0.0.1/webhooks/twilio?"),
        (
            "http://hooks.example.test/webhooks/twilio",
            "http://hooks.example.test:80/webhooks/twilio",
        ),
        ("http://[::1]:8000/webhooks/twilio", "http://[::1]:8000/webhooks/twilio"),
        ("http://[::1]/webhooks/twilio", "http://[::1]:80/webhooks/twilio"),
    ],
)
def test_port_may_be_signed_or_not(url: str, signed_url: str) -> None:
    """
    The URL is accepted as it is and with the port put in or taken out; the query stays as it came.
    """
    request = WebhookRequest(
        method="POST",
        url=url,
        headers={"content-type": ("application/x-www-form-urlencoded",)},
        body=b"CallSid=CA1",
    )
    signature = RequestValidator(TOKEN).compute_signature(signed_url, {"CallSid": "CA1"})
    verify(with_headers(request, {SIGNATURE: signature}))


@pytest.mark.parametrize(
    ("algorithm", "signature"),
    [("HMAC_SHA256", SHA256_OF_VECTOR_A), ("HMAC_SHA1", SHA1_OF_VECTOR_A)],
)
def test_shared_key_is_accepted(algorithm: str, signature: str) -> None:
    """
    A shared key is chosen by its id, its algorithm by name; both agree with Twilio's own library.
    """
    request = vector_a()
    assert signature == RequestValidator(TOKEN).compute_signature(
        request.url, FORM_OF_VECTOR_A, algorithm
    )
    for header in (f"key={KEY_ID},algorithm={algorithm}", f"algorithm={algorithm}, key={KEY_ID}"):
        verify(with_headers(request, {SIGNATURE: signature, SETTINGS: header}), SHARED)


@pytest.mark.parametrize(
    ("header", "signature", "secrets"),
    [
        ("", SHA1_OF_VECTOR_A, Secrets((TOKEN,), {KEY_ID: TOKEN})),
        ("key=,algorithm=HMAC_SHA256", SHA256_OF_VECTOR_A, SHARED),
        ("key=webhooks_sharedkey_02,algorithm=HMAC_SHA256", SHA256_OF_VECTOR_A, SHARED),
        (f"key={KEY_ID},algorithm=HMAC_MD5", SHA1_OF_VECTOR_A, SHARED),
        (f"key={KEY_ID},algorithm=", SHA1_OF_VECTOR_A, SHARED),
        (f"key={KEY_ID},algorithm=HMAC_SHA1", SHA256_OF_VECTOR_A, SHARED),
        (f"key={KEY_ID},algorithm=HMAC_SHA256,algorithm=HMAC_SHA1", SHA1_OF_VECTOR_A, SHARED),
        (f"key={KEY_ID},key=other,algorithm=HMAC_SHA256", SHA256_OF_VECTOR_A, SHARED),
        ("algorithm=HMAC_SHA1", SHA1_OF_VECTOR_A, Secrets((TOKEN,), {KEY_ID: TOKEN})),
        (f"key={KEY_ID},algorithm=HMAC_SHA256", SHA256_OF_VECTOR_A, Secrets((TOKEN,))),
    ],
)
def test_unknown_shared_key_or_algorithm_is_refused(
    header: str, signature: str, secrets: Secrets
) -> None:
    """
    A key id that is not set here, an algorithm that is not Twilio's, or a header that says
    something twice is refused.
    """
    with pytest.raises(InvalidSignature):
        verify(with_headers(vector_a(), {SIGNATURE: signature, SETTINGS: header}), secrets)


def test_auth_token_does_not_answer_to_a_shared_key_and_the_other_way_round() -> None:
    """A message that names no shared key must be signed with the auth token."""
    with pytest.raises(InvalidSignature):
        verify(with_headers(vector_a(), {SIGNATURE: SHA1_OF_VECTOR_A}), SHARED)


def test_own_signature_with_a_shared_key_is_accepted() -> None:
    """Where only shared keys are set, `trigger` signs with the first of them."""
    verify(TWILIO.sign(vector_a(), SHARED, NOW), SHARED)


def test_own_signature_replaces_an_old_one() -> None:
    """A request file that was captured with its signature is signed anew."""
    old = with_headers(
        vector_a(), {SIGNATURE: "old", SETTINGS: f"key={KEY_ID},algorithm=HMAC_SHA256"}
    )
    assert (SHA1_OF_VECTOR_A,) == TWILIO.sign(old, Secrets((TOKEN,)), NOW).headers[SIGNATURE]


def test_repeated_parameter_is_signed_as_the_library_does() -> None:
    """
    Of a repeated name each different value counts once, in order; the order in which they came does
    not matter.
    """
    first, second = (
        WebhookRequest(
            method="POST",
            url="https://hooks.example.test/webhooks/twilio",
            headers={"content-type": ("application/x-www-form-urlencoded; charset=UTF-8",)},
            body=body,
        )
        for body in (
            b"CallSid=CA1&CallStatus=busy&X=b&X=a&X=b",
            b"X=a&X=b&CallStatus=busy&CallSid=CA1",
        )
    )
    signed = sign_twilio(first, TOKEN, NOW)
    verify(signed)
    verify(with_headers(second, {SIGNATURE: signed.headers[SIGNATURE][0]}))
    assert TWILIO.keys(first) == TWILIO.keys(second)


def test_retry_has_the_same_key_whatever_is_not_signed() -> None:
    """
    The idempotency token is not signed, so that it neither makes a message new nor passes another
    off as a retry.
    """
    request = with_headers(vector_a(), {"i-twilio-idempotency-token": "one"})
    assert TWILIO.keys(request) == TWILIO.keys(
        with_headers(request, {"i-twilio-idempotency-token": "two"})
    )
    assert TWILIO.keys(request) != TWILIO.keys(
        with_headers(vector_a(SequenceNumber="4"), {"i-twilio-idempotency-token": "one"})
    )


def test_one_signature_makes_one_message() -> None:
    """
    Names and values are signed without a border between them; a message regrouped under the same
    signature is the same message.
    """
    url = "https://hooks.example.test/webhooks/twilio"
    form = {"content-type": ("application/x-www-form-urlencoded",)}
    genuine = WebhookRequest(
        method="POST", url=url, headers=form, body=b"CallSid=CA1&CallStatus=busy"
    )
    regrouped = WebhookRequest(
        method="POST", url=url, headers=form, body=b"CallSid=CA1CallStatusbusy"
    )
    signature = sign_twilio(genuine, TOKEN, NOW).headers[SIGNATURE][0]
    verify(with_headers(regrouped, {SIGNATURE: signature}))
    assert TWILIO.keys(genuine).message_key == TWILIO.keys(regrouped).message_key


def test_key_does_not_depend_on_the_public_address() -> None:
    """A retry that comes in after `PUBLIC_URL` was corrected is still a retry."""
    assert TWILIO.keys(vector_a()) == TWILIO.keys(vector_a("https://calls.example.com"))


@pytest.mark.parametrize(
    ("form", "status", "content_type"),
    [
        (
            {"CallSid": "CA1", "CallStatus": "completed", "CallbackSource": "call-progress-events"},
            204,
            None,
        ),
        ({"CallSid": "CA1", "AnsweredBy": "human"}, 204, None),
        ({"CallSid": "CA1", "RecordingStatus": "completed"}, 204, None),
        (
            {"CallSid": "CA1", "CallStatus": "in-progress", "DialCallStatus": "busy"},
            200,
            "text/xml",
        ),
        ({"CallSid": "CA1", "CallStatus": "ringing", "Direction": "inbound"}, 200, "text/xml"),
        (
            {"CallSid": "CA1", "CallStatus": "in-progress", "QueueResult": "leave"},
            200,
            "text/xml",
        ),
        (
            {
                "CallSid": "CA1",
                "ConferenceSid": "CF1",
                "StatusCallbackEvent": "participant-join",
            },
            204,
            None,
        ),
        (
            {
                "CallSid": "CA1",
                "CallStatus": "ringing",
                "Direction": "inbound",
                "CallbackSource": "call-progress-events",
            },
            204,
            None,
        ),
    ],
)
def test_answer_fits_the_request(
    form: dict[str, str], status: int, content_type: str | None
) -> None:
    """A callback is answered with nothing, a request that asks what to do next with empty TwiML."""
    reply = TWILIO.reply(
        build_request({"body_form": dict(form)}, base_url="https://hooks.example.test")
    )
    assert (status, content_type) == (reply.status, reply.content_type)
    assert (
        b'<?xml version="1.0" encoding="UTF-8"?><Response/>' if content_type else b""
    ) == reply.body


def test_dialled_leg_ends_beside_the_callers_leg() -> None:
    """A `<Dial action>` request tells of two legs of one call."""
    form = {
        "CallSid": "CA1",
        "CallStatus": "in-progress",
        "DialCallSid": "CA2",
        "DialCallStatus": "completed",
        "DialCallDuration": "61",
    }
    parent, child = TWILIO.parse(
        build_request({"body_form": dict(form)}, base_url="https://hooks.example.test"), "m1"
    )
    assert ("CA1", EventType.ANSWERED, None) == (
        parent.leg_id,
        parent.event_type,
        parent.parent_leg_id,
    )
    assert ("CA2", EventType.ENDED, "CA1", "CA1") == (
        child.leg_id,
        child.event_type,
        child.parent_leg_id,
        child.source_call_id,
    )
    assert (HangupCause.COMPLETED, 61) == (child.hangup_cause, child.duration_s)


def test_billed_minutes_are_never_taken_for_seconds() -> None:
    """Without CallDuration the duration is unknown, whatever Duration says."""
    form = {"CallSid": "CA1", "CallStatus": "completed", "Duration": "3"}
    (event,) = TWILIO.parse(
        build_request({"body_form": dict(form)}, base_url="https://hooks.example.test"), "m1"
    )
    assert event.duration_s is None


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 02 Nov 2026 10:00:49",
        "Mon, 02 Nov 2026 10:00:49 -0000",
        "Mon, 02 Nov 2026 11:00:49 +0100",
    ],
)
def test_time_is_read_as_utc(text: str) -> None:
    """A time with an offset is turned into UTC; one without is UTC already."""
    (event,) = TWILIO.parse(
        build_request(
            {"body_form": {"CallSid": "CA1", "CallStatus": "busy", "Timestamp": text}},
            base_url="https://hooks.example.test",
        ),
        "m1",
    )
    assert datetime(2026, 11, 2, 10, 0, 49, tzinfo=UTC) == event.occurred_at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "Mon, 99 Nov 2026 10:00:49 +0000",
        "Fri, 31 Dec 9999 23:00:00 -1400",
        "1793613649",
        "é" * 50,
    ],
)
def test_unreadable_time_is_none(text: str) -> None:
    """A time that cannot be read is left out; the event counts all the same."""
    (event,) = TWILIO.parse(
        build_request(
            {"body_form": {"CallSid": "CA1", "CallStatus": "busy", "Timestamp": text}},
            base_url="https://hooks.example.test",
        ),
        "m1",
    )
    assert event.occurred_at is None


def test_parent_in_the_form_beats_the_one_in_the_url() -> None:
    """`parent_call_sid` in the URL only helps where Twilio itself names no parent."""
    form = {"CallSid": "CA2", "ParentCallSid": "CA1", "AnsweredBy": "human"}
    request = build_request(
        {"path": "/?parent_call_sid=CA9", "body_form": dict(form)},
        base_url="https://hooks.example.test",
    )
    assert TWILIO.keys(request).source_call_id == "CA1"
    with pytest.raises(MalformedPayload):
        TWILIO.keys(
            build_request(
                {
                    "path": "/?parent_call_sid=CA9&parent_call_sid=CA8",
                    "body_form": {"CallSid": "CA2"},
                },
                base_url="https://h.test",
            )
        )


# Of a vendor: the first name begins with a letter.
PARAMETERS: Final = st.dictionaries(
    st.builds("{}{}".format, st.sampled_from(string.ascii_letters), st.text(max_size=5)),
    st.lists(st.text(max_size=6), min_size=1, max_size=3),
    max_size=5,
)


@settings(max_examples=200, deadline=None)
@given(
    form=PARAMETERS,
    query=st.dictionaries(st.text(min_size=1, max_size=4), st.text(max_size=4), max_size=2),
    port=st.sampled_from(["", ":443"]),
)
def test_whatever_the_library_signs_is_genuine(
    form: dict[str, list[str]], query: dict[str, str], port: str
) -> None:
    """
    Any names and values, empty, repeated or far from ASCII, are proved as Twilio's library signs
    them, and only so.
    """
    body: dict[str, JsonValue] = {name: [*values] for name, values in form.items()}
    request = build_request(
        {"path": "/webhooks/twilio", "query": {**query}, "body_form": body},
        base_url=f"https://hooks.example.test{port}",
    )
    signed = sign_twilio(request, TOKEN, NOW)
    verify(signed)
    assert signed == TWILIO.sign(request, Secrets((TOKEN,)), NOW)
    with pytest.raises(InvalidSignature):
        verify(replace(signed, body=signed.body + b"&more=1"))
    with pytest.raises(InvalidSignature):
        verify(signed, Secrets((f"{TOKEN}0",)))
