"""
What is peculiar to Zoom Phone: vectors of its own SDK, the validation of the address, and how many
ends make one call.
"""

import functools
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    Party,
    Result,
)
from service.sources import SOURCES, WebhookRequest
from service.sources.common.fields import MOST_SECONDS
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from service.sources.zoom.call_endings import LIVE_TALK, RECORDED_TALK, TAKEN_ELSEWHERE
from service.sources.zoom.vocabulary import RECORDS, RESULT_PHRASES
from tests.sources.cases import values_of
from tests.sources.contract import with_headers
from tests.sources.zoom.contract import CONTRACT, hex_mac, sign
from workers.calls.basis import Reason
from workers.calls.fold import Call, fold

Fields = dict[str, JsonValue]
ZOOM: Final = SOURCES["zoom"]
BASE_URL: Final = "https://hooks.example.test"
CALL: Final = "7412000000000000001"
CUSTOMER: Final = "+15005550001"
SECRET, OTHER_SECRET = CONTRACT.secrets
# Worked out with Zoom's own SDK, @zoom/rivet 0.3.0.
SIGNED_AT: Final = "1772442930"
NOW: Final = datetime.fromtimestamp(int(SIGNED_AT), UTC)
BODY_OF_VECTOR: Final = (
    b'{"event":"phone.callee_missed","event_ts":1772442929500,"payload":{"account_id":"ACCT0",'
    b'"object":{"call_id":"7001","handup_result":"No Answer"}}}'
)
SIGNATURE_OF_VECTOR: Final = "v0=86d5243fb94dba44c07afdc5020e436b4a9326ddf1ac9cc61b0c7a6b80ba10f7"
PLAIN_OF_VECTOR: Final = "abc123XYZ"
ENCRYPTED_OF_VECTOR: Final = "1680e32bb2fc7b790396d9444819a7071e02ca684ad21bc6f3ea4be84370b4d8"
HEADERS: Final = {"content-type": ("application/json",)}
QUEUE: Final[Fields] = {
    "name": "Example Queue",
    "extension_type": "callQueue",
    "extension_number": "900",
}


def post(body: bytes) -> WebhookRequest:
    return WebhookRequest(
        method="POST", url=f"{BASE_URL}/webhooks/zoom", headers=HEADERS, body=body
    )


def post_json(body: JsonValue) -> WebhookRequest:
    return post(json.dumps(body).encode())


def vector(**headers: str) -> WebhookRequest:
    return with_headers(
        post(BODY_OF_VECTOR),
        {"x-zm-signature": SIGNATURE_OF_VECTOR, "x-zm-request-timestamp": SIGNED_AT, **headers},
    )


def question(
    plain: JsonValue = PLAIN_OF_VECTOR, *, secret: str = SECRET, at: datetime = NOW
) -> WebhookRequest:
    body: Fields = {
        "payload": {"plainToken": plain},
        "event_ts": 1772442929500,
        "event": "endpoint.url_validation",
    }
    return sign(post_json(body), secret, at)


def message(event: str, data: Fields) -> WebhookRequest:
    return build_request(
        {
            "body_json": {
                "event": f"phone.{event}",
                "event_ts": 1793613900000,
                "payload": {"account_id": "A", "object": data},
            }
        },
        base_url=BASE_URL,
    )


def parse(event: str, **fields: JsonValue) -> list[CallEvent]:
    return ZOOM.parse(message(event, {"call_id": CALL, **fields}), "m1")


def member(number: int) -> Fields:
    return {
        "extension_id": f"ext{number}",
        "extension_type": "user",
        "extension_number": 800 + number,
        "user_id": f"user{number}",
    }


def live(event: str, number: int = 1, /, at_s: int = 30, **fields: JsonValue) -> list[CallEvent]:
    """A live message about the telephone of one of ours that a customer calls."""
    caller: Fields = {"phone_number": CUSTOMER, "extension_type": "pstn"}
    return parse(
        event,
        caller=caller,
        callee=member(number),
        ringing_start_time=moment(0),
        call_end_time=moment(at_s),
        forwarded_by=QUEUE,
        **fields,
    )


def record(number: int = 1, /, side: str = "callee", **fields: JsonValue) -> list[CallEvent]:
    """A record of the third version."""
    other_side = {"caller": "callee", "callee": "caller"}[side]
    element: Fields = {
        "call_id": CALL,
        "connect_type": "external",
        f"{side}_ext_id": f"ext{number}",
        f"{side}_ext_type": "user",
        f"{side}_ext_number": str(800 + number),
        f"{side}_email": f"{number}@example.com",
        f"{other_side}_did_number": CUSTOMER,
        f"{other_side}_number_type": "external_pstn",
        "start_time": moment(0),
        "end_time": moment(30),
        **fields,
    }
    return parse(f"{side}_call_element_completed", call_elements=[element])


def moment(seconds: int) -> str:
    at = datetime(2026, 11, 2, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def in_any_order(*messages: list[CallEvent]) -> Call:
    """The call that some messages make, which is the same in every order."""
    calls = [fold(itertools.chain(*order)) for order in itertools.permutations(messages)]
    assert all(call == calls[0] for call in calls)
    return calls[0]


def test_signature_of_zooms_own_sdk_is_accepted() -> None:
    """The vector is genuine with any of several secrets, and the kit signs it the same."""
    ZOOM.verify(vector(), Secrets((SECRET,)), NOW)
    ZOOM.verify(vector(), Secrets((OTHER_SECRET, SECRET)), NOW)
    assert sign(post(BODY_OF_VECTOR), SECRET, NOW).headers == vector().headers
    assert ZOOM.sign(post(BODY_OF_VECTOR), Secrets((SECRET,)), NOW).headers == vector().headers


@pytest.mark.parametrize(
    "text",
    [
        SIGNATURE_OF_VECTOR.upper(),
        SIGNATURE_OF_VECTOR.replace("v0=", ""),
        SIGNATURE_OF_VECTOR.replace("v0=", "v1="),
        SIGNATURE_OF_VECTOR.replace("a", "A", 1),
        f"{SIGNATURE_OF_VECTOR} ",
        f"{SIGNATURE_OF_VECTOR}\n",
        f"{SIGNATURE_OF_VECTOR},{SIGNATURE_OF_VECTOR}",
        SIGNATURE_OF_VECTOR[:-2],
        "v0=",
    ],
)
def test_other_spellings_of_a_signature_are_refused(text: str) -> None:
    """A signature has one spelling."""
    with pytest.raises(InvalidSignature, match="64 lower-case"):
        ZOOM.verify(vector(**{"x-zm-signature": text}), Secrets((SECRET,)), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "0x69a5562",
        "+1772442930",
        " 1772442930",
        "1772442930.0",
        "-1772442930",
        "17724429301772",
        "١٧٧٢٤٤٢٩٣٠",
    ],
)
def test_time_that_is_none_is_refused(text: str) -> None:
    """The time is written in digits; anything else is refused even if it were signed."""
    signature = "v0=" + hex_mac(SECRET, b"v0:" + text.encode() + b":" + BODY_OF_VECTOR)
    with pytest.raises(InvalidSignature, match="no time"):
        ZOOM.verify(
            vector(**{"x-zm-request-timestamp": text, "x-zm-signature": signature}),
            Secrets((SECRET,)),
            NOW,
        )


@pytest.mark.parametrize(
    ("after_s", "is_genuine"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)]
)
def test_time_in_milliseconds_is_understood(after_s: int, is_genuine: bool) -> None:
    """Zoom sends seconds; were they ever milliseconds, the window would be the same."""
    text = f"{SIGNED_AT}000"
    signature = "v0=" + hex_mac(SECRET, b"v0:" + text.encode() + b":" + BODY_OF_VECTOR)
    request = vector(**{"x-zm-request-timestamp": text, "x-zm-signature": signature})
    if is_genuine:
        ZOOM.verify(request, Secrets((SECRET,)), NOW + timedelta(seconds=after_s))
        return
    with pytest.raises(InvalidSignature, match=f"{after_s} s away"):
        ZOOM.verify(request, Secrets((SECRET,)), NOW + timedelta(seconds=after_s))


def test_time_is_signed_as_it_is_written() -> None:
    """A time of another spelling is another text, so that its signature does not fit."""
    with pytest.raises(InvalidSignature, match="no secret token"):
        ZOOM.verify(vector(**{"x-zm-request-timestamp": f"0{SIGNED_AT}"}), Secrets((SECRET,)), NOW)


def test_validation_is_answered_as_by_zooms_own_sdk() -> None:
    """The answer is the plain token and its HMAC, as JSON with status 200."""
    reply = ZOOM.handshake(question(), Secrets((SECRET,)), NOW)
    assert reply is not None
    assert (200, "application/json") == (reply.status, reply.content_type)
    assert {"plainToken": PLAIN_OF_VECTOR, "encryptedToken": ENCRYPTED_OF_VECTOR} == json.loads(
        reply.body
    )


@pytest.mark.parametrize("secret", CONTRACT.secrets)
def test_validation_is_answered_with_the_secret_that_signed_it(secret: str) -> None:
    """While the token is replaced, the app that asks must get an answer that it can check."""
    for secrets in (CONTRACT.secrets, CONTRACT.secrets[::-1]):
        reply = ZOOM.handshake(question(secret=secret), Secrets(secrets), NOW)
        assert reply is not None
        assert json.loads(reply.body)["encryptedToken"] == hex_mac(secret, PLAIN_OF_VECTOR.encode())


def test_validation_must_be_proved() -> None:
    """
    Nobody but Zoom has anything signed here: not unsigned, with another secret, late, or with a
    changed token.
    """
    proved = question()
    changed = replace(proved, body=proved.body.replace(b"abc123XYZ", b"abc123XYz"))
    unsigned = replace(proved, headers=HEADERS)
    for request in (
        unsigned,
        changed,
        question(secret="another"),
        question(at=NOW - timedelta(seconds=301)),
    ):
        with pytest.raises(InvalidSignature):
            ZOOM.handshake(request, Secrets((SECRET,)), NOW)


@pytest.mark.parametrize(
    "plain",
    [
        None,
        "",
        "x" * 257,
        7,
        ["a"],
        {"a": "b"},
        "with blank",
        "new\nline",
        "é",
        'v0:1772442930:{"event":"x"}',
    ],
)
def test_validation_of_anything_but_a_token_is_refused(plain: JsonValue) -> None:
    """What is signed here can never be the text of a message, which begins with `v0:`."""
    with pytest.raises(InvalidSignature, match="plainToken"):
        ZOOM.handshake(question(plain), Secrets((SECRET,)), NOW)


@pytest.mark.parametrize("plain", ["qgg8vlvZRS6UYooatFL8Aw", "a+/b==", "a-_.~", "x" * 256])
def test_validation_of_any_token_is_answered(plain: str) -> None:
    """Both alphabets of base64, and anything that goes unchanged into a URL."""
    assert ZOOM.handshake(question(plain), Secrets((SECRET,)), NOW) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"endpoint.url_validation"',
        b'["endpoint.url_validation"]',
        b'{"event":"x","a":"endpoint.url_validation"}',
    ],
)
def test_message_that_only_names_the_validation_is_none(body: bytes) -> None:
    """A genuine message that holds the word goes the way of all messages."""
    assert ZOOM.handshake(sign(post(body), SECRET, NOW), Secrets((SECRET,)), NOW) is None
    assert ZOOM.handshake(vector(), Secrets((SECRET,)), NOW) is None


def test_message_that_is_sent_twice_counts_once() -> None:
    """
    The same from two subscriptions of an app, its fields in another order, is one message; at
    another time it is another.
    """
    one: Fields = {
        "event": "phone.caller_ended",
        "event_ts": 1,
        "payload": {"account_id": "A", "object": {"call_id": CALL}},
    }
    same: Fields = {
        "payload": {"object": {"call_id": CALL}, "account_id": "A"},
        "event_ts": 1,
        "event": "phone.caller_ended",
    }
    assert ZOOM.keys(post_json(one)) == ZOOM.keys(post_json(same))
    assert ZOOM.keys(post_json(one)) != ZOOM.keys(post_json({**one, "event_ts": 2}))


def test_call_id_stays_the_text_of_its_digits() -> None:
    """
    19 digits are more than a number of many programs holds; as a number or a text they are the same
    id.
    """
    template = (
        '{"event":"phone.caller_ended","event_ts":1,'
        '"payload":{"object":{"call_id":%s,"big":123456789012345678901234567890}}}'
    )
    for text in (f'"{CALL}"', CALL):
        request = post((template % text).encode())
        assert ZOOM.keys(request).source_call_id == CALL
        assert {CALL} == {event.source_call_id for event in ZOOM.parse(request, "m1")}


@pytest.mark.parametrize(
    "event",
    [
        "endpoint.url_validation",
        "meeting.started",
        "phone.sms_received",
        "phone.warm_transfer_completed",
    ],
)
def test_what_is_not_wanted_is_ignored_without_a_call(event: str) -> None:
    """It need not name a call."""
    for read in (ZOOM.keys, lambda request: ZOOM.parse(request, "m1")):
        with pytest.raises(IgnoredEvent):
            read(post_json({"event": event, "payload": {}}))


def test_every_phrase_has_a_fixture() -> None:
    """Live messages and the first version have these in two fields."""
    assert set(RESULT_PHRASES) <= values_of("zoom", "handup_result") | values_of("zoom", "result")


def test_ranks_leave_room_for_any_duration() -> None:
    """
    No talk, however long, gets from a live message into the range of records, and none falls below
    a colleague's.
    """
    assert TAKEN_ELSEWHERE < LIVE_TALK
    assert LIVE_TALK + MOST_SECONDS <= RECORDED_TALK


def test_member_of_a_queue_who_misses_a_call_decides_nothing() -> None:
    """
    Not even if all that are known of have missed it: another may be rung next, or the caller still
    wait.
    """
    call = in_any_order(
        live("callee_ringing", 1),
        live("callee_missed", 1),
        live("callee_missed", 2),
        live("callee_rejected", 3),
    )
    assert (None, False, Direction.INBOUND, CUSTOMER) == (
        call.result,
        call.is_final,
        call.direction,
        call.from_number,
    )


def test_queue_in_which_nobody_answers_is_missed() -> None:
    """The records of its members say so."""
    call = in_any_order(
        live("callee_missed", 1),
        live("callee_missed", 2),
        record(1, result="ring_timeout"),
        record(2, result="no_answer"),
    )
    assert (Result.MISSED_INBOUND, 0) == (call.result, call.duration_s)


def test_queue_in_which_one_answers_is_answered() -> None:
    """Whatever became of the others' telephones, and whenever that is reported."""
    call = in_any_order(
        live("callee_missed", 1, handup_result="No Answer"),
        record(1, event="ring_to_member", result="no_answer", end_time=moment(900)),
        record(
            2,
            event="ring_to_member",
            result="answered",
            answer_time=moment(9),
            end_time=moment(146),
            talk_time=137,
        ),
        record(3, event="ring_to_member", result="rejected", end_time=moment(5)),
    )
    assert (Result.CONNECTED, 137, "2@example.com") == (call.result, call.duration_s, call.agent)
    assert call.answered_at == datetime(2026, 11, 2, 10, 0, 9, tzinfo=UTC)


def test_caller_whose_number_is_blocked_is_turned_away_and_not_missed() -> None:
    """A telephone of a queue that blocks the number decides nothing for the others."""
    blocked = record(1, event="incoming", result="system_blocked")
    assert Result.REJECTED is in_any_order(blocked).result
    member = record(1, event="ring_to_member", result="system_blocked")
    assert Result.MISSED_INBOUND is in_any_order(member).result


@pytest.mark.parametrize("reason", ["answered_by_other", "pickup_by_other", "call_out_by_other"])
@pytest.mark.parametrize("result", ["answered", "no_answer", "canceled", "hang_up"])
def test_call_that_a_colleague_took_is_no_miss(reason: str, result: str) -> None:
    """
    It was answered, even if the colleague's own record never comes; if it does, that says who it
    was and how long they talked.
    """
    other = record(1, event="ring_to_member", result=result, result_reason=reason, talk_time=0)
    missed = record(3, event="ring_to_member", result="ring_timeout", end_time=moment(900))
    call = in_any_order(other, missed)
    assert (Result.CONNECTED, None) == (call.result, call.duration_s)
    call = in_any_order(
        other, missed, record(2, result="answered", answer_time=moment(9), talk_time=21)
    )
    assert (Result.CONNECTED, 21, "2@example.com") == (call.result, call.duration_s, call.agent)


def test_talks_of_a_call_that_was_passed_on_add_up() -> None:
    """
    A call that was put through has a record of each part, and its agent is who talked last.
    """
    parts = [
        record(
            number, result="answered", answer_time=moment(at), end_time=moment(at + s), talk_time=s
        )
        for number, at, s in ((1, 5, 20), (2, 30, 120), (3, 160, 60))
    ]
    call = in_any_order(
        *parts, record(4, event="direct_transfer", result="no_answer", end_time=moment(900))
    )
    assert (Result.CONNECTED, 200, "3@example.com") == (call.result, call.duration_s, call.agent)


def test_record_counts_before_what_was_reported_live() -> None:
    """
    Live times hold waiting and hold, so that the record's seconds of talk are the better ones even
    if they are fewer.
    """
    call = in_any_order(
        live("callee_ended", 1, at_s=100, answer_start_time=moment(10)),
        record(1, result="answered", answer_time=moment(10), talk_time=70),
    )
    assert (Result.CONNECTED, 70) == (call.result, call.duration_s)


def test_late_miss_never_lowers_a_call_that_was_answered() -> None:
    """Talk that was reported live stays, whatever record says that a telephone was not answered."""
    call = in_any_order(
        live("callee_ended", 1, at_s=100, answer_start_time=moment(10)),
        record(2, result="no_answer", end_time=moment(900)),
        parse(
            "voicemail_received",
            caller_number="15005550001",
            caller_number_type=2,
            date_time=moment(950),
        ),
    )
    assert (Result.CONNECTED, 90) == (call.result, call.duration_s)


def test_caller_who_gives_up_has_abandoned_the_call() -> None:
    """Unless a telephone had rung out before."""
    gone = record(1, result="hang_up", talk_time=0)
    assert (
        Result.ABANDONED
        is in_any_order(gone, live("callee_missed", 1, handup_result="Call Cancel")).result
    )
    assert (
        Result.MISSED_INBOUND
        is in_any_order(gone, record(2, result="ring_timeout", end_time=moment(20))).result
    )


def test_voicemail_is_received_only_where_a_message_was_left() -> None:
    """That the box picked up is not enough; the message itself is, without any record."""
    assert Result.MISSED_INBOUND is fold(record(result="voicemail", talk_time=3)).result
    assert Result.VOICEMAIL_RECEIVED is fold(record(result="voicemail", voicemail_id="v1")).result
    fields: Fields = {
        "caller_number": "15005550001",
        "caller_number_type": 2,
        "date_time": moment(40),
        "id": "v1",
    }
    left = parse("voicemail_received", download_url="https://example.com/v1", duration=12, **fields)
    transcript = parse(
        "voicemail_transcript_completed", transcription={"content": "Hello.", "status": 1}, **fields
    )
    call = in_any_order(left, transcript, record(result="voicemail", talk_time=3))
    assert (Result.VOICEMAIL_RECEIVED, CUSTOMER) == (call.result, call.from_number)
    assert call.voicemail is not None
    assert ("https://example.com/v1", 12, "Hello.") == (
        call.voicemail.url,
        call.voicemail.duration_s,
        call.voicemail.transcript,
    )


def test_voicemail_box_of_the_customer_is_a_message_left() -> None:
    """Outbound, the box that picks up is the customer's."""
    call = fold(record(side="caller", result="voicemail", answer_time=moment(9), talk_time=21))
    assert (Result.LEFT_VOICEMAIL, AnsweredBy.MACHINE, 21) == (
        call.result,
        call.answered_by,
        call.duration_s,
    )


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"answer_start_time": moment(5)}, Result.CONNECTED),
        ({"answer_start_time": moment(5), "handup_result": "Call Cancel"}, Result.CONNECTED),
        ({"answer_start_time": moment(5), "handup_result": "Voicemail"}, Result.LEFT_VOICEMAIL),
        ({"handup_result": "Call Cancel"}, Result.CANCELLED),
        ({"handup_result": "No Answer"}, Result.NO_ANSWER),
        ({"handup_result": "busy"}, Result.BUSY),
        ({"handup_result": "Wrong Number"}, Result.INVALID_NUMBER),
        ({"handup_result": "Rejected"}, Result.REJECTED),
        ({"handup_result": "Call failed"}, Result.FAILED),
        ({}, None),
    ],
)
def test_live_end_of_an_outbound_call_gives_its_result(
    fields: Fields, result: Result | None
) -> None:
    """Without a word and without an answer only the record can say how it ended."""
    callee: Fields = {"phone_number": CUSTOMER, "extension_type": "pstn"}
    call = fold(
        parse("caller_ended", caller=member(1), callee=callee, call_end_time=moment(30), **fields)
    )
    assert (result, Direction.OUTBOUND, CUSTOMER) == (call.result, call.direction, call.to_number)


@pytest.mark.parametrize("phrase", ["Call Cancel", "Call Cancelled", "Call Canceled"])
def test_live_hang_up_is_read_by_whether_there_was_an_answer(phrase: str) -> None:
    """
    The end need not repeat the time of the answer; without any answer it is the rep who gave up,
    and a record says more than either.
    """
    ends: Fields = {
        "caller": member(1),
        "callee": {"phone_number": CUSTOMER, "extension_type": "pstn"},
        "ringing_start_time": moment(0),
    }
    gone = parse("caller_ended", **ends, call_end_time=moment(30), handup_result=phrase)
    answered = parse("caller_connected", **ends, connected_start_time=moment(5))
    assert (Result.CANCELLED, 0) == (fold(gone).result, fold(gone).duration_s)
    call = in_any_order(gone, answered)
    assert (Result.CONNECTED, 25) == (call.result, call.duration_s)
    assert (
        Result.BUSY is in_any_order(gone, record(side="caller", result="busy", talk_time=0)).result
    )
    taken = (
        live("callee_answered", 1, answer_start_time=moment(5)),
        live("callee_ended", 1, handup_result=phrase),
    )
    assert Result.CONNECTED is in_any_order(*taken, record(2, result="hang_up")).result


def test_hang_up_without_a_talk_time_is_read_by_the_time_of_the_answer() -> None:
    """
    Where a record does not say how long the talk was, its times do; a talk time of 0 says that
    there was none.
    """
    call = fold(record(side="caller", result="hang_up", answer_time=moment(5)))
    assert (Result.CONNECTED, 25) == (call.result, call.duration_s)
    assert (
        Result.CANCELLED
        is fold(record(side="caller", result="hang_up", answer_time=moment(5), talk_time=0)).result
    )
    assert Result.CANCELLED is fold(record(side="caller", result="hang_up")).result


@pytest.mark.parametrize("kind", ["auto_receptionist", "call_queue"])
@pytest.mark.parametrize("result", ["hang_up", "canceled", "abandoned"])
def test_caller_who_gives_up_in_a_menu_or_queue_has_talked_to_nobody(
    kind: str, result: str
) -> None:
    """
    The time there counts as talk for nobody, whatever Zoom calls it; a member who had answered
    still counts.
    """
    waited = record(
        7,
        event="incoming",
        callee_ext_type=kind,
        result=result,
        answer_time=moment(1),
        talk_time=29,
    )
    assert (Result.ABANDONED, 0) == (fold(waited).result, fold(waited).duration_s)
    call = in_any_order(
        waited,
        record(1, event="ring_to_member", result="answered", answer_time=moment(9), talk_time=21),
    )
    assert (Result.CONNECTED, 21) == (call.result, call.duration_s)


def test_hang_up_at_an_extension_of_an_unknown_kind_decides_nothing() -> None:
    """It may have been a person's."""
    assert not fold(
        record(1, callee_ext_type="robot_butler", result="hang_up", talk_time=29)
    ).is_final


def test_number_outside_that_takes_a_call_from_outside_stands_for_one_of_ours() -> None:
    """
    A queue or receptionist can pass a call on to a contact outside; the call was answered there,
    and missed if it was not.
    """
    outside = functools.partial(
        record,
        1,
        callee_ext_type="external_contact",
        callee_did_number="+15005550003",
        event="overflow",
    )
    call = fold(outside(result="answered", answer_time=moment(9), talk_time=21))
    assert (Result.CONNECTED, 21, Direction.INBOUND, CUSTOMER) == (
        call.result,
        call.duration_s,
        call.direction,
        call.from_number,
    )
    assert Result.MISSED_INBOUND is fold(outside(result="no_answer", talk_time=0)).result


def test_exchange_that_picks_up_by_itself_is_no_answer() -> None:
    """An auto receptionist or a queue answers every call."""
    for kind in ("auto_receptionist", "call_queue"):
        answered = record(
            1, callee_ext_type=kind, result="answered", answer_time=moment(1), talk_time=30
        )
        assert not fold(answered).is_final
        assert (
            Result.MISSED_INBOUND
            is in_any_order(answered, record(2, event="ring_to_member", result="no_answer")).result
        )


@pytest.mark.parametrize(
    "step", ["monitor", "listen", "whisper", "barge", "merge", "park", "levitate"]
)
def test_supervisor_who_listens_decides_nothing(step: str) -> None:
    """
    A record of listening in has succeeded whatever became of the call; neither is the supervisor
    its agent.
    """
    aside = record(9, event=step, result="succeeded", answer_time=moment(1), talk_time=1000)
    assert not fold(aside).is_final
    call = in_any_order(aside, record(1, result="answered", talk_time=5))
    assert (Result.CONNECTED, 5, "1@example.com") == (call.result, call.duration_s, call.agent)


def test_internal_call_is_one_call_without_a_direction() -> None:
    """
    Both ends report it; nobody of them is a customer, so that it has no result, however it ended.
    """
    ends: Fields = {"caller": member(1), "callee": member(2), "call_end_time": moment(30)}
    mine = record(
        1,
        side="caller",
        connect_type="internal",
        callee_ext_type="user",
        callee_ext_id="ext2",
        result="no_answer",
    )
    theirs = record(
        2, connect_type="internal", caller_ext_type="user", caller_ext_id="ext1", result="no_answer"
    )
    call = in_any_order(mine, theirs, parse("caller_ended", **ends), parse("callee_missed", **ends))
    assert (None, None, CALL) == (call.result, call.direction, call.source_call_id)
    assert Reason.DIRECTION_UNKNOWN is call.basis.reason
    assert (Party.CUSTOMER not in {leg.party for leg in call.legs}, 1) == (True, len(call.legs))


def test_internal_call_that_is_really_one_from_outside() -> None:
    """
    A queue or receptionist that calls one of ours has a caller behind it, whom only other messages
    name.
    """
    queue: Fields = {
        "extension_type": "autoReceptionist",
        "phone_number": "+15005550006",
        "extension_number": 15005550006,
    }
    rings = parse("callee_ringing", caller=queue, callee=member(1), ringing_start_time=moment(0))
    assert (Direction.INBOUND, None) == (fold(rings).direction, fold(rings).from_number)
    call = in_any_order(rings, record(1, event="ring_to_member", result="answered", talk_time=5))
    assert (Direction.INBOUND, CUSTOMER, Result.CONNECTED) == (
        call.direction,
        call.from_number,
        call.result,
    )


def test_outbound_call_that_was_put_through_stays_outbound() -> None:
    """If the colleague's part has the same id, it is still the customer who was called."""
    mine = record(
        1,
        side="caller",
        result="answered",
        answer_time=moment(5),
        end_time=moment(65),
        talk_time=60,
    )
    theirs = record(
        2, event="direct_transfer", result="no_answer", start_time=moment(65), end_time=moment(95)
    )
    call = in_any_order(mine, theirs)
    assert (Result.CONNECTED, Direction.OUTBOUND, CUSTOMER, 60) == (
        call.result,
        call.direction,
        call.to_number,
        call.duration_s,
    )
    taken = record(
        2,
        event="direct_transfer",
        result="answered",
        start_time=moment(65),
        answer_time=moment(70),
        talk_time=125,
    )
    for messages in (
        [mine, taken],
        [mine, taken, live("callee_answered", 2, answer_start_time=moment(70))],
    ):
        call = in_any_order(*messages)
        assert (Result.CONNECTED, Direction.OUTBOUND, CUSTOMER, 60) == (
            call.result,
            call.direction,
            call.to_number,
            call.duration_s,
        )


@pytest.mark.parametrize("step", ["forward", "overflow", "direct_transfer", "warm_transfer"])
def test_call_that_is_passed_on_to_a_number_outside_keeps_its_customer(step: str) -> None:
    """
    Whom one of ours passes a call on to stands for one of ours, and makes no outbound call of an
    inbound one.
    """
    passed = functools.partial(
        record,
        1,
        side="caller",
        event=step,
        callee_did_number="+15005550003",
        start_time=moment(25),
    )
    taken = passed(result="answered", answer_time=moment(30), end_time=moment(155), talk_time=125)
    mine = record(
        1, side="caller", event="outgoing", result="answered", answer_time=moment(5), talk_time=20
    )
    call = in_any_order(mine, taken)
    assert (Result.CONNECTED, Direction.OUTBOUND, CUSTOMER, 20) == (
        call.result,
        call.direction,
        call.to_number,
        call.duration_s,
    )
    missed = record(1, event="incoming", result="no_answer", talk_time=0)
    call = in_any_order(missed, taken)
    assert (Result.CONNECTED, Direction.INBOUND, CUSTOMER, 125) == (
        call.result,
        call.direction,
        call.from_number,
        call.duration_s,
    )
    call = in_any_order(missed, passed(result="no_answer", talk_time=0))
    assert (Result.MISSED_INBOUND, Direction.INBOUND, CUSTOMER) == (
        call.result,
        call.direction,
        call.from_number,
    )
    assert not fold(taken).is_final


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("15005550001", CUSTOMER),
        ("5005550001", "5005550001"),
        ("05005550001", "05005550001"),
        (CUSTOMER, CUSTOMER),
    ],
)
def test_plus_that_zoom_leaves_out_is_put_back_only_where_the_country_is_named(
    number: str, expected: str
) -> None:
    """
    A number of ten digits may lack its country code, so that a plus would make another country's of
    it.
    """
    assert (
        expected
        == fold(record(1, caller_did_number=number, result="answered", talk_time=5)).from_number
    )


def test_number_that_was_dialled_is_not_that_of_a_member() -> None:
    """Only a record that begins the call names the number that the customer dialled."""
    began = record(
        7,
        event="incoming",
        callee_ext_type="call_queue",
        callee_did_number="+15005550006",
        result="overflowed",
    )
    call = in_any_order(
        began,
        record(1, event="ring_to_member", callee_did_number="+15005550007", result="no_answer"),
    )
    assert (CUSTOMER, "+15005550006") == (call.from_number, call.to_number)


@pytest.mark.parametrize("event", sorted(RECORDS))
def test_all_three_versions_say_the_same(event: str) -> None:
    """Whoever has subscribed to several has each call once."""
    spec = RECORDS[event]
    result = {True: "answered", False: "Call connected"}[spec.has_steps]
    version: Fields = {"call_id": CALL, "result": result, "duration": 21, "talk_time": 21}
    (ended,) = [
        parsed
        for parsed in parse(event.removeprefix("phone."), **{spec.name: version})
        if parsed.event_type is EventType.ENDED
    ]
    assert (Result.CONNECTED, 21) == (fold([ended]).result, fold([ended]).duration_s)


def test_records_of_several_calls_in_one_message_are_reported() -> None:
    """
    A message counts for one call; that there was another is reported, and none of its events is put
    to the wrong one.
    """
    events = parse(
        "caller_call_element_completed",
        call_elements=[{"call_id": CALL, "result": "busy"}, {"call_id": "2", "result": "answered"}],
    )
    call = fold(events)
    assert (Result.BUSY, ("a record of another call beside those of the first",)) == (
        call.result,
        call.unknown_values,
    )


@pytest.mark.parametrize(
    "data",
    [{}, {"call_id": ""}, {"call_id": "x" * 201}, {"call_id": "a\nb"}, {"call_id": {"a": 1}}],
)
def test_message_that_names_no_call_is_malformed(data: Fields) -> None:
    """Nothing could be done with it."""
    with pytest.raises(MalformedPayload, match="call_id"):
        ZOOM.keys(message("caller_ended", data))


def test_settings_are_in_their_order() -> None:
    """The secret turns the source on; the others are for the upkeep of subscriptions."""
    names = [
        "zoom_secret_token",
        "zoom_account_id",
        "zoom_client_id",
        "zoom_client_secret",
        "zoom_api_url",
        "zoom_token_url",
    ]
    assert names == [setting.name for setting in ZOOM.settings]
    url = ZOOM.settings[4]
    assert url.default is not None
    assert url.check(url.default) is None
    assert url.check("api.zoom.us/v2") is not None
    assert url.check("https://[api.zoom.us") is not None


def test_hold_is_no_talk_time_where_the_record_says_so() -> None:
    """The seconds of talk that a record states count, and not the time from answer to end."""
    call = in_any_order(
        record(1, result="answered", answer_time=moment(10), end_time=moment(110), talk_time=70)
    )
    assert (70, 10) == (call.duration_s, call.wait_s)


@pytest.mark.parametrize(
    ("fields", "wait_s"),
    [
        ({"result": "answered", "talk_time": 5}, 9),
        ({"result": "abandoned", "callee_ext_type": "call_queue"}, 9),
        ({"result": "answered", "talk_time": 5, "event": "ring_to_member"}, None),
        ({"result": "no_answer", "result_reason": "answered_by_other"}, None),
        ({"result": "answered", "callee_ext_type": "auto_receptionist"}, None),
    ],
)
def test_wait_is_that_of_the_record_of_the_incoming_call(
    fields: dict[str, JsonValue], wait_s: int | None
) -> None:
    """
    How long one member's telephone rang, and how long it took the exchange to pick up, is not how
    long the caller waited.
    """
    defaults: Fields = {"event": "incoming", "wait_time": 9}
    events = record(1, "callee", **{**defaults, **fields})
    waits = {event.wait_s for event in events}
    assert {wait_s} == waits - ({None} if wait_s else set())


def test_agent_is_on_the_leg_of_the_own_telephone() -> None:
    """Those who did not take an inbound call only rang, and nobody took one that was missed."""
    missed = record(1, event="ring_to_member", result="no_answer", end_time=moment(30))
    assert {(EventType.ENDED, "1@example.com")} == {
        (event.event_type, event.agent) for event in missed if event.agent
    }
    assert (None, ("1@example.com",)) == ((call := fold(missed)).agent, call.rang_agents)
    taken = record(2, result="answered", answer_time=moment(9), talk_time=21)
    call = in_any_order(missed, taken)
    assert ("2@example.com", ("1@example.com",)) == (call.agent, call.rang_agents)


@pytest.mark.parametrize(
    ("step", "is_transferred", "is_forwarded"),
    [
        ("direct_transfer", True, False),
        ("warm_transfer", True, False),
        ("forward", False, True),
        ("overflow", False, False),
        ("ring_to_member", False, False),
        ("incoming", False, False),
    ],
)
def test_step_says_whether_a_call_was_transferred_or_forwarded(
    step: str, is_transferred: bool, is_forwarded: bool
) -> None:
    """An overflow may lead to another queue or to a mailbox: it is neither."""
    call = fold(record(1, event=step, result="answered", talk_time=5))
    assert (is_transferred, is_forwarded) == (call.is_transferred, call.is_forwarded)


def test_telephone_whose_call_a_colleague_took_was_answered_elsewhere() -> None:
    """That holds for the telephone, live and in the record."""
    events = record(1, event="ring_to_member", result="canceled", result_reason="pickup_by_other")
    live_events = live("callee_ended", 1, handup_result="Answered by Other Member")
    for message_events in (events, live_events):
        elsewhere = [event for event in message_events if event.is_answered_elsewhere]
        assert [Party.AGENT] == [event.party for event in elsewhere]


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        ({"callee_ext_type": "call_queue", "callee_name": "Roofing"}, "Roofing"),
        ({"caller_ext_type": "auto_receptionist", "caller_name": "Main menu"}, "Main menu"),
        ({"operator_ext_type": "call_queue", "operator_name": "Roofing"}, "Roofing"),
        ({"operator_ext_type": "user", "operator_name": "Alice Example"}, None),
        ({}, None),
    ],
)
def test_queue_is_the_extension_that_distributed_the_call(
    fields: dict[str, JsonValue], queue: str | None
) -> None:
    """At either end of the record, or as the operator of its step."""
    defaults: Fields = {"event": "ring_to_member", "result": "no_answer"}
    events = record(1, "callee", **{**defaults, **fields})
    assert {queue} == {event.queue for event in events}


def test_queue_of_a_live_message_is_who_forwarded_it() -> None:
    """A member of a queue is rung in its name."""
    assert {"Example Queue"} == {event.queue for event in live("callee_ringing", 1)}
    ends: Fields = {"caller": {"phone_number": CUSTOMER}, "callee": member(1)}
    assert {None} == {event.queue for event in parse("callee_ringing", **ends)}
