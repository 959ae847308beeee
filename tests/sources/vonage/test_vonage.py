"""
What is peculiar to Vonage: its token, held to Vonage's own check; `completed` beside a failure;
legs of one conversation.
"""

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import pytest
from msgspec.structs import replace
from vonage_jwt.verify_jwt import verify_signature

from service.errors import InvalidSignature
from service.events import AnsweredBy, Direction, Party, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.contract import with_headers
from tests.sources.vonage.contract import (
    CONTRACT,
    claims_of,
    sign,
    with_token,
)
from workers.calls.fold import Call, fold

VONAGE: Final = SOURCES["vonage"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
SECRET, OTHER_SECRET = CONTRACT.secrets
# Made with PyJWT, and accepted by version 1.1.5 of Vonage's own `vonage-jwt`.
SECRET_OF_VECTOR: Final = "fake-signature-secret-do-not-use-0000000"
SIGNED_AT: Final = datetime.fromtimestamp(1_700_000_000, UTC)
BODY_OF_VECTOR: Final = (
    b'{"conversation_uuid":"CON-00000000-0000-4000-8000-000000000001","direction":"outboun'
    b'd","from":"15005550006","status":"busy","timestamp":"2026-11-02T10:00:00.000Z","to":'
    b'"15005550001","uuid":"00000000-0000-4000-8000-000000000002"}'
)
TOKEN_OF_VECTOR: Final = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImp0aSI6IjAwMDAwMDAwLTA"
    "wMDAtNDAwMC04MDAwLTAwMDAwMDAwMDBhYSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6IjIxYjI"
    "2N2JhNGM3ZWU3YjdhMDJlMzU0YzdlMjRiOGY0MWJmYWQxOWUwYzBhMTJjYzE0ZDExNzEzNTk4N2U4OTMiLCJ"
    "hcGlfa2V5IjoiZmFrZWtleTAiLCJhcHBsaWNhdGlvbl9pZCI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTA"
    "wMDAwMDAwMDBiYiJ9.Xoe11Q63eDGimn09x139tJaRkuPEh9MX3CrqgECKcmM"
)
CALL: Final = "CON-1"
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def webhook_request(fields: Mapping[str, JsonValue], query: str = "") -> WebhookRequest:
    body: dict[str, JsonValue] = {"conversation_uuid": CALL, "uuid": "a", **fields}
    return build_request({"path": f"/webhooks/vonage{query}", "body_json": body}, base_url=BASE_URL)


def vector() -> WebhookRequest:
    return with_headers(
        replace(webhook_request({}), body=BODY_OF_VECTOR),
        {"authorization": f"Bearer {TOKEN_OF_VECTOR}"},
    )


def verify(request: WebhookRequest, *secrets: str, now: datetime = NOW) -> None:
    VONAGE.verify(request, Secrets(secrets or (SECRET,)), now)


def call_of(*messages: Mapping[str, JsonValue]) -> Call:
    """The call of some messages, the same in whatever order they come."""
    events = [VONAGE.parse(webhook_request(fields), "m1") for fields in messages]
    calls = [fold(itertools.chain(*order)) for order in itertools.permutations(events)]
    assert all(call == calls[0] for call in calls)
    return calls[0]


def test_known_token_is_accepted_at_its_time_only() -> None:
    """
    The vector of Vonage's own library is genuine when it was made, and not years later: its tokens
    never run out by themselves.
    """
    assert verify_signature(TOKEN_OF_VECTOR, SECRET_OF_VECTOR)
    verify(vector(), SECRET_OF_VECTOR, now=SIGNED_AT)
    with pytest.raises(InvalidSignature):
        verify(vector(), SECRET_OF_VECTOR)
    with pytest.raises(InvalidSignature):
        verify(vector(), "another secret", now=SIGNED_AT)


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """HTTP compares the name of a scheme without regard to case."""
    verify(
        with_headers(vector(), {"authorization": f"{scheme} {TOKEN_OF_VECTOR}"}),
        SECRET_OF_VECTOR,
        now=SIGNED_AT,
    )


def test_vonages_own_check_agrees() -> None:
    """
    What we sign is genuine to Vonage's library, and what it takes for a wrong signature is wrong to
    us.
    """
    for request in (
        sign(webhook_request({}), SECRET, SIGNED_AT),
        VONAGE.sign(webhook_request({}), Secrets((SECRET,)), SIGNED_AT),
    ):
        token = request.headers["authorization"][0].removeprefix("Bearer ")
        assert verify_signature(token, SECRET)
        assert not verify_signature(token, OTHER_SECRET)
        verify(request, SECRET, now=SIGNED_AT)
        with pytest.raises(InvalidSignature):
            verify(request, OTHER_SECRET, now=SIGNED_AT)


def test_signature_has_one_spelling() -> None:
    """
    The last character of a token holds bits that a forgiving decoder drops; each other character is
    refused all the same.
    """
    for last in ALPHABET.replace(TOKEN_OF_VECTOR[-1], ""):
        with pytest.raises(InvalidSignature):
            verify(
                with_headers(vector(), {"authorization": f"Bearer {TOKEN_OF_VECTOR[:-1]}{last}"}),
                SECRET_OF_VECTOR,
                now=SIGNED_AT,
            )


def test_short_secret_is_used_as_it_is() -> None:
    """Vonage's older secrets are shorter than a JWT library wants."""
    verify(VONAGE.sign(webhook_request({}), Secrets(("abc",)), NOW), "abc")


def test_clocks_may_differ_a_little() -> None:
    """A time of a fraction of a second, or a second ahead of ours, is a time."""
    request = webhook_request({})
    for iat in (NOW.timestamp() + 1, NOW.timestamp() - 0.25):
        verify(with_token(request, {**claims_of(request, NOW), "iat": iat}, SECRET))


def test_body_may_be_spelled_otherwise_but_not_say_anything_else() -> None:
    """
    The hash may be that of the compact JSON. Then blanks make no difference, and no second message
    either; every other change does.
    """
    genuine = sign(webhook_request({"status": "busy", "to": "Zoë"}), SECRET, NOW)
    fields = json.loads(genuine.body)
    for body in (
        json.dumps(fields),
        json.dumps(fields, indent=1),
        json.dumps(fields, ensure_ascii=False),
    ):
        spelled = replace(genuine, body=body.encode())
        verify(spelled)
        assert VONAGE.keys(genuine) == VONAGE.keys(spelled)
    reordered = json.dumps(dict(reversed(fields.items())))
    twice = genuine.body[:-1] + b',"status":"busy"}'
    for changed in (
        reordered.encode(),
        twice,
        json.dumps({**fields, "status": "completed"}).encode(),
        b"[]",
        b"\xff",
    ):
        with pytest.raises(InvalidSignature):
            verify(replace(genuine, body=changed))


def test_secret_of_another_account_is_one_of_the_list() -> None:
    """The account that the token names plays no part: each secret is tried."""
    request = webhook_request({})
    verify(
        with_token(request, {**claims_of(request, NOW), "api_key": "otherkey"}, OTHER_SECRET),
        SECRET,
        OTHER_SECRET,
    )


OUT: Final[dict[str, JsonValue]] = {
    "direction": "outbound",
    "from": "15005550006",
    "to": "15005550001",
}
IN: Final[dict[str, JsonValue]] = {
    "direction": "inbound",
    "from": "15005550001",
    "to": "15005550006",
}
STARTED: Final = {**OUT, "status": "started", "timestamp": "2026-11-02T10:00:00Z"}
ANSWERED: Final = {**OUT, "status": "answered", "timestamp": "2026-11-02T10:00:09Z"}
OVER: Final = {**OUT, "status": "completed", "duration": "0", "end_time": "2026-11-02T10:00:09Z"}
TALKED: Final = {**OUT, "status": "completed", "duration": "37", "end_time": "2026-11-02T10:00:46Z"}


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("busy", Result.BUSY),
        ("timeout", Result.NO_ANSWER),
        ("unanswered", Result.NO_ANSWER),
        ("rejected", Result.FAILED),
        ("failed", Result.FAILED),
        ("cancelled", Result.CANCELLED),
    ],
)
@pytest.mark.parametrize("second", [8, 10])
def test_completed_never_takes_the_place_of_a_failure(
    status: str, result: Result, second: int
) -> None:
    """It comes with every call that was not rejected, before the failure or after it."""
    failed = {**OUT, "status": status, "timestamp": f"2026-11-02T10:00:{second:02}Z"}
    assert (result, 0) == (
        call_of(STARTED, failed, OVER).result,
        call_of(STARTED, failed, OVER).duration_s,
    )


def test_talk_is_never_taken_back() -> None:
    """A failure that is reported late of a leg that had talk changes nothing."""
    late = {**OUT, "status": "failed", "timestamp": "2026-11-02T10:09:00Z"}
    assert Result.CONNECTED == call_of(ANSWERED, TALKED, late).result


def test_completed_alone_without_talk_decides_nothing() -> None:
    """
    The message with the cause was lost: the call stalls, and is reported, instead of getting a
    result that it may not have had.
    """
    assert call_of(STARTED, OVER).result is None
    assert (Result.CONNECTED, 0) == (
        call_of(ANSWERED, OVER).result,
        call_of(ANSWERED, OVER).duration_s,
    )
    assert call_of({**OUT, "status": "completed"}).result is None


def test_machine_is_found_by_call_uuid() -> None:
    """Machine detection names its leg in another field, and may come after the end."""
    machine: dict[str, JsonValue] = {
        "uuid": None,
        "call_uuid": "a",
        "status": "machine",
        "timestamp": "2026-11-02T10:01:00Z",
    }
    call = call_of(ANSWERED, TALKED, machine)
    assert (Result.LEFT_VOICEMAIL, AnsweredBy.MACHINE, 1) == (
        call.result,
        call.answered_by,
        len(call.legs),
    )


def test_recording_is_of_no_leg() -> None:
    """
    It is kept with the call, and makes neither a leg of the customer nor one that was answered.
    """
    recorded: dict[str, JsonValue] = {
        "uuid": None,
        "recording_url": "https://api.nexmo.com/v1/files/1",
        "recording_uuid": "r1",
        "start_time": "2026-11-02T10:00:09Z",
        "end_time": "2026-11-02T10:00:46Z",
    }
    call = call_of(STARTED, ANSWERED, TALKED, recorded)
    assert (Result.CONNECTED, 37, "+15005550001") == (call.result, call.duration_s, call.to_number)
    assert ("r1", 37) == (
        call.recording and call.recording.recording_id,
        call.recording and call.recording.duration_s,
    )
    missed = call_of(
        {**IN, "status": "answered"}, {**IN, "status": "completed", "duration": "20"}, recorded
    )
    assert (Result.ABANDONED, Direction.INBOUND, 0) == (
        missed.result,
        missed.direction,
        missed.duration_s,
    )


def test_address_says_what_a_recording_is() -> None:
    """
    A message that a caller left looks like any other recording; the query of its address tells them
    apart, and nothing else.
    """
    recorded: dict[str, JsonValue] = {
        "uuid": None,
        "recording_url": "https://api.nexmo.com/v1/files/1",
    }
    events = [
        *VONAGE.parse(webhook_request({**IN, "status": "answered"}), "m0"),
        *VONAGE.parse(webhook_request({**IN, "status": "completed", "duration": "20"}), "m1"),
        *VONAGE.parse(webhook_request(recorded, "?record=voicemail"), "m2"),
    ]
    assert Result.VOICEMAIL_RECEIVED == fold(events).result
    assert VONAGE.keys(webhook_request(recorded)) == VONAGE.keys(
        webhook_request(recorded, "?record=voicemail")
    )


@pytest.mark.parametrize(
    "query", ["?record=vm", "?buildr_call_id=110", "?record=vm&record=memo&buildr_call_id=110"]
)
def test_fault_in_the_address_of_a_recording_keeps_no_call_open(query: str) -> None:
    """
    A word that is not known, or an id that is not signed, is reported; the call ends as it would
    have without it.
    """
    recorded: dict[str, JsonValue] = {
        "uuid": None,
        "recording_url": "https://api.nexmo.com/v1/files/1",
    }
    rung: dict[str, JsonValue] = {
        "uuid": "b",
        "direction": "outbound",
        "from": "15005550006",
        "to": "15005550008",
    }
    caller = [{**IN, "status": "answered"}, {**IN, "status": "completed", "duration": "20"}]
    for before, result in (
        (caller, Result.ABANDONED),
        ([*caller, {**rung, "status": "timeout"}], Result.MISSED_INBOUND),
    ):
        events = [
            event for fields in before for event in VONAGE.read(webhook_request(fields), "m1")
        ]
        call = fold([*events, *VONAGE.read(webhook_request(recorded, query), "m2")])
        assert (result, True) == (call.result, bool(call.unknown_values))
        assert call.recording is not None


def test_hidden_caller_is_no_user_of_an_app() -> None:
    """A caller without a number stays the customer."""
    call = call_of(
        {**IN, "from": "unknown", "status": "answered"},
        {**IN, "from": "unknown", "status": "completed", "duration": "20"},
    )
    assert (Direction.INBOUND, Result.ABANDONED) == (call.direction, call.result)


CALLED_IN: Final = {**IN, "status": "answered", "timestamp": "2026-11-02T10:00:01Z"}
CALLER_GONE: Final = {
    **IN,
    "status": "completed",
    "duration": "137",
    "end_time": "2026-11-02T10:02:18Z",
}
MOVED: Final[dict[str, JsonValue]] = {
    "conversation_uuid": None,
    "conversation_uuid_from": CALL,
    "conversation_uuid_to": "CON-2",
    "timestamp": "2026-11-02T10:00:05Z",
}


def test_leg_that_moves_leaves_its_first_call_open() -> None:
    """
    A caller's leg goes on in another conversation, under whose id all later events come: for the
    first one it is in a conference, and neither id gets a result that the caller may not have had.
    """
    first = call_of(CALLED_IN, MOVED)
    assert (CALL, None) == (first.source_call_id, first.result)
    assert ["CON-2"] == [stay.conference_id for leg in first.legs for stay in leg.conference_stays]
    assert call_of(CALLER_GONE).result is None


def test_conversation_that_legs_moved_into_tells_what_happens_there() -> None:
    """An agent who was there too, or was called there, shows how the call went."""
    agent: dict[str, JsonValue] = {**OUT, "uuid": "b", "to": "15005550008"}
    talked: dict[str, JsonValue] = {
        **agent,
        "status": "completed",
        "duration": "95",
        "end_time": "2026-11-02T10:02:17Z",
    }
    call = call_of(CALLER_GONE, talked)
    assert (Result.CONNECTED, Direction.INBOUND, 95) == (
        call.result,
        call.direction,
        call.duration_s,
    )
    rung: dict[str, JsonValue] = {
        **agent,
        "status": "timeout",
        "timestamp": "2026-11-02T10:00:45Z",
    }
    assert Result.MISSED_INBOUND == call_of(CALLER_GONE, rung).result


@pytest.mark.parametrize(
    ("leg", "disconnected_by", "party"),
    [
        (IN, "user", Party.CUSTOMER),
        (IN, "platform", None),
        ({**IN, "from": None, "from_user": "alice"}, "user", None),
        (OUT, "user", None),
    ],
)
def test_caller_who_hung_up_is_known(
    leg: dict[str, JsonValue], disconnected_by: str, party: Party | None
) -> None:
    """
    Vonage tells whether the far end of a leg hung up. Who that is, is plain of a caller's leg
    alone.
    """
    over: dict[str, JsonValue] = {
        **leg,
        "status": "completed",
        "duration": "20",
        "disconnected_by": disconnected_by,
    }
    (event,) = VONAGE.parse(webhook_request(over), "m1")
    assert party is event.hung_up_by


def test_answer_is_empty() -> None:
    """For an event that could be answered with an NCCO, an empty 200 lets the call go on."""
    reply = VONAGE.reply(webhook_request({}))
    assert (200, b"", None) == (reply.status, reply.body, reply.content_type)
