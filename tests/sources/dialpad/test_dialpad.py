"""
What is peculiar to Dialpad: the JWT that is the body, the ids by which legs come together, and who
talked.
"""

import base64
import hmac
import json
from itertools import chain, permutations
from typing import Final

import jwt
import pytest
from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import CallEvent, Direction, EventType, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets, SettingKind
from tests.sources.cases import BASE_URL, NOW
from tests.sources.dialpad.contract import CONTRACT, token
from workers.calls.basis import Reason
from workers.calls.fold import Call, fold

DIALPAD: Final = SOURCES["dialpad"]
SECRET, OTHER_SECRET = CONTRACT.secrets
CALL: Final = 4800000000000001
LEG: Final = 4800000000000002
OTHER_LEG: Final = 4800000000000003
START: Final = 1793613600000
# Made with PyJWT and, the same, with the npm package jsonwebtoken.
VECTOR: Final = (
    b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    b"eyJjYWxsX2lkIjo0ODAwMDAwMDAwMDAwMDAxLCJzdGF0ZSI6Imhhbmd1cCIs"
    b"ImV2ZW50X3RpbWVzdGFtcCI6MTc3MjQ0MjkzMDEyM30."
    b"I2dTv_BysV6A_FiHsFDlbObviNUI5ZWYKCzIYOVKzmw"
)
CALL_CENTRE: Final[dict[str, JsonValue]] = {"target": {"type": "callcenter", "name": "Sales"}}
ALICE: Final[dict[str, JsonValue]] = {"target": {"type": "user", "email": "alice@example.com"}}
MAIN_LINE: Final[dict[str, JsonValue]] = {"type": "office", "name": "Main line"}
DEPARTMENT: Final[dict[str, JsonValue]] = {"type": "department", "name": "Roofing"}
# The leg of an agent to whom the menu of the main line passed a caller on.
AFTER_MAIN_LINE: Final[dict[str, JsonValue]] = {
    "call_id": LEG,
    "entry_point_call_id": CALL,
    "entry_point_target": MAIN_LINE,
}
BOB: Final[dict[str, JsonValue]] = {"target": {"type": "user", "email": "bob@example.com"}}


def message(state: str, at: int = 60, /, **fields: JsonValue) -> WebhookRequest:
    body: JsonValue = {
        "call_id": CALL,
        "state": state,
        "direction": "inbound",
        "event_timestamp": START + at * 1000,
        "date_started": START,
        **ALICE,
        **fields,
    }
    return build_request({"path": "/webhooks/dialpad", "body_json": body}, base_url=BASE_URL)


def parse(state: str, at: int = 60, /, **fields: JsonValue) -> list[CallEvent]:
    return DIALPAD.parse(message(state, at, **fields), "m1")


def folded(*messages: list[CallEvent]) -> Call:
    """The call that the messages make, which must be the same in every order."""
    calls = {repr(fold(chain.from_iterable(order))) for order in permutations(messages)}
    assert len(calls) == 1
    return fold(chain.from_iterable(messages))


def talk(answered_at: int, ended_at: int) -> dict[str, JsonValue]:
    return {
        "date_connected": START + answered_at * 1000,
        "date_ended": START + ended_at * 1000,
        "duration": (ended_at - answered_at) * 1000.0,
    }


def vector() -> WebhookRequest:
    return replace(message("hangup"), body=VECTOR)


def signed(head: bytes, middle: bytes, *, key: bytes) -> bytes:
    mac = hmac.digest(key, head + b"." + middle, "sha256")
    return b".".join((head, middle, base64.urlsafe_b64encode(mac).rstrip(b"=")))


def test_known_jwt_is_accepted() -> None:
    """
    A JWT that two other libraries made is genuine, with any one of the secrets, and means what is
    in it.
    """
    assert VECTOR == signed(*VECTOR.split(b".")[:2], key=SECRET.encode())
    DIALPAD.verify(vector(), Secrets((SECRET,)), NOW)
    DIALPAD.verify(vector(), Secrets((OTHER_SECRET, SECRET)), NOW)
    with pytest.raises(InvalidSignature):
        DIALPAD.verify(vector(), Secrets((OTHER_SECRET,)), NOW)
    assert str(CALL) == DIALPAD.keys(vector()).source_call_id


@pytest.mark.parametrize("content_type", ["application/jwt", "text/plain", "application/json", ""])
def test_type_of_the_body_plays_no_part(content_type: str) -> None:
    """
    Which one Dialpad sends is not documented, and whoever trusts a JSON one would look for JSON in
    it.
    """
    DIALPAD.verify(
        replace(vector(), headers={"content-type": (content_type,)}), Secrets((SECRET,)), NOW
    )


def test_blanks_around_the_jwt_are_none_of_it() -> None:
    """A line end after the JWT changes neither its proof nor its name."""
    padded = replace(vector(), body=VECTOR + b"\r\n")
    DIALPAD.verify(padded, Secrets((SECRET,)), NOW)
    assert DIALPAD.keys(padded) == DIALPAD.keys(vector())


@pytest.mark.parametrize("secret", ["k", "short-secret", "geheim-\u00fc", "a" * 200])
def test_secret_may_be_of_any_length(secret: str) -> None:
    """
    Dialpad takes short secrets, of which PyJWT would warn; the key is the secret's text in UTF-8.
    """
    body = message("hangup").body
    DIALPAD.verify(replace(vector(), body=token(body, secret)), Secrets((secret,)), NOW)
    signed_request = DIALPAD.sign(message("hangup"), Secrets((secret,)), NOW)
    assert token(body, secret) == signed_request.body


def test_own_jwt_is_read_by_another_library() -> None:
    """What `trigger` sends is what PyJWT takes for genuine."""
    body = DIALPAD.sign(message("hangup"), Secrets((SECRET,)), NOW).body
    assert json.loads(message("hangup").body) == jwt.decode(body, SECRET, algorithms=["HS256"])


def test_empty_secret_signs_nothing() -> None:
    """Whoever leaves an empty text among the secrets opens no door by it."""
    with pytest.raises(InvalidSignature):
        DIALPAD.verify(
            replace(vector(), body=signed(*VECTOR.split(b".")[:2], key=b"")),
            Secrets(("", SECRET)),
            NOW,
        )


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"hs256"}',
        b'{"alg":["HS256"]}',
        b"{}",
        b"[]",
        b'{"alg":"HS256","alg":"HS256"}',
        b"\xff",
    ],
)
def test_algorithm_is_pinned(header: bytes) -> None:
    """
    Even a signature with the right key counts only under a header that names HS256, once and so
    written.
    """
    body = signed(
        base64.urlsafe_b64encode(header).rstrip(b"="), VECTOR.split(b".")[1], key=SECRET.encode()
    )
    with pytest.raises(InvalidSignature):
        DIALPAD.verify(replace(vector(), body=body), Secrets((SECRET,)), NOW)


def test_signature_is_not_stored() -> None:
    """What is kept is the JSON inside, byte for byte, which is refused if it is sent again."""
    redacted = DIALPAD.redact(vector())
    assert (
        b'{"call_id":4800000000000001,"state":"hangup","event_timestamp":1772442930123}'
        == redacted.body
    )
    assert DIALPAD.keys(redacted) == DIALPAD.keys(vector())
    with pytest.raises(InvalidSignature):
        DIALPAD.verify(redacted, Secrets((SECRET,)), NOW)


def test_json_with_dots_is_no_jwt() -> None:
    """A message that is read offline may hold dots, and between them what looks like base64."""
    assert [EventType.UPDATED] == [event.event_type for event in parse("hold", note="a.exam.com")]


def test_genuine_body_that_is_no_object_is_malformed() -> None:
    """Its proof is right, so that it is kept as one that cannot be read."""
    request = replace(vector(), body=token(b"[1]", SECRET))
    DIALPAD.verify(request, Secrets((SECRET,)), NOW)
    with pytest.raises(MalformedPayload):
        DIALPAD.keys(DIALPAD.redact(request))


def test_api_key_proves_nothing() -> None:
    """What the upkeep of the subscription needs is no proof of its messages."""
    assert [SettingKind.SIGNING_SECRET, SettingKind.API_CREDENTIAL, SettingKind.API_CREDENTIAL] == [
        setting.kind for setting in DIALPAD.settings
    ]


def test_message_counts_once_over_retries_and_subscriptions() -> None:
    """
    The same message is one however it is signed; another that only shares leg, state and time with
    it is not lost.
    """
    one = DIALPAD.keys(message("hangup", 60))
    assert (
        one
        == DIALPAD.keys(CONTRACT.sign(message("hangup", 60), SECRET, NOW))
        == DIALPAD.keys(CONTRACT.sign(message("hangup", 60), OTHER_SECRET, NOW))
    )
    others = [
        message("hangup", 61),
        message("missed", 60),
        message("hangup", 60, call_id=LEG),
        message("hangup", 60, labels=["x"]),
        message("hangup", event_timestamp=None),
        message("hangup", event_timestamp=None, duration=1),
    ]
    assert len({one.message_key, *(DIALPAD.keys(other).message_key for other in others)}) == 7


def test_second_disposition_is_not_lost() -> None:
    """
    A second choice may come with the time of the call: both messages count, and no copy changes
    the call.
    """
    first, second = (message("dispositions", 60, disposition=chosen) for chosen in ("One", "Two"))
    assert DIALPAD.keys(first).message_key != DIALPAD.keys(second).message_key
    assert folded(parse("hangup"), parse("hangup")) == folded(parse("hangup"))


@pytest.mark.parametrize("nest", ['{"note":%s}', "[%s]"])
@pytest.mark.parametrize("depth", [300, 600, 900, 950])
def test_deep_message_is_read(nest: str, depth: int) -> None:
    """However deep a genuine message is nested, it is read, or is no JSON; it never breaks us."""
    value = "1"
    for _ in range(depth):
        value = nest % value
    fields = f'"call_id":{CALL},"state":"dispositions","direction":"inbound","note":"Hello"'
    body = f'{{{fields},"deep":{value}}}'.encode()
    try:
        (event,) = DIALPAD.parse(replace(vector(), body=body), "m1")
    except MalformedPayload:
        return
    assert event.note == "Hello"


@pytest.mark.parametrize(
    ("ids", "source_call_id"),
    [
        ({}, CALL),
        ({"entry_point_call_id": LEG, "master_call_id": OTHER_LEG}, LEG),
        ({"entry_point_call_id": None, "master_call_id": OTHER_LEG}, OTHER_LEG),
        ({"entry_point_call_id": 0, "master_call_id": ""}, CALL),
        ({"entry_point_call_id": "0", "master_call_id": "0", "operator_call_id": LEG}, CALL),
        ({"entry_point_call_id": str(LEG)}, LEG),
    ],
)
def test_legs_come_together_by_the_one_at_which_the_call_came_in(
    ids: dict[str, JsonValue], source_call_id: int
) -> None:
    """Null, 0 and an empty text are no ids."""
    (event,) = parse("hold", **ids)
    assert (str(source_call_id), str(CALL)) == (event.source_call_id, event.leg_id)
    assert (event.parent_leg_id is None) == (source_call_id == CALL)
    assert event.parent_leg_id in {None, str(source_call_id)}
    assert str(source_call_id) == DIALPAD.keys(message("hold", **ids)).source_call_id


def test_waiting_in_the_queue_is_no_talk() -> None:
    """A call centre that picks up has not answered; an agent has."""
    waited = parse("hangup", 40, **CALL_CENTRE, **talk(2, 40), date_queued=START + 2000)
    call = folded(waited)
    assert (Result.ABANDONED, 0) == (call.result, call.duration_s)
    call = folded(parse("hangup", 149, **CALL_CENTRE, **talk(12, 149), operator_call_id=LEG))
    assert (Result.CONNECTED, 137) == (call.result, call.duration_s)
    assert (
        folded(parse("connected", 2, **CALL_CENTRE, date_connected=START)).legs[0].answered_at
        is None
    )


def test_leg_of_the_agent_proves_the_talk() -> None:
    """Even if the call centre's own leg does not say who took the call."""
    queue = parse("hangup", 149, **CALL_CENTRE, **talk(2, 149), date_queued=START + 2000)
    agent = parse("hangup", 149, call_id=LEG, entry_point_call_id=CALL, **talk(12, 149))
    call = folded(queue, agent)
    assert (Result.CONNECTED, 137, "alice@example.com") == (
        call.result,
        call.duration_s,
        call.agent,
    )


def test_connected_is_never_lowered_by_another_leg() -> None:
    """
    An agent whose telephone rang in vain, or a transfer that failed, changes nothing of a talk that
    took place.
    """
    answered = parse("hangup", 52, **talk(12, 52))
    ids: dict[str, JsonValue] = {"call_id": OTHER_LEG, "master_call_id": CALL}
    late = [
        parse(state, at, **ids, **BOB)
        for state, at in (("ringing", 53), ("missed", 90), ("hangup", 91))
    ]
    call = folded(answered, *late)
    assert (Result.CONNECTED, 40, "alice@example.com") == (call.result, call.duration_s, call.agent)
    call = folded(parse("hangup", 52, direction="outbound", **talk(12, 52)), *late)
    assert (Result.CONNECTED, 40) == (call.result, call.duration_s)


def test_blocked_call_is_rejected_unless_somebody_talked() -> None:
    """
    Dialpad turned the caller away; that one agent blocked them, or did so while they talked, takes
    nothing away from a talk.
    """
    blocked = parse("blocked", 1)
    assert (Result.REJECTED, 0) == (folded(blocked).result, folded(blocked).duration_s)
    assert Result.REJECTED == folded(blocked, parse("hangup", 2)).result
    assert (Result.CONNECTED, 40) == (
        (call := folded(parse("blocked", 52, **talk(12, 52)))).result,
        call.duration_s,
    )
    agent = parse("blocked", 90, call_id=OTHER_LEG, entry_point_call_id=CALL, **BOB)
    assert (Result.CONNECTED, 40) == (
        (call := folded(parse("hangup", 52, **talk(12, 52)), agent)).result,
        call.duration_s,
    )
    assert (
        Result.REJECTED == folded(parse("blocked", 2, **CALL_CENTRE, date_connected=START)).result
    )


def test_hidden_number_is_none() -> None:
    """
    Where our own number is not shown, the field holds `blocked`; the number that is shown counts
    then.
    """
    fields: dict[str, JsonValue] = {
        "direction": "outbound",
        "external_number": "+15005550001",
        "internal_number": "blocked",
    }
    assert (None, "+15005550001") == (
        (call := folded(parse("ringing", **fields))).from_number,
        call.to_number,
    )
    assert (
        "+15005550006"
        == folded(parse("ringing", selected_caller_id="+15005550006", **fields)).from_number
    )


def test_agents_who_did_not_answer_make_a_missed_call() -> None:
    """Not one that was abandoned: their telephones rang."""
    queue = parse("hangup", 40, **CALL_CENTRE, date_queued=START + 2000)
    rang = parse("missed", 20, call_id=LEG, entry_point_call_id=CALL, **BOB)
    assert Result.MISSED_INBOUND == folded(queue, rang).result
    assert Result.ABANDONED == folded(queue).result


def test_agent_who_was_given_the_call_and_did_not_take_it_missed_it() -> None:
    """A caller for whom the queue had found an agent did not give up in it."""
    queued: dict[str, JsonValue] = {**CALL_CENTRE, "date_queued": START + 2000}
    assert (
        Result.MISSED_INBOUND == folded(parse("hangup", 40, **queued, operator_call_id=LEG)).result
    )
    assert Result.ABANDONED == folded(parse("hangup", 40, **queued, operator_call_id=0)).result


def test_outbound_call_has_no_voicemail_of_a_caller() -> None:
    """Only callers leave messages for us."""
    call = folded(
        parse("hangup", 40, direction="outbound", voicemail_link="https://dialpad.com/v/1")
    )
    assert (Result.NO_ANSWER, None) == (call.result, call.voicemail)


def test_call_goes_on_until_its_first_leg_ends() -> None:
    """The end of an agent's leg is none of the call while the caller's goes on."""
    assert not folded(
        parse("queued", 2, **CALL_CENTRE),
        parse("hangup", 40, call_id=LEG, entry_point_call_id=CALL, **talk(12, 40)),
    ).is_final


def test_presence_of_dates_is_not_trusted() -> None:
    """Captured messages that only ring already hold an end."""
    assert not folded(parse("ringing", 1, date_ended=START + 463)).is_final
    assert Result.MISSED_INBOUND == folded(parse("missed", 30, **talk(9, 30))).result


def test_being_sent_to_voicemail_is_no_message() -> None:
    """Only one that is stored counts, before the end or after it."""
    sent = parse("voicemail", 30)
    end = parse("hangup", 66)
    stored = parse("voicemail_uploaded", 70, voicemail_link="https://dialpad.com/v/1")
    text = parse("transcription", 90, voicemail_recording_id=1, transcription_text="Call me.")
    assert Result.MISSED_INBOUND == folded(sent, end).result
    call = folded(sent, end, stored, text)
    assert Result.VOICEMAIL_RECEIVED == call.result
    assert call.voicemail is not None
    assert ("https://dialpad.com/v/1", "Call me.") == (
        call.voicemail.url,
        call.voicemail.transcript,
    )
    assert Result.CONNECTED == folded(parse("hangup", 66, **talk(9, 66)), stored).result


@pytest.mark.parametrize(
    ("fields", "disposition", "note"),
    [
        ({"call_dispositions": "Sales~Prospect"}, "Sales~Prospect", None),
        ({"dispositions": ["One", "Two"]}, "Two", None),
        ({"disposition": {"id": 1, "name": "One"}, "disposition_notes": "Hello"}, "One", "Hello"),
        ({"wrap_up": {"Disposition": "One", "callNote": "Hello"}}, "One", "Hello"),
        ({"disposition": None, "disposition_id": 7, "notes": ""}, None, None),
        ({"disposition": "One", "disposition_id": "77", "noteId": "78"}, "One", None),
        ({"notes": [{"id": 1, "name": "Hello"}, [["Bye"]], None]}, None, "Hello"),
    ],
)
def test_disposition_is_found_by_its_name(
    fields: dict[str, JsonValue], disposition: str | None, note: str | None
) -> None:
    """Under which names Dialpad sends what the agent chose and wrote is not documented."""
    for state in ("dispositions", "postcall"):
        (event,) = parse(state, **fields)
        assert (disposition, note) == (event.disposition, event.note)


def test_summary_never_takes_the_place_of_a_note() -> None:
    """
    What Dialpad's AI writes, minutes later, is the note of a call without one; nothing is refused
    for its age.
    """
    summary = parse("recap_summary", 900, recap_summary="They talked. buildr_call_id=999")
    assert ("They talked. buildr_call_id=999", None) == (
        folded(summary).note,
        folded(summary).buildr_call_id,
    )
    assert "Hello" == folded(summary, parse("dispositions", 80, notes="Hello")).note
    DIALPAD.verify(
        CONTRACT.sign(message("recap_summary", -10_000_000), SECRET, NOW), Secrets((SECRET,)), NOW
    )


def test_custom_data_on_one_leg_is_enough() -> None:
    """It is signed with the message; a wrong id costs nothing but itself."""
    agent = parse(
        "hangup",
        149,
        call_id=LEG,
        entry_point_call_id=CALL,
        custom_data='{"buildr_call_id": "110"}',
        **talk(12, 149),
    )
    call = folded(parse("hangup", 149, **CALL_CENTRE, custom_data="someone else's"), agent)
    assert ("110", Result.CONNECTED) == (call.buildr_call_id, call.result)
    call = folded(parse("hangup", 149, custom_data='{"buildr_call_id": "x"}', **talk(12, 149)))
    assert (None, Result.CONNECTED) == (call.buildr_call_id, call.result)


def test_other_subscriptions_are_left_alone() -> None:
    """Events of text messages, contacts and agents' presence may be sent to the same webhook."""
    body: JsonValue = {"on_duty_status": "available", "event_timestamp": START}
    with pytest.raises(IgnoredEvent):
        DIALPAD.keys(build_request({"body_json": body}, base_url=BASE_URL))


def passed_on_by_main_line(ended_at: int = 7) -> list[CallEvent]:
    """The main line's leg is over, since its menu passed the caller on."""
    return parse(
        "hangup",
        ended_at,
        target=MAIN_LINE,
        date_connected=START + 1000,
        date_ended=START + ended_at * 1000,
        is_transferred=True,
        transferred_from={},
    )


def test_leg_that_passed_the_call_on_does_not_end_it() -> None:
    """
    The main line's leg is over while the agent's telephone rings, whichever is reported first; the
    agent's talk then decides.
    """
    rings = parse("ringing", 6, **AFTER_MAIN_LINE)
    passed_on = passed_on_by_main_line()
    assert not folded(passed_on).is_final
    assert not folded(rings, passed_on).is_final
    # A leg that only says which call it belongs to is enough.
    unnamed = parse("hangup", 100, call_id=LEG, master_call_id=CALL, **talk(17, 100))
    call = folded(rings, passed_on, unnamed)
    assert (Result.CONNECTED, 83, "alice@example.com") == (call.result, call.duration_s, call.agent)
    talked = parse("hangup", 100, **AFTER_MAIN_LINE, **talk(17, 100))
    call = folded(rings, passed_on, talked)
    assert (Result.CONNECTED, 83, "alice@example.com") == (call.result, call.duration_s, call.agent)


def test_agent_whom_the_main_line_rang_in_vain_does_not_end_the_call() -> None:
    """Somebody else's telephone may ring next; a message that the caller leaves ends it."""
    rang = parse("hangup", 31, **AFTER_MAIN_LINE)
    call = folded(passed_on_by_main_line(), rang)
    assert (None, Reason.CALLERS_LEG_MISSING) == (call.result, call.basis.reason)
    stored = parse("voicemail_uploaded", 70, **AFTER_MAIN_LINE, voicemail_recording_id=1)
    assert Result.VOICEMAIL_RECEIVED == folded(passed_on_by_main_line(), rang, stored).result


def test_talk_that_was_passed_on_is_a_talk() -> None:
    """An agent who talked and passed the call on makes it connected and transferred."""
    first = parse("hangup", 52, is_transferred=True, transferred_from={}, **talk(12, 52))
    assert Result.CONNECTED == folded(first).result
    assert {True} == {event.is_transferred for event in first}


@pytest.mark.parametrize(
    ("fields", "is_transferred"),
    [
        ({"is_transferred": False}, None),
        ({"is_transferred": "true"}, None),
        ({"is_transferred": True}, True),
        ({"is_transferred": True, "transferred_from": {"type": "user"}}, True),
        ({"is_transferred": True, "transferred_from": MAIN_LINE}, None),
        ({"is_transferred": True, "target": MAIN_LINE}, None),
        ({"is_transferred": True, "target": MAIN_LINE, "operator_call_id": LEG}, True),
    ],
)
def test_menu_that_passes_a_caller_on_is_no_transfer(
    fields: dict[str, JsonValue], is_transferred: bool | None
) -> None:
    """Dialpad writes the same of both; a transfer is what a person makes."""
    (event,) = parse("hold", **fields)
    assert is_transferred is event.is_transferred


def test_outbound_call_of_a_group_is_read_from_the_leg_of_the_person_alone() -> None:
    """
    Users-only subscriptions report no leg of the group. Where it is reported too, both are the same
    call.
    """
    outbound: dict[str, JsonValue] = {"direction": "outbound", "external_number": "+15005550001"}
    person: dict[str, JsonValue] = {**outbound, "call_id": LEG, "entry_point_call_id": CALL}
    group: dict[str, JsonValue] = {**outbound, "target": DEPARTMENT}
    answered = parse("hangup", 46, **person, **talk(9, 46))
    call = folded(parse("calling", 0, **person), answered)
    assert (Result.CONNECTED, 37, "+15005550001", "alice@example.com") == (
        call.result,
        call.duration_s,
        call.to_number,
        call.agent,
    )
    assert Result.NO_ANSWER == folded(parse("hangup", 30, **person)).result
    assert not folded(parse("calling", 0, **group), parse("hangup", 30, **person)).is_final
    call = folded(parse("hangup", 46, **group, **talk(9, 46)), answered)
    assert (Result.CONNECTED, 37) == (call.result, call.duration_s)


def test_leg_of_an_outside_number_that_a_call_was_passed_on_to_is_no_customers() -> None:
    """A transfer to outside goes out from an inbound call, which it does not turn around."""
    outside = parse(
        "hangup",
        90,
        direction="outbound",
        call_id=OTHER_LEG,
        master_call_id=CALL,
        is_transferred=True,
        transferred_from={"type": "user", "name": "Alice Example"},
    )
    call = folded(parse("hangup", 52, **talk(12, 52)), outside)
    assert (Direction.INBOUND, Result.CONNECTED) == (call.direction, call.result)


def test_time_in_the_queue_is_no_talk_time() -> None:
    """
    A queue that picked up before an agent was found shows neither when the talk began nor, in its
    duration, how long it was.
    """
    fields: dict[str, JsonValue] = {
        **CALL_CENTRE,
        **talk(2, 149),
        "date_queued": START + 2000,
        "operator_call_id": LEG,
    }
    events = parse("hangup", 149, **fields)
    assert [EventType.CREATED, EventType.ENDED] == [event.event_type for event in events]
    assert [None, None] == [event.duration_s for event in events]
    assert 137 == parse("hangup", 149, **fields, talk_time=137000)[-1].duration_s
    assert 137 == parse("hangup", 149, **{**fields, **talk(12, 149)})[-1].duration_s


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        (CALL_CENTRE, "Sales"),
        ({"entry_point_target": DEPARTMENT}, "Roofing"),
        ({**CALL_CENTRE, "entry_point_target": MAIN_LINE}, "Sales"),
        ({"entry_point_target": {"type": "user", "name": "Bob Example"}}, None),
        ({"entry_point_target": {}}, None),
        ({"target": {"type": "robot", "name": "R2"}}, None),
        ({**CALL_CENTRE, "direction": "outbound"}, None),
    ],
)
def test_queue_is_the_group_at_which_the_call_is_or_came_in(
    fields: dict[str, JsonValue], queue: str | None
) -> None:
    """A call to a person has none, and neither has one that a group makes."""
    assert queue == parse("hold", **fields)[0].queue


def test_disposition_may_come_in_a_hangup() -> None:
    """An agent may choose one during the call; no other field of a hangup is searched for it."""
    hangup: dict[str, JsonValue] = {"direction": "outbound", **talk(9, 46)}
    events = parse("hangup", 46, **hangup, call_dispositions="Sales~Prospect", note="x")
    assert [(None, None), (None, None), ("Sales~Prospect", None)] == [
        (event.disposition, event.note) for event in events
    ]
    call = folded(events, parse("dispositions", 70, direction="outbound", disposition="Other"))
    assert "Other" == call.disposition
    chosen: JsonValue = [{"disposition": "Prospect", "notes": "Call on Friday."}]
    (event,) = parse("hold", call_dispositions=chosen)
    assert ("Prospect", "Call on Friday.") == (event.disposition, event.note)
