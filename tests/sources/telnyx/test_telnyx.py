"""
What is peculiar to Telnyx: its signature, held to Telnyx's own library; what its words mean
together; and the two forms of its messages.
"""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, get_args

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from service.errors import (
    IgnoredEvent,
    InvalidSignature,
    MalformedPayload,
)
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Result,
)
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from service.sources.telnyx.hangup_causes import CAUSES, read_cause
from service.sources.telnyx.signature import check_key, make_seed
from service.sources.telnyx.vocabulary import DETECTION_RESULTS, DIRECTIONS, EVENTS
from tests.sources.cases import Receive, signed
from tests.sources.contract import with_headers
from tests.sources.telnyx.contract import (
    CONTRACT,
    PUBLIC_KEYS,
    SEEDS,
    sign,
)
from workers.calls.fold import Call, fold

TELNYX: Final = SOURCES["telnyx"]
BASE_URL: Final = "https://hooks.example.test"
SEED: Final = f"seed:{base64.b64encode(SEEDS[0]).decode()}"
SESSION: Final = "ses-1"
LINE: Final = "leg-1"
OTHER: Final = "leg-2"
OURS: Final = "+15005550006"
CUSTOMER: Final = "+15005550001"
SOFTPHONE: Final = "sip:alice@sip.telnyx.com"
# Signed with PyNaCl and accepted by Telnyx's own library, version 4.189.0.
TIMESTAMP: Final = "1793613649"
NOW: Final = datetime.fromtimestamp(int(TIMESTAMP), UTC)
FORM_OF_VECTOR: Final = (
    b"AccountSid=f00&CallSid=v3%3AFAKE&CallStatus=busy&CallbackSource=call-progress-events"
    b"&From=%2B15005550006&HangupCause=user_busy&To=%2B15005550001"
)
SIGNATURE_OF_FORM: Final = (
    "z9N+5VVRnpOcIdh4GuGCU+jM0LubUZqht5xO0mJAgpjc+hyhoysjOtSAizUGBuSu6qVKM/Bs445LreIAEDS6Bw=="
)
JSON_OF_VECTOR: Final = (
    b'{"data":{"event_type":"call.hangup","id":"00000000-0000-4000-8000-000000000001",'
    b'"occurred_at":"2026-11-02T10:00:49.000000Z",'
    b'"payload":{"call_control_id":"v3:FAKE","call_leg_id":"leg-1","call_session_id":"ses-1",'
    b'"client_state":"eyJjYWxsX2lkIjoiNDIifQ==","from":"+15005550006",'
    b'"hangup_cause":"user_busy","hangup_source":"callee","sip_hangup_cause":"486",'
    b'"to":"+15005550001"},"record_type":"event"},'
    b'"meta":{"attempt":1,"delivered_to":"https://hooks.example.test/hooks/telnyx"}}'
)
SIGNATURE_OF_JSON: Final = (
    "34lVmGycJLZd2TvjzbZiECdByWSrTAv9Z+WbwqtPur+V41GNbUO3ZJ3WwsReI2AHZ2x40CcE90bpDTqLVOo1BA=="
)


def vector(
    body: bytes = JSON_OF_VECTOR,
    signature: str = SIGNATURE_OF_JSON,
    content_type: str = "application/json",
) -> WebhookRequest:
    headers = {
        "content-type": content_type,
        "telnyx-timestamp": TIMESTAMP,
        "telnyx-signature-ed25519": signature,
    }
    return with_headers(
        WebhookRequest(method="POST", url=f"{BASE_URL}/webhooks/telnyx", body=body), headers
    )


def form_vector() -> WebhookRequest:
    return vector(FORM_OF_VECTOR, SIGNATURE_OF_FORM, "application/x-www-form-urlencoded")


def verify(request: WebhookRequest, *keys: str, after_s: float = 0) -> None:
    TELNYX.verify(request, Secrets(keys or PUBLIC_KEYS[:1]), NOW + timedelta(seconds=after_s))


def is_genuine_to_telnyx(
    request: WebhookRequest, monkeypatch: pytest.MonkeyPatch, *, after_s: int = 0
) -> bool:
    """What Telnyx's own library says of a request."""
    from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature

    monkeypatch.setattr(time, "time", lambda: float(TIMESTAMP) + after_s)
    try:
        verify_webhook_signature(
            request.body,
            {name: values[0] for name, values in request.headers.items()},
            PUBLIC_KEYS[0],
        )
    except WebhookVerificationError:
        return False
    return True


def webhook_request(
    kind: str,
    at_s: float | None = None,
    leg: str = LINE,
    /,
    state: JsonValue = None,
    **payload: JsonValue,
) -> WebhookRequest:
    """An event of Call Control; `state` is what `client_state` holds."""
    encoded = None
    if state is not None:
        encoded = base64.b64encode(json.dumps(state).encode()).decode()
    fields: dict[str, JsonValue] = {
        "call_session_id": SESSION,
        "call_leg_id": leg,
        "client_state": encoded,
        **payload,
    }
    data: dict[str, JsonValue] = {
        "event_type": f"call.{kind}",
        "id": f"{kind}-{leg}-{at_s}",
        "payload": fields,
    }
    if at_s is not None:
        data["occurred_at"] = (NOW + timedelta(seconds=at_s)).isoformat()
    return build_request(
        {"path": "/webhooks/telnyx", "body_json": {"data": data, "meta": {"attempt": 1}}},
        base_url=BASE_URL,
    )


def texml(call_direction: str = "", /, **form: JsonValue) -> WebhookRequest:
    """A callback of TeXML; its address states the direction of the call, if there is one."""
    body: dict[str, JsonValue] = {"CallSid": "v3:FAKE-a", "From": OURS, "To": CUSTOMER, **form}
    query: dict[str, JsonValue] = {}
    if call_direction:
        query["direction"] = call_direction
    return build_request(
        {"path": "/webhooks/telnyx", "query": query, "body_form": body}, base_url=BASE_URL
    )


def events_of(*requests: WebhookRequest) -> list[CallEvent]:
    return [event for request in requests for event in TELNYX.parse(request, "m1")]


def call_of(*requests: WebhookRequest) -> Call:
    """The call that the messages make, which is the same in whatever order they come."""
    calls = {
        fold(events_of(*order)) for order in itertools.islice(itertools.permutations(requests), 120)
    }
    (call,) = calls
    return call


def test_known_signatures_are_accepted() -> None:
    """
    Both forms of messages are proved by the public key, also beside others, and by the seed that it
    is made from.
    """
    for request in (vector(), form_vector()):
        verify(request)
        verify(request, PUBLIC_KEYS[1], PUBLIC_KEYS[0])
        verify(request, "no key", SEED)
        with pytest.raises(InvalidSignature):
            verify(request, PUBLIC_KEYS[1])


def test_telnyxs_own_library_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is accepted here is accepted by the library that Telnyx gives to its customers, and what is
    refused is refused there.
    """
    by_seed = TELNYX.sign(vector(), Secrets((PUBLIC_KEYS[1], SEED)), NOW)
    for request in (vector(), form_vector(), by_seed, sign(form_vector(), PUBLIC_KEYS[0], NOW)):
        for after_s in (-301, -300, 0, 300, 301):
            is_genuine = is_genuine_to_telnyx(request, monkeypatch, after_s=after_s)
            assert is_genuine == (abs(after_s) <= 300)
            if is_genuine:
                verify(request, after_s=after_s)
            else:
                with pytest.raises(InvalidSignature):
                    verify(request, after_s=after_s)
        changed = replace(request, body=request.body + b"\n")
        assert not is_genuine_to_telnyx(changed, monkeypatch)
        with pytest.raises(InvalidSignature):
            verify(changed)
    assert by_seed == vector()


@pytest.mark.parametrize(
    "timestamp",
    [
        f"+{TIMESTAMP}",
        f" {TIMESTAMP}",
        f"0x{int(TIMESTAMP):x}",
        f"{TIMESTAMP}.0",
        TIMESTAMP.translate({digit: digit + 0xFEE0 for digit in range(48, 58)}),
        "",
        "9" * 13,
    ],
)
def test_timestamp_is_whole_seconds(timestamp: str) -> None:
    """
    A number that only some programs would read as one is refused before anything is done with it.
    """
    with pytest.raises(InvalidSignature):
        verify(with_headers(vector(), {"telnyx-timestamp": timestamp}))


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE_OF_JSON.rstrip("="),
        f"{SIGNATURE_OF_JSON}\n",
        SIGNATURE_OF_JSON.replace("+", "-").replace("/", "_"),
        SIGNATURE_OF_JSON.replace("BA==", "BB=="),
        base64.b64encode(base64.b64decode(SIGNATURE_OF_JSON)[:32]).decode(),
        base64.b64encode(base64.b64decode(SIGNATURE_OF_JSON) + b"\0").decode(),
        base64.b64decode(SIGNATURE_OF_JSON).hex(),
    ],
)
def test_other_spellings_of_a_signature_are_refused(signature: str) -> None:
    """Base64 has one spelling, and a signature 64 bytes."""
    with pytest.raises(InvalidSignature):
        verify(with_headers(vector(), {"telnyx-signature-ed25519": signature}))


async def test_only_forms_and_json_are_read(receive: Receive) -> None:
    """Any other type is refused, with a valid signature too."""
    request = with_headers(signed("telnyx", CONTRACT.smallest), {"content-type": "text/plain"})
    assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == await receive(request)


@pytest.mark.parametrize("text", [*PUBLIC_KEYS, SEED, CONTRACT.secrets[1]])
def test_public_keys_and_seeds_can_be_set(text: str) -> None:
    """Both are 32 bytes in base64, a seed has a prefix; one can be generated."""
    assert check_key(text) is None
    assert check_key(make_seed()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seed:",
        "KEY0123456789",
        PUBLIC_KEYS[0].rstrip("="),
        PUBLIC_KEYS[0][4:],
        f"Seed:{PUBLIC_KEYS[0]}",
        SIGNATURE_OF_JSON,
    ],
)
def test_anything_else_cannot_be_set(text: str) -> None:
    """An API key, half a key or a signature is refused before the service starts."""
    assert "base64 of 32" in (check_key(text) or "")


def test_public_key_signs_nothing() -> None:
    """With Telnyx's own key alone no call can be simulated; the error names what to set."""
    with pytest.raises(
        ValueError, match="set TELNYX_PUBLIC_KEY to seed: and the base64 of 32 random bytes"
    ):
        TELNYX.sign(vector(), Secrets(PUBLIC_KEYS), NOW)


def test_signature_of_an_id_is_not_stored() -> None:
    """Telnyx repeats the address in the body; whoever reads a message could aim others with it."""
    address = (
        "https://hooks.example.test/webhooks/telnyx?buildr_call_id=110&buildr_sig=0123456789ab"
    )
    body = json.dumps({"data": {"id": "e1"}, "meta": {"delivered_to": address}}).encode()
    request = WebhookRequest(method="POST", url=BASE_URL, body=body)
    stored_body = TELNYX.redact(request).body
    assert body.replace(b"0123456789ab", b"hidden") == stored_body
    plain_request = replace(request, body=b'{"data": {"id": "e1"}}')
    assert TELNYX.redact(plain_request) is plain_request


def test_event_is_named_after_its_id() -> None:
    """
    Tries, and the failover address, differ in `meta` alone; whatever comes without an id is named
    by its body.
    """
    first = webhook_request("hangup", 1)
    again = replace(
        first,
        body=first.body.replace(b'"attempt":1', b'"attempt":2'),
        url=f"{BASE_URL}/elsewhere?a=1",
    )
    assert again.body != first.body
    assert TELNYX.keys(first) == TELNYX.keys(again)
    nameless = replace(first, body=first.body.replace(b'"id":', b'"ID":'))
    assert TELNYX.keys(nameless).message_key not in {
        TELNYX.keys(first).message_key,
        TELNYX.keys(webhook_request("hangup", 2)).message_key,
    }


def literals(name: str, model: type[BaseModel]) -> Iterator[str]:
    """The values that Telnyx's typed models allow for a field, at any depth."""
    for field_name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from literals(name, kind)
            elif field_name == name:
                yield from (value for value in get_args(kind) if isinstance(value, str))


def models(prefix: str) -> list[type[BaseModel]]:
    from telnyx import types

    return [
        getattr(types, name)
        for name in dir(types)
        if name.startswith(prefix) and name.endswith("WebhookEvent")
    ]


def test_every_event_of_telnyxs_own_models_is_known() -> None:
    """
    Each kind of event that Telnyx's library knows of a call is read or left alone, and none is
    reported as unknown.
    """
    event_names = {
        event_name
        for model in (*models("Call"), *models("Conference"), *models("Streaming"))
        for event_name in literals("event_type", model)
    }
    assert set(EVENTS) <= event_names
    for event_name in sorted(event_names):
        if not event_name.startswith("call."):
            continue
        try:
            events = TELNYX.parse(webhook_request(event_name.removeprefix("call.")), "m1")
        except IgnoredEvent:
            continue
        assert EventType.UNKNOWN not in {event.event_type for event in events}, event_name


def test_every_value_of_telnyxs_own_models_is_known() -> None:
    """The same for the causes, the findings of detection and the directions."""
    assert set(CAUSES) == {
        cause for model in models("CallHangup") for cause in literals("hangup_cause", model)
    }
    assert set(DETECTION_RESULTS) == {
        result for model in models("CallMachine") for result in literals("result", model)
    }
    assert set(DIRECTIONS) == {
        value for model in models("CallInitiated") for value in literals("direction", model)
    }


@pytest.mark.parametrize(
    ("hangup_cause", "sip_code", "cause"),
    [
        ("normal_clearing", "200", HangupCause.COMPLETED),
        ("normal_clearing", "unspecified", None),
        ("normal_clearing", "16", None),
        ("normal_clearing", None, None),
        ("normal_clearing", "503", HangupCause.FAILED),
        ("normal_clearing", "486", HangupCause.BUSY),
        ("unspecified", None, HangupCause.FAILED),
        ("unspecified", "200", HangupCause.COMPLETED),
        ("unspecified", "404", HangupCause.INVALID_NUMBER),
        ("timeout", "487", HangupCause.NO_ANSWER),
        ("call_rejected", "486", HangupCause.REJECTED),
        ("vanished", "603", HangupCause.REJECTED),
        ("vanished", None, None),
        (None, None, None),
    ],
)
def test_sip_code_decides_where_the_cause_does_not(
    hangup_cause: str | None, sip_code: str | None, cause: HangupCause | None
) -> None:
    """`normal_clearing` ends calls that were talked on and calls that no carrier took."""
    assert cause is read_cause(hangup_cause, sip_code)


OUT: Final[dict[str, JsonValue]] = {"direction": "outgoing", "from": OURS, "to": CUSTOMER}
IN: Final[dict[str, JsonValue]] = {"direction": "incoming", "from": CUSTOMER, "to": OURS}
CLEARED: Final[dict[str, JsonValue]] = {
    "hangup_cause": "normal_clearing",
    "sip_hangup_cause": "unspecified",
}


def test_answer_decides_where_the_hangup_does_not_say() -> None:
    """
    A hangup that comes first leaves the call open until it is known whether anybody picked up.
    """
    hangup = webhook_request("hangup", 46, **CLEARED)
    assert call_of(webhook_request("initiated", 0, **OUT), hangup).result is None
    call = call_of(webhook_request("initiated", 0, **OUT), webhook_request("answered", 9), hangup)
    assert (Result.CONNECTED, 37) == (call.result, call.duration_s)


def test_hangup_tells_a_busy_line_once_the_direction_is_known() -> None:
    """
    Where the cause is plain, nothing but the direction is needed, which only `call.initiated`
    holds: a caller's hangup looks the same. The time of dialling is no talk.
    """
    hangup = webhook_request(
        "hangup", 46, hangup_cause="user_busy", start_time=NOW.isoformat(), to=CUSTOMER
    )
    assert call_of(hangup).result is None
    call = call_of(hangup, webhook_request("initiated", 1, **OUT))
    assert (Result.BUSY, 0, NOW) == (call.result, call.duration_s, call.started_at)


def test_leg_whose_beginning_is_missing_keeps_its_place() -> None:
    """
    `start_time` of a hangup puts the leg of the agent, who was called first, before that of the
    customer, even where the event that holds the direction tells no time.
    """
    rep: dict[str, JsonValue] = {"from": OURS, "to": "+15005550008", "start_time": NOW.isoformat()}
    call = call_of(
        webhook_request(
            "hangup", 114, hangup_cause="normal_clearing", sip_hangup_cause="200", **rep
        ),
        webhook_request("initiated", None, direction="outgoing"),
        webhook_request("initiated", 6, OTHER, **OUT),
        webhook_request("answered", 18, OTHER),
        webhook_request(
            "hangup", 113, OTHER, hangup_cause="normal_clearing", sip_hangup_cause="200"
        ),
    )
    assert (Result.CONNECTED, CUSTOMER, 95) == (call.result, call.to_number, call.duration_s)


def test_agent_who_did_not_pick_up_decides_for_a_customer_who_was_never_called() -> None:
    """Click to call: the rep's own leg, marked as an agent's, ended unanswered."""
    state: JsonValue = {"buildr_call_id": "110", "party": "agent"}
    call = call_of(
        webhook_request("initiated", 0, state=state, **{**OUT, "to": "+15005550008"}),
        webhook_request("hangup", 30, hangup_cause="timeout", state=state),
    )
    assert (Result.NO_ANSWER, "110") == (call.result, call.buildr_call_id)


def test_leg_marked_as_an_agents_is_never_the_customers() -> None:
    """
    A customer who is transferred to a colleague's telephone was reached, whatever becomes of the
    colleague's leg.
    """
    agent: JsonValue = {"party": "agent"}
    requests = [
        webhook_request("initiated", 0, **OUT),
        webhook_request("answered", 9),
        webhook_request("initiated", 20, OTHER, state=agent, **{**OUT, "to": "+15005550008"}),
        webhook_request("hangup", 50, OTHER, state=agent, hangup_cause="timeout"),
        webhook_request("hangup", 60, hangup_cause="normal_clearing", sip_hangup_cause="200"),
    ]
    call = call_of(*requests)
    assert (Result.CONNECTED, CUSTOMER, 51) == (call.result, call.to_number, call.duration_s)


def test_unanswered_caller_who_is_joined_with_an_agent_was_taken() -> None:
    """
    A transfer of a call that the application did not answer: of the caller's leg only
    `call.bridged` is reported.
    """
    call = call_of(
        webhook_request("initiated", 0, **IN),
        webhook_request(
            "initiated", 1, OTHER, **{"direction": "outgoing", "from": CUSTOMER, "to": SOFTPHONE}
        ),
        webhook_request("answered", 8, OTHER),
        webhook_request("bridged", 8),
        webhook_request("hangup", 60, **CLEARED),
    )
    assert (Result.CONNECTED, CUSTOMER, "alice", 52) == (
        call.result,
        call.from_number,
        call.agent,
        call.duration_s,
    )


def test_caller_who_was_never_answered_is_abandoned() -> None:
    """The caller hung up while the application still thought about it."""
    call = call_of(
        webhook_request("initiated", 0, **IN),
        webhook_request("hangup", 8, hangup_cause="originator_cancel", sip_hangup_cause="487"),
    )
    assert (Result.ABANDONED, 0) == (call.result, call.duration_s)


def test_recording_of_a_talk_is_no_voicemail() -> None:
    """
    Only a recording that `client_state` names a voicemail is one; and one that was taken before an
    agent took the call loses to that.
    """
    caller = [
        webhook_request("initiated", 0, **IN),
        webhook_request("answered", 1),
        webhook_request("hangup", 40, **CLEARED),
    ]
    saved = webhook_request(
        "recording.saved", 50, recording_urls={"mp3": "https://recordings.example.test/a.mp3"}
    )
    marked = webhook_request(
        "recording.saved",
        50,
        state={"record": "voicemail"},
        recording_urls={"mp3": "https://recordings.example.test/a.mp3"},
    )
    text = webhook_request(
        "recording.transcription.saved",
        55,
        state={"record": "voicemail"},
        transcription_text="Call me back.",
    )
    assert Result.ABANDONED is call_of(*caller, saved).result
    left = call_of(*caller, marked, text)
    assert left.voicemail is not None
    assert (Result.VOICEMAIL_RECEIVED, "Call me back.") == (left.result, left.voicemail.transcript)
    assert Result.CONNECTED is call_of(*caller, marked, webhook_request("bridged", 30)).result


def test_screening_is_followed_by_a_person_or_a_machine() -> None:
    """
    A telephone that asks for the caller's name first is neither; what detection finds afterwards
    counts.
    """
    before = [
        webhook_request("initiated", 0, **OUT),
        webhook_request("answered", 5),
        webhook_request("hangup", 60, hangup_cause="normal_clearing", sip_hangup_cause="200"),
    ]
    screened = webhook_request("machine.premium.call_screening.detected", 8, result="screening")
    assert call_of(*before, screened).answered_by is None
    for result, answered_by in (
        ("human_residence", AnsweredBy.HUMAN),
        ("machine", AnsweredBy.MACHINE),
    ):
        detected = webhook_request("machine.premium.detection.ended", 20, result=result)
        assert answered_by is call_of(*before, screened, detected).answered_by


def test_beep_outweighs_a_detection_that_was_not_sure() -> None:
    """People do not beep."""
    call = call_of(
        webhook_request("initiated", 0, **OUT),
        webhook_request("machine.detection.ended", 9, result="not_sure"),
        webhook_request("machine.greeting.ended", 19, result="beep_detected"),
        webhook_request("hangup", 30, hangup_cause="normal_clearing", sip_hangup_cause="200"),
    )
    assert (Result.LEFT_VOICEMAIL, AnsweredBy.MACHINE) == (call.result, call.answered_by)


@pytest.mark.parametrize(
    "state",
    [
        "",
        "=",
        "[]",
        "null",
        "e30=",
        "eyJwYXJ0eSI6",
        base64.b64encode(b'{"party": ["agent"]}').decode(),
        "A" * 10_000,
        "é",
    ],
)
def test_client_state_of_somebody_else_does_no_harm(state: str) -> None:
    """It is base64 of anything, and other programs use it too."""
    (event,) = TELNYX.parse(webhook_request("answered", 9, client_state=state), "m1")
    assert (None, None, EventType.ANSWERED) == (event.buildr_call_id, event.party, event.event_type)


@pytest.mark.parametrize(
    ("address", "agent"),
    [
        ("sip:alice@sip.telnyx.com", "alice"),
        ("alice@SIP.telnyx.eu:5060", "alice"),
        ("sip:alice@acme.sip.telnyx.com.au;transport=tls", "alice"),
        ("sip:alice@sip.telnyx.com.example.com", None),
        ("sip:alice@notsip.telnyx.com", None),
        ("sip:@sip.telnyx.ca", None),
        (CUSTOMER, None),
    ],
)
def test_user_of_a_telephone_at_telnyx_is_the_agent(address: str, agent: str | None) -> None:
    """In each of Telnyx's regions, and nowhere else."""
    (event,) = TELNYX.parse(webhook_request("answered", 9, to=address), "m1")
    assert agent == event.agent


def test_version_1_is_refused_by_name() -> None:
    """The older form has no `data`; what to change is shown where the message is listed."""
    old = build_request(
        {
            "path": "/",
            "body_json": {"event_type": "call_hangup", "payload": {"call_session_id": SESSION}},
        },
        base_url=BASE_URL,
    )
    for read in (TELNYX.keys, lambda request: TELNYX.parse(request, "m1")):
        with pytest.raises(
            MalformedPayload, match="set the application's webhook API version to 2"
        ):
            read(old)


def test_texml_gets_a_document_and_json_nothing() -> None:
    """
    Some addresses of TeXML ask what to do next; with an empty document the call ends or goes on as
    it would.
    """
    assert (200, "text/xml") == (
        TELNYX.reply(texml(CallStatus="busy")).status,
        TELNYX.reply(texml(CallStatus="busy")).content_type,
    )
    assert (200, b"") == (TELNYX.reply(vector()).status, TELNYX.reply(vector()).body)


@pytest.mark.parametrize(
    ("status", "more", "result", "duration_s"),
    [
        ("completed", {"CallDuration": "37"}, Result.CONNECTED, 37),
        (
            "completed",
            {"AnsweredTime": "2026-11-02T10:00:09Z", "EndTime": "2026-11-02T10:00:46Z"},
            Result.CONNECTED,
            37,
        ),
        (
            "completed",
            {"HangupCause": "normal_clearing", "SipHangupCause": "503"},
            Result.FAILED,
            0,
        ),
        (
            "completed",
            {"CallDuration": "20", "AnsweredBy": "machine_end_beep"},
            Result.LEFT_VOICEMAIL,
            20,
        ),
        ("busy", {}, Result.BUSY, 0),
        ("no-answer", {"HangupCause": "call_rejected"}, Result.REJECTED, 0),
        ("no-answer", {"HangupCause": "originator_cancel"}, Result.NO_ANSWER, 0),
        (
            "no-answer",
            {"HangupCause": "normal_clearing", "SipHangupCause": "487"},
            Result.NO_ANSWER,
            0,
        ),
        ("busy", {"HangupCause": "unspecified", "SipHangupCause": "480"}, Result.BUSY, 0),
        ("busy", {"HangupCause": "not_found"}, Result.INVALID_NUMBER, 0),
        ("failed", {"HangupCause": "originator_cancel"}, Result.CANCELLED, 0),
        ("failed", {"HangupCause": "not_found"}, Result.INVALID_NUMBER, 0),
        ("failed", {"HangupCause": "unspecified"}, Result.FAILED, 0),
        ("canceled", {"HangupCause": "originator_cancel"}, Result.CANCELLED, 0),
    ],
)
def test_texml_tells_how_a_call_ended(
    status: str, more: dict[str, JsonValue], result: Result, duration_s: int
) -> None:
    """The last status callback of an outbound call is enough."""
    call = call_of(
        texml("outbound", CallStatus="initiated", Timestamp="2026-11-02T10:00:00Z"),
        texml("outbound", CallStatus=status, **more),
    )
    assert (result, duration_s, CUSTOMER) == (call.result, call.duration_s, call.to_number)


def test_texml_click_to_call() -> None:
    """The rep is called first; `<Dial>` then calls the customer, and that leg names its parent."""
    dialled: dict[str, JsonValue] = {"CallSid": "v3:FAKE-b", "ParentCallSid": "v3:FAKE-a"}
    call = call_of(
        texml("outbound", CallStatus="in-progress", To="+15005550008"),
        texml(CallStatus="in-progress", Timestamp="2026-11-02T10:00:18Z", **dialled),
        texml(CallStatus="completed", CallDuration="95", **dialled),
        texml("outbound", CallStatus="completed", CallDuration="109", To="+15005550008"),
    )
    assert (Result.CONNECTED, CUSTOMER, 95, "v3:FAKE-a") == (
        call.result,
        call.to_number,
        call.duration_s,
        call.source_call_id,
    )


def test_texml_inbound_call() -> None:
    """
    Where a callback or its address tells the direction, the dialled leg tells whether an agent took
    the call, which goes on when a dialled telephone was not picked up.
    """
    caller: dict[str, JsonValue] = {"Direction": "inbound", "From": CUSTOMER, "To": OURS}
    dialled: dict[str, JsonValue] = {
        "CallSid": "v3:FAKE-b",
        "ParentCallSid": "v3:FAKE-a",
        "To": "alice@sip.telnyx.com",
    }
    end = texml(CallStatus="completed", CallDuration="60", **caller)
    taken = call_of(texml(CallStatus="completed", CallDuration="50", **dialled), end)
    assert (Result.CONNECTED, "alice", CUSTOMER) == (taken.result, taken.agent, taken.from_number)
    assert Result.MISSED_INBOUND is call_of(texml(CallStatus="no-answer", **dialled), end).result
    assert Result.ABANDONED is call_of(end).result
    rung = texml("inbound", CallStatus="no-answer", **{**dialled, "To": "+15005550008"})
    assert call_of(rung).result is None
    over = texml("inbound", CallStatus="completed", CallDuration="60", From=CUSTOMER, To=OURS)
    assert Result.MISSED_INBOUND is call_of(rung, over).result


def test_dial_action_of_texml_tells_the_numbers_of_the_leg_that_dialled() -> None:
    """Its addresses, and its direction where there is one, are those of the first leg."""
    action = texml(
        "inbound", DialCallStatus="busy", DialCallSid="v3:FAKE-b", From=CUSTOMER, To=OURS
    )
    first, dialled = events_of(action)
    assert ("v3:FAKE-a", Direction.INBOUND, CUSTOMER, OURS) == (
        first.leg_id,
        first.direction,
        first.from_number,
        first.to_number,
    )
    assert ("v3:FAKE-b", "v3:FAKE-a", HangupCause.BUSY, None) == (
        dialled.leg_id,
        dialled.parent_leg_id,
        dialled.hangup_cause,
        dialled.to_number,
    )
    assert call_of(action).result is None


def test_member_of_a_texml_conference_belongs_to_the_call_that_it_is_named_after() -> None:
    """A name that is a `CallSid` puts the others into that call, as agents; no other name does."""

    def member(sid: str, name: str) -> CallEvent:
        (event,) = events_of(
            texml(
                CallSid=sid,
                StatusCallbackEvent="participant-join",
                ConferenceSid="conf-1",
                FriendlyName=name,
            )
        )
        return event

    assert ("v3:FAKE-a", None, None) == belongs(member("v3:FAKE-a", "v3:FAKE-a"))
    assert ("v3:FAKE-a", "v3:FAKE-a", Party.AGENT) == belongs(member("v3:FAKE-b", "v3:FAKE-a"))
    assert ("v3:FAKE-b", None, None) == belongs(member("v3:FAKE-b", "support"))


def belongs(event: CallEvent) -> tuple[str, str | None, Party | None]:
    """The call of an event, the leg that dialled its leg, and the role of that leg."""
    return event.source_call_id, event.parent_leg_id, event.party


def test_state_in_the_event_of_a_conference_is_its_owners() -> None:
    """
    It neither makes a customer's leg an agent's nor names the Buildr call: Telnyx sends that of the
    leg which owns the conference.
    """
    state: JsonValue = {"party": "agent", "buildr_call_id": "110"}
    joined = build_request(
        {
            "path": "/webhooks/telnyx",
            "body_json": {
                "data": {
                    "event_type": "conference.participant.joined",
                    "payload": {
                        "call_session_id": SESSION,
                        "call_leg_id": LINE,
                        "conference_id": "conf-1",
                        "client_state": base64.b64encode(json.dumps(state).encode()).decode(),
                    },
                }
            },
        },
        base_url=BASE_URL,
    )
    (event,) = events_of(joined)
    assert (EventType.JOINED, "conf-1", None, None) == (
        event.event_type,
        event.conference_id,
        event.party,
        event.buildr_call_id,
    )
    caller = (
        webhook_request("initiated", 0, **IN),
        webhook_request("answered", 1),
        webhook_request("hangup", 60, **CLEARED),
    )
    assert Result.ABANDONED is call_of(*caller).result
    assert call_of(*caller, joined).result is None


def test_caller_who_waits_is_in_a_queue() -> None:
    """The queue's name is a fact of the call; that alone decides nothing."""
    (event,) = events_of(webhook_request("enqueued", 5, queue="support", current_position=1))
    assert (EventType.UPDATED, "support") == (event.event_type, event.queue)


@pytest.mark.parametrize(
    ("direction", "source", "party"),
    [
        ("inbound", "caller", Party.CUSTOMER),
        ("inbound", "callee", Party.AGENT),
        ("inbound", "unknown", None),
        ("outbound", "callee", None),
        ("", "caller", None),
    ],
)
def test_who_hung_up_is_known_of_a_caller(direction: str, source: str, party: Party | None) -> None:
    """
    Telnyx names a side of the leg. Without a direction it is not known which is the customer; nor
    is it of an outbound call, whose first leg may be the rep's.
    """
    assert (
        party
        is events_of(texml(direction, CallStatus="completed", HangupSource=source))[-1].hung_up_by
    )
    dialled = texml(
        direction, CallStatus="completed", HangupSource=source, ParentCallSid="v3:FAKE-c"
    )
    assert events_of(dialled)[-1].hung_up_by is None
