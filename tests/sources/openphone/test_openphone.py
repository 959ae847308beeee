"""
What is peculiar to Quo, formerly OpenPhone: two generations of signatures that never stand in for
each other, and events that say less than they seem to.
"""

import base64
import hashlib
import hmac
import importlib
import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook as StandardWebhook

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import (
    AnsweredBy,
    Direction,
    EventType,
    Result,
)
from service.sources import SETTINGS, SOURCES, WebhookRequest
from service.sources.common import signatures
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.cases import fixture, fixture_names, signed
from tests.sources.contract import with_headers
from tests.sources.openphone.contract import CONTRACT
from workers.calls.fold import Call, fold

OPENPHONE: Final = SOURCES["openphone"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
CALL: Final = "AC00000000000000000000000000000001"
CUSTOMER: Final = "+15005550001"
LINE: Final = "+15005550006"
WHSEC, OTHER_WHSEC = CONTRACT.secrets
LEGACY: Final = "ZmFrZS1sZWdhY3ktcXVvLWtleS0wMDAw"
OTHER_LEGACY: Final = "ZmFrZS1sZWdhY3ktcXVvLWtleS0xMTEx"
HEADER: Final = "openphone-signature"
# Worked out with svix and standardwebhooks, and with openssl.
BODY_OF_VECTORS: Final = b'{"id":"EV0001","type":"call.completed"}'
VERSIONED_VECTOR: Final = {
    "webhook-id": "msg_fake0001",
    "webhook-timestamp": "1772442930",
    "webhook-signature": "v1,CTvMOhUmobwQD4IWWGC+Bh2SaX4/mTIctYBwGM6Uz94=",
}
LEGACY_VECTOR: Final = {HEADER: "hmac;1;1772442930123;tJkcujj2OyOVbHk3BkERLhTTM3McnL9fMk2YYYPr2pk="}
TIME_OF_VECTORS: Final = datetime.fromtimestamp(1772442930, UTC)


def webhook_request(headers: dict[str, str], body: bytes = BODY_OF_VECTORS) -> WebhookRequest:
    request = WebhookRequest(method="POST", url=f"{BASE_URL}/webhooks/openphone", body=body)
    return with_headers(request, {"content-type": "application/json", **headers})


def legacy_part(body: bytes, secret: str, now: datetime) -> str:
    """One signature by the formula of Quo's support page."""
    timestamp = str(round(now.timestamp() * 1000))
    mac = hmac.new(base64.b64decode(secret), timestamp.encode() + b"." + body, hashlib.sha256)
    return ";".join(
        ("hmac", "1", timestamp, base64.standard_b64encode(mac.digest()).decode("ascii"))
    )


def legacy_signed(
    request: WebhookRequest, secret: str = LEGACY, now: datetime = NOW
) -> WebhookRequest:
    return with_headers(request, {HEADER: legacy_part(request.body, secret, now)})


def is_genuine(request: WebhookRequest, *secrets: str, now: datetime = NOW) -> bool:
    try:
        OPENPHONE.verify(request, Secrets(secrets), now)
    except InvalidSignature:
        return False
    return True


def call_of(*messages: tuple[str, dict[str, JsonValue]]) -> Call:
    """The call that versioned messages make, which is the same in every order."""
    events = []
    for number, (name, resource) in enumerate(messages):
        context: dict[str, JsonValue] = {
            "userId": "US1",
            "participants": {"external": [CUSTOMER], "workspace": [LINE]},
        }
        body: dict[str, JsonValue] = {
            "id": f"EV{number}",
            "type": name,
            "createdAt": f"2026-11-02T10:00:{number:02}Z",
            "data": {"resource": {"id": CALL, **resource}, "context": context},
        }
        events.append(
            OPENPHONE.parse(
                build_request(
                    {"path": "/webhooks/openphone", "body_json": body}, base_url=BASE_URL
                ),
                "m1",
            )
        )
    calls = [fold(itertools.chain(*order)) for order in itertools.permutations(events)]
    assert all(call == calls[0] for call in calls)
    return calls[0]


def legacy_call(**fields: JsonValue) -> Call:
    body: dict[str, JsonValue] = {
        "id": "EV1",
        "type": "call.completed",
        "data": {"object": {"id": CALL, **fields}},
    }
    return fold(
        OPENPHONE.parse(
            build_request({"path": "/webhooks/openphone", "body_json": body}, base_url=BASE_URL),
            "m1",
        )
    )


def test_known_versioned_signature_is_accepted() -> None:
    """
    What two libraries of others make is accepted, among other secrets and other signatures too.
    """
    from svix.webhooks import Webhook as SvixWebhook

    request = webhook_request(VERSIONED_VECTOR)
    assert VERSIONED_VECTOR["webhook-signature"] == SvixWebhook(WHSEC).sign(
        "msg_fake0001", TIME_OF_VECTORS, BODY_OF_VECTORS.decode()
    )
    assert VERSIONED_VECTOR["webhook-signature"] == StandardWebhook(WHSEC).sign(
        "msg_fake0001", TIME_OF_VECTORS, BODY_OF_VECTORS.decode()
    )
    assert is_genuine(request, WHSEC, now=TIME_OF_VECTORS)
    assert is_genuine(request, LEGACY, OTHER_WHSEC, WHSEC, now=TIME_OF_VECTORS)
    several = f"v1a,AAAA v1,AAAA {VERSIONED_VECTOR['webhook-signature']}"
    assert is_genuine(
        with_headers(request, {"webhook-signature": several}), WHSEC, now=TIME_OF_VECTORS
    )


@pytest.mark.parametrize("name", ["svix", "standardwebhooks"])
def test_own_versioned_signature_is_accepted_by_other_libraries(name: str) -> None:
    """What `trigger` signs is what Quo's customers verify with these libraries."""
    library = importlib.import_module(f"{name}.webhooks")
    now = datetime.now(UTC)
    made = OPENPHONE.sign(fixture("openphone", "completed__answered"), Secrets((WHSEC,)), now)
    headers = {name: values[0] for name, values in made.headers.items()}
    library.Webhook(WHSEC).verify(made.body.decode(), headers)
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(OTHER_WHSEC).verify(made.body.decode(), headers)


def test_known_legacy_signature_is_accepted() -> None:
    """
    A signature worked out with openssl is accepted, among other secrets and other signatures too.
    """
    request = webhook_request(LEGACY_VECTOR)
    assert is_genuine(request, LEGACY, now=TIME_OF_VECTORS)
    assert is_genuine(request, WHSEC, OTHER_LEGACY, LEGACY, now=TIME_OF_VECTORS)
    for several in ("hmac;2;1;AAAA,{}", "{},hmac;1;1772442930123;AAAA", "sha;1;1;1, {}", "{},"):
        assert is_genuine(
            with_headers(request, {HEADER: several.format(LEGACY_VECTOR[HEADER])}),
            LEGACY,
            now=TIME_OF_VECTORS,
        ), several


def test_secret_never_proves_the_other_generation() -> None:
    """
    The same key written for one generation proves nothing of the other, whoever signs with it.
    """
    versioned = fixture("openphone", "completed__answered")
    legacy = fixture("openphone", "completed__legacy-answered")
    bare = WHSEC.removeprefix("whsec_")
    for request in (versioned, legacy):
        by_versioned = CONTRACT.sign(request, WHSEC, NOW)
        by_legacy = legacy_signed(request, bare)
        assert is_genuine(by_versioned, WHSEC)
        assert not is_genuine(by_versioned, bare)
        assert is_genuine(by_legacy, bare)
        assert not is_genuine(by_legacy, WHSEC)
        assert not is_genuine(by_legacy)


def test_request_with_both_signatures_or_neither_is_refused() -> None:
    """One generation has to prove a message; a request that claims both is nobody's."""
    request = fixture("openphone", "completed__answered")
    both = legacy_signed(CONTRACT.sign(request, WHSEC, NOW))
    assert not is_genuine(both, WHSEC, LEGACY)
    assert not is_genuine(request, WHSEC, LEGACY)
    for header in (HEADER, "webhook-signature"):
        assert not is_genuine(with_headers(request, {header: ""}), WHSEC, LEGACY)


@pytest.mark.parametrize("name", fixture_names("openphone"))
def test_every_fixture_is_proved_by_a_legacy_signature(name: str) -> None:
    """
    Legacy signatures hold for any body, of which no byte may change, and say the same as those of
    `trigger`.
    """
    request = legacy_signed(fixture("openphone", name))
    assert is_genuine(request, LEGACY)
    assert is_genuine(request, OTHER_LEGACY, LEGACY)
    assert not is_genuine(request, OTHER_LEGACY)
    for place in range(0, len(request.body), 29):
        changed = bytearray(request.body)
        changed[place] ^= 1
        assert not is_genuine(replace(request, body=bytes(changed)), LEGACY)
    made = OPENPHONE.sign(fixture("openphone", name), Secrets((LEGACY,)), NOW)
    assert made.headers == request.headers


def test_legacy_signature_must_be_there_once_and_unchanged() -> None:
    """A header that is missing, empty, doubled, or changed in any character proves nothing."""
    request = legacy_signed(fixture("openphone", CONTRACT.smallest))
    value = request.headers[HEADER][0]
    for values in (
        (),
        ("",),
        (value, value),
        (value, ""),
        (f"x{value}",),
        (f"{value}é",),
        ("é",),
        (";;;",),
        (",",),
        ("\udcff",),
        (f"{value};",),
    ):
        assert not is_genuine(
            replace(request, headers={**request.headers, HEADER: values}), LEGACY
        ), values
    for place, character in enumerate(value):
        changed = value[:place] + chr(ord(character) ^ 1) + value[place + 1 :]
        assert not is_genuine(with_headers(request, {HEADER: changed}), LEGACY), changed
    assert not is_genuine(with_headers(request, {HEADER: value.rstrip("=")}), LEGACY)


def test_legacy_time_is_checked_both_ways_and_in_milliseconds() -> None:
    """
    A signed time may be off by 300 seconds either way, by no second more, and is not read as
    seconds.
    """
    request = legacy_signed(fixture("openphone", CONTRACT.smallest))
    for after_s in (-300, 0, 299, 300):
        assert is_genuine(request, LEGACY, now=NOW + timedelta(seconds=after_s)), after_s
    for after_s in (-301, 301, 86_400, -86_400):
        assert not is_genuine(request, LEGACY, now=NOW + timedelta(seconds=after_s)), after_s
    in_seconds = f"{int(NOW.timestamp())}"
    mac = hmac.digest(base64.b64decode(LEGACY), in_seconds.encode() + b"." + request.body, "sha256")
    forged = with_headers(
        request, {HEADER: f"hmac;1;{in_seconds};{base64.b64encode(mac).decode()}"}
    )
    assert not is_genuine(forged, LEGACY)
    with pytest.raises(InvalidSignature, match="300 s away"):
        OPENPHONE.verify(forged, Secrets((LEGACY,)), NOW)


@pytest.mark.parametrize(
    "timestamp",
    [
        "9" * 16,
        "9" * 5000,
        "-1793613900000",
        "1793613900000.0",
        "1.8e12",
        "",
        " 1793613900000",
        "\u0661",
    ],
)
def test_time_that_is_none_is_refused(timestamp: str) -> None:
    """
    Even signed with the right key, what is no time of fifteen digits at most proves nothing, and
    breaks nothing.
    """
    request = fixture("openphone", CONTRACT.smallest)
    mac = hmac.digest(base64.b64decode(LEGACY), timestamp.encode() + b"." + request.body, "sha256")
    forged = with_headers(request, {HEADER: f"hmac;1;{timestamp};{base64.b64encode(mac).decode()}"})
    with pytest.raises(InvalidSignature, match="no legacy secret"):
        OPENPHONE.verify(forged, Secrets((LEGACY,)), NOW)


def test_fresh_signature_among_stale_ones_counts() -> None:
    """Of several right signatures one that is fresh is enough."""
    request = fixture("openphone", CONTRACT.smallest)
    parts = [
        legacy_part(request.body, LEGACY, NOW - timedelta(seconds=age_s)) for age_s in (900, 10)
    ]
    assert is_genuine(with_headers(request, {HEADER: ",".join(parts)}), LEGACY)


def test_heap_of_versioned_signatures_costs_one_hmac_for_each_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Of eight signatures the body is worked through once for each of our secrets, and of more not at
    all.
    """
    request = CONTRACT.sign(fixture("openphone", CONTRACT.smallest), WHSEC, NOW)
    right = request.headers["webhook-signature"][0]
    wrong = f"v1,{base64.b64encode(bytes(32)).decode()}"
    seen: list[bytes] = []
    whole = signatures._mac

    def count(key: bytes, text: bytes, algorithm: str) -> bytes:
        seen.append(text)
        return whole(key, text, algorithm)

    monkeypatch.setattr(signatures, "_mac", count)
    monkeypatch.delattr(hmac, "digest")
    for count_of_wrong, is_taken, macs in ((7, True, 2), (500, False, 0)):
        seen.clear()
        heap = " ".join([*[wrong] * count_of_wrong, right])
        request_with_heap = with_headers(request, {"webhook-signature": heap})
        assert is_taken == is_genuine(request_with_heap, OTHER_WHSEC, WHSEC)
        assert macs == len(seen)


def test_heap_of_signatures_is_refused() -> None:
    """Nobody may make the receiver work through a long list for each message."""
    request = fixture("openphone", CONTRACT.smallest)
    part = legacy_part(request.body, LEGACY, NOW)
    assert is_genuine(with_headers(request, {HEADER: ",".join([part] * 8)}), LEGACY)
    assert not is_genuine(with_headers(request, {HEADER: ",".join([part] * 9)}), LEGACY)


@pytest.mark.parametrize("secret", ["", "=", "whsec_", "é", "not base64!"])
def test_broken_secret_proves_nothing(secret: str) -> None:
    """A secret without a key is no key, so that nobody can sign with an empty one."""
    request = fixture("openphone", CONTRACT.smallest)
    mac = hmac.digest(b"", b"1793613900000." + request.body, "sha256")
    forged = with_headers(
        request, {HEADER: f"hmac;1;1793613900000;{base64.b64encode(mac).decode()}"}
    )
    assert datetime.fromtimestamp(1793613900, UTC) == NOW
    assert not is_genuine(forged, secret)
    assert is_genuine(legacy_signed(request), secret, LEGACY)


@pytest.mark.parametrize(
    ("secret", "is_right"),
    [
        (WHSEC, True),
        (LEGACY, True),
        ("whsec_c2hvcnQ=", False),
        ("c2hvcnQ=", False),
        ("not base64!", False),
    ],
)
def test_setting_takes_secrets_of_both_generations(secret: str, *, is_right: bool) -> None:
    """
    One setting holds both; what is none of them is refused at the start, without being repeated.
    """
    setting = SETTINGS["openphone_webhook_secret"]
    fault = setting.check(secret)
    assert (fault is None) is is_right
    assert secret not in (fault or "")
    assert setting.check(setting.generate()) is None


def test_trigger_signs_by_the_generation_of_the_message() -> None:
    """
    Of secrets of both generations each signs its own messages; with those of one only, they sign
    all.
    """
    versioned = fixture("openphone", "completed__answered")
    legacy = fixture("openphone", "completed__legacy-answered")
    for secrets in ((WHSEC, LEGACY), (LEGACY, WHSEC)):
        assert HEADER not in OPENPHONE.sign(versioned, Secrets(secrets), NOW).headers
        assert HEADER in OPENPHONE.sign(legacy, Secrets(secrets), NOW).headers
    for request in (versioned, legacy):
        for secret in (WHSEC, LEGACY):
            made = OPENPHONE.sign(
                legacy_signed(CONTRACT.sign(request, OTHER_WHSEC, NOW)), Secrets((secret,)), NOW
            )
            assert is_genuine(made, secret)


def key_of(**fields: JsonValue) -> str:
    body: dict[str, JsonValue] = {
        "id": "EV1",
        "type": "call.completed",
        "data": {"resource": {"id": CALL}},
        **fields,
    }
    return OPENPHONE.keys(
        build_request({"path": "/webhooks/openphone", "body_json": body}, base_url=BASE_URL)
    ).message_key


def test_event_counts_once_by_its_id() -> None:
    """
    The event's id names the message, whatever else differs; another kind or generation under the
    same id is another message.
    """
    assert key_of() == key_of(createdAt="2026-11-02T10:00:00Z")
    assert (
        key_of()
        == OPENPHONE.keys(
            with_headers(
                webhook_request(
                    {},
                    json.dumps(
                        {"id": "EV1", "type": "call.completed", "data": {"resource": {"id": CALL}}}
                    ).encode(),
                ),
                {"webhook-id": "msg_2"},
            )
        ).message_key
    )
    assert (
        len(
            {
                key_of(),
                key_of(id="EV2"),
                key_of(type="call.ringing"),
                key_of(data={"object": {"id": CALL}}),
                key_of(id=None),
            }
        )
        == 5
    )


def test_webhook_with_more_fields_is_not_lost() -> None:
    """
    Legacy webhooks made in the app hold the voicemail, those made by the API do not: neither must
    hide the other.
    """
    plain: dict[str, JsonValue] = {
        "id": CALL,
        "direction": "incoming",
        "status": "completed",
        "answeredAt": None,
    }
    with_voicemail: dict[str, JsonValue] = {
        **plain,
        "voicemail": {"url": "https://r.example.test/1"},
    }
    assert key_of(data={"object": plain}) != key_of(data={"object": with_voicemail})
    assert key_of(data={"object": with_voicemail}) == key_of(
        data={"object": {**with_voicemail, "voicemail": {"url": "https://r.example.test/2"}}}
    )


@pytest.mark.parametrize(
    "name",
    [
        "call.completed",
        "call.recording.completed",
        "call.summary.completed",
        "call.voicemail.completed",
        "call.transcript.completed",
    ],
)
def test_call_is_named_by_its_call_id(name: str) -> None:
    """
    All messages of a call have the same id, where they name it as `callId` and have one of their
    own too.
    """
    body: dict[str, JsonValue] = {
        "id": "EV1",
        "type": name,
        "data": {"resource": {"id": "AC999", "callId": CALL}},
    }
    assert (
        CALL
        == OPENPHONE.keys(
            build_request({"path": "/webhooks/openphone", "body_json": body}, base_url=BASE_URL)
        ).source_call_id
    )


@pytest.mark.parametrize(
    "name", ["call.summary.completed", "call.voicemail.completed", "call.transcript.completed"]
)
def test_what_names_no_call_is_kept_for_a_person(name: str) -> None:
    """A voicemail's own id is not its call's: it must not make a call of its own."""
    body: dict[str, JsonValue] = {
        "id": "EV1",
        "type": name,
        "data": {"resource": {"id": "AC999", "callId": None}},
    }
    with pytest.raises(MalformedPayload, match="callId"):
        OPENPHONE.keys(
            build_request({"path": "/webhooks/openphone", "body_json": body}, base_url=BASE_URL)
        )


@pytest.mark.parametrize(
    "name",
    [
        "message.received",
        "message.delivered",
        "message.failed",
        "message.undelivered",
        "contact.updated",
        "contact.deleted",
        "task.due_date_changed",
        "integration.deleted",
    ],
)
def test_what_is_about_no_call_is_left_alone(name: str) -> None:
    """Messages, contacts and tasks are known and not wanted."""
    with pytest.raises(IgnoredEvent):
        key_of(type=name)


@pytest.mark.parametrize(
    "name",
    [
        "call.recording.completed",
        "call.summary.completed",
        "call.transcript.completed",
        "call.voicemail.completed",
    ],
)
def test_what_completes_is_not_always_the_call(name: str) -> None:
    """Only `call.completed` ends a call: what only sounds like it leaves it open."""
    call = call_of(
        (
            name,
            {
                "callId": CALL,
                "direction": "incoming",
                "status": "completed",
                "completedAt": "2026-11-02T10:02:00Z",
                "duration": 9,
            },
        )
    )
    assert not call.is_final


INCOMING: Final[dict[str, JsonValue]] = {
    "direction": "incoming",
    "completedAt": "2026-11-02T10:02:00Z",
}
ANSWERED_AT: Final[dict[str, JsonValue]] = {"answeredAt": "2026-11-02T10:01:00Z"}


def test_end_that_says_how_counts_before_missed() -> None:
    """
    Quo reports an incoming call that nobody answered twice; the more precise event decides,
    whichever came first or is the later one.
    """
    missed: tuple[str, dict[str, JsonValue]] = ("call.missed", {})
    assert Result.MISSED_INBOUND == call_of(missed).result
    assert (
        Result.ABANDONED
        == call_of(
            missed,
            (
                "call.completed",
                {**INCOMING, "status": "abandoned", "completedAt": "2026-11-01T10:00:00Z"},
            ),
        ).result
    )
    assert (
        Result.MISSED_INBOUND
        == call_of(missed, ("call.completed", {**INCOMING, "status": "unknown"})).result
    )
    assert (
        Result.CONNECTED
        == call_of(
            ("call.completed", {**INCOMING, **ANSWERED_AT, "status": "answered"}), missed
        ).result
    )


def test_forwarded_call_stays_open() -> None:
    """
    That a call was forwarded says nothing of what became of it, even if something answered before.
    """
    forwarded: dict[str, JsonValue] = {**INCOMING, **ANSWERED_AT, "status": "forwarded"}
    assert not call_of(
        ("call.ringing", {"direction": "incoming"}),
        ("call.forwarded", {}),
        ("call.completed", forwarded),
    ).is_final
    assert (
        Result.MISSED_INBOUND == call_of(("call.completed", forwarded), ("call.missed", {})).result
    )


def test_unknown_end_is_what_its_answer_says() -> None:
    """
    Where Quo itself does not know how a call ended, somebody's answer still counts, and without one
    nothing is guessed.
    """
    unknown: dict[str, JsonValue] = {**INCOMING, "status": "unknown"}
    assert call_of(("call.completed", {**unknown, "answeredAt": None})).result is None
    assert Result.CONNECTED == call_of(("call.completed", {**unknown, **ANSWERED_AT})).result
    assert (
        Result.CONNECTED
        == call_of(
            ("call.completed", unknown), ("call.answered", {"direction": "incoming", **ANSWERED_AT})
        ).result
    )


def test_ai_agent_is_no_person() -> None:
    """
    An incoming call that only the AI agent took is missed, and says that a machine answered; a
    message makes it a voicemail.
    """
    answered: tuple[str, dict[str, JsonValue]] = (
        "call.answered",
        {**INCOMING, **ANSWERED_AT, "answeredByUserId": "SYU1"},
    )
    handled: tuple[str, dict[str, JsonValue]] = (
        "call.completed",
        {**INCOMING, **ANSWERED_AT, "status": "ai-handled"},
    )
    call = call_of(answered, handled)
    assert (Result.MISSED_INBOUND, AnsweredBy.MACHINE, 0) == (
        call.result,
        call.answered_by,
        call.duration_s,
    )
    assert (
        Result.VOICEMAIL_RECEIVED
        == call_of(handled, ("call.voicemail.completed", {"callId": CALL, **INCOMING})).result
    )


def test_person_who_took_over_from_the_ai_agent_counts() -> None:
    """
    That the AI agent answered first, or wrote the summary, takes nothing away from a call that Quo
    says was answered.
    """
    call = call_of(
        ("call.answered", {**INCOMING, **ANSWERED_AT, "answeredByUserId": "SYU1"}),
        ("call.completed", {**INCOMING, **ANSWERED_AT, "status": "answered"}),
        (
            "call.summary.completed",
            {"callId": CALL, "handledByAiAgent": True, "summary": ["Hello."]},
        ),
    )
    assert (Result.CONNECTED, "Hello.", None) == (call.result, call.note, call.agent)


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"aiHandled": "ai-agent"}, Result.MISSED_INBOUND),
        ({"answeredBy": "SY1"}, Result.MISSED_INBOUND),
        ({"answeredBy": "US1", "aiHandled": None}, Result.CONNECTED),
    ],
)
def test_legacy_messages_tell_the_ai_agent_too(
    fields: dict[str, JsonValue], result: Result
) -> None:
    """
    Legacy messages name it, or the system actor that it is; of an outgoing call that says nothing
    of who picked up.
    """
    assert (
        result
        == legacy_call(
            direction="incoming", status="completed", answeredAt="2026-11-02T10:00:06Z", **fields
        ).result
    )
    assert (
        Result.CONNECTED
        == legacy_call(
            direction="outgoing", status="completed", answeredAt="2026-11-02T10:00:06Z", **fields
        ).result
    )


def test_legacy_completed_means_what_its_answer_says() -> None:
    """
    A legacy call is `completed` in any case: null means that nobody answered; without the field
    it is not known.
    """
    assert (
        Result.CONNECTED
        == legacy_call(
            direction="outgoing", status="completed", answeredAt="2026-11-02T10:00:06Z"
        ).result
    )
    assert (
        Result.NO_ANSWER
        == legacy_call(direction="outgoing", status="completed", answeredAt=None).result
    )
    assert (
        Result.MISSED_INBOUND
        == legacy_call(direction="incoming", status="completed", answeredAt=None).result
    )
    assert legacy_call(direction="outgoing", status="completed").result is None
    assert legacy_call(direction="outgoing", status="completed", answeredAt=False).result is None


def test_talk_does_not_hold_the_ringing() -> None:
    """
    Talk time is from the answer to the end; the stated one counts only where either is missing, and
    only of an answered call.
    """
    moments: dict[str, JsonValue] = {
        "answeredAt": "2026-11-02T10:00:06Z",
        "completedAt": "2026-11-02T10:01:06.400Z",
    }
    assert (
        60
        == legacy_call(direction="outgoing", status="completed", duration=66, **moments).duration_s
    )
    assert 66 == legacy_call(direction="outgoing", status="answered", duration=66).duration_s
    assert (
        0
        == legacy_call(
            direction="outgoing", status="no-answer", answeredAt=None, duration=31
        ).duration_s
    )


@pytest.mark.parametrize(
    ("direction", "people", "numbers"),
    [
        ("incoming", [CUSTOMER, LINE], (CUSTOMER, LINE)),
        ("outgoing", [LINE, CUSTOMER], (LINE, CUSTOMER)),
        ("incoming", [CUSTOMER], (CUSTOMER, None)),
        ("outgoing", [CUSTOMER], (None, CUSTOMER)),
        ("incoming", [], (None, None)),
        ("incoming", [CUSTOMER, LINE, "+15005550002"], (None, None)),
        (None, [CUSTOMER, LINE], (None, None)),
    ],
)
def test_legacy_participants(
    direction: str | None, people: Iterable[str], numbers: tuple[str | None, str | None]
) -> None:
    """
    Two are the caller and the called; one is the other side; of more, or without a direction, no
    number is known.
    """
    call = legacy_call(direction=direction, status="failed", participants=list(people))
    assert numbers == (call.from_number, call.to_number)


def test_numbers_of_the_message_count_before_its_participants() -> None:
    """A legacy message made in the app holds who called whom."""
    call = legacy_call(
        direction="outgoing",
        status="failed",
        participants=["+15005550002"],
        **{"from": LINE, "to": CUSTOMER},
    )
    assert (LINE, CUSTOMER) == (call.from_number, call.to_number)


def test_who_answered_counts_before_whose_number_it_is() -> None:
    """
    The user beside the call is the agent only while nobody is known to have taken it, however late
    that user is named again.
    """
    call = call_of(
        ("call.ringing", {"direction": "incoming", "createdAt": "2026-11-02T10:00:00Z"}),
        ("call.answered", {**INCOMING, **ANSWERED_AT, "answeredByUserId": "US2"}),
        (
            "call.completed",
            {**INCOMING, **ANSWERED_AT, "status": "answered", "createdAt": "2026-11-02T10:00:00Z"},
        ),
        ("call.recording.completed", {"recordings": []}),
    )
    assert call.agent == "US2"
    missed = call_of(("call.missed", {}))
    assert (None, ("US1",)) == (missed.agent, missed.rang_agents)


def test_whose_number_it_is_made_the_call_and_did_not_take_one() -> None:
    """
    An answer that names nobody was anybody's who shares the number; who calls out is its user.
    """
    assert call_of(("call.answered", {**INCOMING, **ANSWERED_AT})).agent is None
    outgoing: JsonValue = "outgoing"
    call = call_of(("call.answered", {**ANSWERED_AT, "direction": outgoing}))
    assert "US1" == call.agent


@pytest.mark.parametrize(
    ("event_name", "fields", "is_forwarded"),
    [
        ("call.forwarded", {}, True),
        ("call.completed", {"direction": "incoming", "status": "forwarded"}, True),
        ("call.completed", {"direction": "incoming", "status": "missed"}, False),
        ("call.ringing", {"direction": "outgoing", "forwardedTo": "US2"}, False),
    ],
)
def test_forwarding_is_an_event_or_a_status(
    event_name: str, fields: dict[str, JsonValue], is_forwarded: bool
) -> None:
    """Whom Quo's own sample of an outgoing call names as `forwardedTo` says nothing."""
    assert is_forwarded is call_of((event_name, fields)).is_forwarded


def test_voicemail_may_come_first_and_its_text_last() -> None:
    """However the parts of a message come, it is one voicemail with address, length and text."""
    call = call_of(
        (
            "call.voicemail.completed",
            {
                "callId": CALL,
                "direction": "incoming",
                "duration": 17,
                "recordingUrl": None,
                "transcript": None,
            },
        ),
        (
            "call.voicemail.completed",
            {
                "callId": CALL,
                "direction": "incoming",
                "duration": 17,
                "recordingUrl": "https://r.example.test/1",
                "transcript": "Hello.",
            },
        ),
        ("call.missed", {}),
        ("call.completed", {**INCOMING, "status": "unanswered", "hasVoicemail": True}),
    )
    assert call.result is Result.VOICEMAIL_RECEIVED
    assert call.voicemail is not None
    assert ("https://r.example.test/1", 17, "Hello.") == (
        call.voicemail.url,
        call.voicemail.duration_s,
        call.voicemail.transcript,
    )


def test_answered_call_stays_connected_with_a_voicemail() -> None:
    """A voicemail beside an answer takes nothing away from it."""
    completed: tuple[str, dict[str, JsonValue]] = (
        "call.completed",
        {**INCOMING, **ANSWERED_AT, "status": "answered", "hasVoicemail": True},
    )
    assert (
        Result.CONNECTED
        == call_of(completed, ("call.voicemail.completed", {"callId": CALL, **INCOMING})).result
    )


def test_both_generations_make_one_call() -> None:
    """While one generation replaces the other, both report the same call, and agree."""
    events = [
        event
        for name in ("completed__answered", "completed__legacy-answered")
        for event in OPENPHONE.parse(signed("openphone", name), "m1")
    ]
    call = fold(events)
    assert (CALL, Result.CONNECTED, Direction.INBOUND, 137, "US0002") == (
        call.source_call_id,
        call.result,
        call.direction,
        call.duration_s,
        call.agent,
    )


def test_unknown_status_decides_nothing_and_keeps_the_voicemail() -> None:
    """A status that no table lists ends nothing; what else the message holds is kept."""
    events = OPENPHONE.parse(fixture("openphone", "completed__unknown-status"), "m1")
    assert [EventType.UNKNOWN, EventType.VOICEMAIL] == [event.event_type for event in events]
    assert fold(events).result is None


def test_answer_is_200() -> None:
    """Any 2xx confirms to Quo that the message arrived."""
    assert OPENPHONE.reply(fixture("openphone", "ringing__incoming")).status == 200
