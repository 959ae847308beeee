"""
What is peculiar to JustCall: its signature and what that leaves uncovered, its times, the probe of
a new address, and what comes late.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import InvalidSignature
from service.events import AnsweredBy, Direction, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.justcall.signature import SIGNATURE, TIME, VERSION
from service.sources.settings import Secrets
from tests.sources.cases import fixture
from tests.sources.contract import with_headers
from tests.sources.justcall.contract import sign as sign_justcall
from tests.sources.justcall.contract import signature
from workers.calls.fold import Call, fold

JUSTCALL: Final = SOURCES["justcall"]
SECRET: Final = "fake-justcall-secret-000"
URL: Final = "https://hooks.example.test/webhooks/justcall"
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
SID: Final = "CA00000000000000000000000000000001"


def message(
    kind: str,
    *,
    at: str = "2026-11-02 10:05:00",
    url: str = URL,
    request_id: str = "r1",
    **data: JsonValue,
) -> WebhookRequest:
    """An unsigned message about one call."""
    body = {
        "request_id": request_id,
        "webhook_url": url,
        "type": kind,
        "data": {"call_sid": SID, **data},
    }
    return WebhookRequest(
        method="POST",
        url=url,
        headers={"content-type": ("application/json",), TIME: (at,)},
        body=json.dumps(body).encode(),
    )


def call_of(*messages: WebhookRequest) -> Call:
    """The call that some messages report."""
    return fold(event for request in messages for event in JUSTCALL.parse(request, "m1"))


def verify(request: WebhookRequest, *secrets: str, now: datetime = NOW) -> None:
    JUSTCALL.verify(request, Secrets(secrets or (SECRET,)), now)


def info(kind: str = "", direction: str = "Outgoing", **more: JsonValue) -> JsonValue:
    return {"type": kind, "direction": direction, **more}


@pytest.mark.parametrize(
    ("secret", "url", "time", "digest"),
    [
        (
            SECRET,
            "https://hooks.example.test/in/justcall?tenant=7",
            "2026-03-02 09:15:30",
            "28c06d3bb5c85c9700f6d4b241961c895ac91d377aa947ed2ba46dd4da69f8dd",
        ),
        # The worked example of https://developer.justcall.io/docs/dynamic-webhook-signatures; its
        # secret is no one's.
        (
            "ea39089c40790e9dc7a080ec95e849b8fa0fa5fb",
            "https://webhook.site/3bcea770-370a-4b09-8b66-426f687e08a4",
            "2024-03-21 17:08:22",
            "56761bae5b27a784a3ddd2af828bc5def7176bc0a8650199b04c737bd39bbecf",
        ),
    ],
)
def test_known_signatures_are_accepted(secret: str, url: str, time: str, digest: str) -> None:
    """
    A signature that JustCall's documentation shows, and one that another library made, are
    accepted; so is our own the same.
    """
    now = datetime.fromisoformat(f"{time}+00:00")
    request = with_headers(
        message("call.completed", at=time, url=url), {SIGNATURE: digest, VERSION: "v1"}
    )
    verify(request, secret, now=now)
    assert digest == signature(url, "call.completed", time, secret)
    assert digest == JUSTCALL.sign(request, Secrets((secret,)), now).header(SIGNATURE)


def test_address_in_the_body_proves_nothing_by_itself() -> None:
    """A message that is signed for another address, and says so itself, is refused here."""
    other = sign_justcall(
        message("call.completed", url="https://elsewhere.example.com/webhooks/justcall"),
        SECRET,
        NOW,
    )
    with pytest.raises(InvalidSignature):
        verify(replace(other, url=URL))


def test_data_of_a_call_is_not_signed() -> None:
    """As our page warns: the rest of the body may change under the same signature."""
    request = sign_justcall(message("call.completed", call_info=info("Busy")), SECRET, NOW)
    verify(replace(request, body=request.body.replace(b"Busy", b"Answered")))


@pytest.mark.parametrize(
    "time", ["2026-11-02 10:05:00", "1793613900", "1793613900000", "2026-11-02T10:05:00Z"]
)
def test_time_may_be_a_text_or_a_number(time: str) -> None:
    """JustCall's pages show a text in one place and a number in another."""
    request = sign_justcall(message("call.completed", at=time), SECRET, NOW)
    for seconds in (-600, 0, 600):
        verify(request, now=NOW + timedelta(seconds=seconds))
    for seconds in (-601, 601):
        with pytest.raises(InvalidSignature):
            verify(request, now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "time",
    [
        "soon",
        "-1",
        "0",
        "9" * 14,
        "9" * 40,
        "2026-11-02",
        "2026-13-02 10:05:00",
        "٢٠٢٦",
        "10:05:00",
    ],
)
def test_other_times_are_refused(time: str) -> None:
    """What is no time, or a far one, is refused although it is signed."""
    with pytest.raises(InvalidSignature):
        verify(sign_justcall(message("call.completed", at=time), SECRET, NOW))


@settings(max_examples=150, deadline=None)
@given(
    query=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=20),
    kind=st.text(min_size=1, max_size=10),
)
def test_every_address_is_encoded_as_javascript_does(query: str, kind: str) -> None:
    """
    Ours and the contract's `encodeURIComponent` agree on every character that a URL may hold, and
    on any type.
    """
    request = message(kind, url=f"{URL}?x={query}")
    verify(sign_justcall(request, SECRET, NOW))
    assert sign_justcall(request, SECRET, NOW).header(SIGNATURE) == JUSTCALL.sign(
        request, Secrets((SECRET,)), NOW
    ).header(SIGNATURE)


def test_own_signature_writes_the_address_into_the_body() -> None:
    """A request file may have been captured at another address, or name none."""
    captured = replace(
        message("call.completed", url="https://elsewhere.example.com/x"),
        url="http://127.0.0.1:8000/webhooks/justcall",
    )
    verify(JUSTCALL.sign(captured, Secrets((SECRET,)), NOW))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data": {}}',
        b'{"type": "url.validation", "request_id": "r1"}',
        b'{"type": null, "request_id": ""}',
    ],
)
def test_probe_of_a_new_address_is_answered(body: bytes) -> None:
    """
    JustCall tries a new URL with a request that is about no call; it is answered, unproved, and
    nothing of it is kept.
    """
    probe = WebhookRequest(
        method="POST", url=URL, headers={"content-type": ("application/json",)}, body=body
    )
    reply = JUSTCALL.handshake(probe, Secrets((SECRET,)), NOW)
    assert reply is not None
    assert (200, b"") == (reply.status, reply.body)
    with pytest.raises(InvalidSignature):
        verify(probe)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"{",
        b'{"type": "call.completed"}',
        b'{"request_id": "r1"}',
        b"\xff",
        b'{"call_sid": "CA1", "direction": "1"}',
        b'{"id": 5}',
        b'{"data": {"call_sid": "CA1"}}',
        b'{"type": "url.validation", "data": {"id": 5}}',
    ],
)
def test_what_is_no_probe_must_be_proved(body: bytes) -> None:
    """
    A request that names an event or a call, or is no JSON object, gets no answer before it is
    proved: the end of a call must not be lost.
    """
    request = WebhookRequest(
        method="POST", url=URL, headers={"content-type": ("application/json",)}, body=body
    )
    assert JUSTCALL.handshake(request, Secrets((SECRET,)), NOW) is None
    with pytest.raises(InvalidSignature):
        verify(request)


def test_message_is_named_by_its_request_id() -> None:
    """A retry is the same message whatever else of it changed; without an id the body names it."""
    one = message("call.completed", call_info=info("Busy"))
    assert JUSTCALL.keys(one) == JUSTCALL.keys(
        message("call.completed", call_info=info("Busy"), at="2026-11-02 10:06:00")
    )
    assert (
        JUSTCALL.keys(one).message_key
        != JUSTCALL.keys(
            message("call.completed", call_info=info("Busy"), request_id="r2")
        ).message_key
    )
    assert (
        JUSTCALL.keys(one).message_key
        != JUSTCALL.keys(message("call.updated", call_info=info("Busy"))).message_key
    )
    bare, other = (
        message("call.completed", request_id="", call_info=info(kind))
        for kind in ("Busy", "Failed")
    )
    assert JUSTCALL.keys(bare) == JUSTCALL.keys(bare)
    assert JUSTCALL.keys(bare).message_key != JUSTCALL.keys(other).message_key


def test_the_later_change_counts() -> None:
    """
    Of two dispositions the one of the later event counts, whichever arrives first, and whether it
    comes before or after the end.
    """
    before = message("call.updated", at="2026-11-02 10:00:30", call_info=info(disposition="Zero"))
    end = message(
        "call.completed", at="2026-11-02 10:01:00", call_info=info("Answered", disposition="")
    )
    first = message(
        "call.updated",
        at="2026-11-02 10:02:00",
        call_info=info("Answered", disposition="Maybe", notes="z"),
    )
    second = message(
        "call.updated",
        at="2026-11-02 10:03:00",
        call_info=info("Answered", disposition="Interested", notes="a"),
    )
    assert (Result.CONNECTED, "Zero") == ((call := call_of(end, before)).result, call.disposition)
    assert ("Interested", "a") == (
        (call := call_of(second, first, end, before)).disposition,
        call.note,
    )
    assert call_of(before).is_final is False


def test_tags_add_up() -> None:
    """A tag that was reported once stays."""
    call = call_of(
        message("call.updated", tags=["hot"]),
        message("call.updated", tags=[{"name": "later"}, {"id": 3}, 5, None]),
    )
    assert ("hot", "later") == call.tags


@pytest.mark.parametrize(
    ("event_name", "outcome", "direction", "result"),
    [
        ("call.completed", "Failed", "Incoming", Result.MISSED_INBOUND),
        ("call.completed", "Busy", "Incoming", Result.MISSED_INBOUND),
        ("call.completed", "Blocked", "Incoming", Result.REJECTED),
        ("call.missed", "blocked", "", Result.REJECTED),
        ("call.completed", "Blocked", "Outgoing", Result.REJECTED),
        ("call.completed", "Abandoned", "Incoming", Result.ABANDONED),
        ("call.missed", "Abandoned", "Incoming", Result.ABANDONED),
        ("call.missed", "", "", Result.MISSED_INBOUND),
        ("call.voicemail", "", "", Result.VOICEMAIL_RECEIVED),
        ("call.voicemail", "Answered", "Incoming", Result.VOICEMAIL_RECEIVED),
        ("call.completed", "VOICEMAIL", "INCOMING", Result.VOICEMAIL_RECEIVED),
        ("call.completed", "Voicemail", "Outgoing", Result.LEFT_VOICEMAIL),
        ("sd.call_completed", "Unanswered", "Outgoing", Result.NO_ANSWER),
    ],
)
def test_outcome_follows_from_event_type_and_direction(
    event_name: str, outcome: str, direction: str, result: Result
) -> None:
    """The event's name, the type and the direction give the result together."""
    call = call_of(message(event_name, call_info=info(outcome, direction)))
    assert result == call.result
    is_machine = call.answered_by is AnsweredBy.MACHINE
    assert (result is Result.LEFT_VOICEMAIL) == is_machine


def test_call_is_not_read_without_its_direction() -> None:
    """
    A missed call may be the rep's or the customer's: without a direction it is reported, and
    neither ends nor names its numbers.
    """
    call = call_of(
        message("call.completed", contact_number="15005550001", call_info=info("Missed", ""))
    )
    assert (None, None, None) == (call.result, call.from_number, call.to_number)
    assert ("call.completed without a known call_info.direction",) == call.unknown_values


@pytest.mark.parametrize(("direction", "unknown_values"), [("", ()), ("Sideways", ("Sideways",))])
def test_answered_call_is_connected_whoever_called(
    direction: str, unknown_values: tuple[str, ...]
) -> None:
    """Whether a person was reached does not depend on the direction; the numbers stay open."""
    call = call_of(
        message(
            "call.completed", contact_number="15005550001", call_info=info("Answered", direction)
        )
    )
    assert (Result.CONNECTED, None, None) == (call.result, call.direction, call.from_number)
    assert unknown_values == call.unknown_values


@pytest.mark.parametrize(
    ("event_name", "outcome"),
    [("call.completed", "Answered"), ("call.missed", "Missed"), ("call.voicemail", "Voicemail")],
)
def test_end_alone_tells_when_the_call_began(event_name: str, outcome: str) -> None:
    """
    A call of which only the end was received began at JustCall's `call_time`, not when it ended or
    the talk began.
    """
    duration: JsonValue = {"total_duration": 300, "conversation_time": 20}
    call = call_of(
        message(
            event_name,
            call_date="2026-11-02",
            call_time="10:00:00",
            call_duration=duration,
            call_info=info(outcome, "Incoming", notes="x"),
        )
    )
    assert ("2026-11-02T10:00:00+00:00", "2026-11-02T10:05:00+00:00") == (
        call.started_at and call.started_at.isoformat(),
        call.ended_at and call.ended_at.isoformat(),
    )
    assert "x" == call.note


def test_numbers_get_their_plus() -> None:
    """JustCall leaves it out; which number is whose follows from the direction."""
    call = call_of(
        message("call.incoming", contact_number="15005550001", justcall_number="+15005550006")
    )
    assert (Direction.INBOUND, "+15005550001", "+15005550006") == (
        call.direction,
        call.from_number,
        call.to_number,
    )


def test_metadata_names_the_buildr_call_and_the_address_does_not() -> None:
    """
    The address is one for all calls, so that an id in it, signed or not, is none of any call's.
    """
    assert call_of(fixture("justcall", "metadata__object")).buildr_call_id == "110"
    assert (
        call_of(
            message("call.completed", url=f"{URL}?buildr_call_id=110", call_info=info("Busy"))
        ).buildr_call_ids
        == ()
    )


@pytest.mark.parametrize(
    ("durations", "talk_s", "wait_s"),
    [
        ({"total_duration": 180, "conversation_time": 137, "ring_time": 15}, 137, 15),
        ({"conversation_time": 137, "ring_time": 15, "queue_wait_time": 28}, 137, 43),
        ({"total_duration": 180, "ring_time": 15, "queue_wait_time": 28}, 137, 43),
        ({"total_duration": 20, "ring_time": 30}, 0, 30),
        ({"total_duration": 52}, 52, None),
        ({"conversation_time": 37, "ring_time": 0, "queue_wait_time": 0}, 37, None),
        ({"ring_time": 15}, None, 15),
    ],
)
def test_talk_and_waiting_are_separate(
    durations: dict[str, JsonValue], talk_s: int | None, wait_s: int | None
) -> None:
    """What JustCall states of ring and queue is waiting, and never talk."""
    request = message(
        "call.completed", call_info=info("Answered", "Incoming"), call_duration=durations
    )
    end = JUSTCALL.parse(request, "m1")[-1]
    assert (talk_s, wait_s) == (end.duration_s, end.wait_s)


@pytest.mark.parametrize(
    ("traits", "is_transferred", "is_forwarded"),
    [
        (["TRANSFER"], True, None),
        (["QUEUE", "FORWARD"], None, True),
        (["IVR", "MERGE"], None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_traits_say_whether_a_call_was_transferred_or_forwarded(
    traits: JsonValue, is_transferred: bool | None, is_forwarded: bool | None
) -> None:
    """A trait that is missing says nothing."""
    call_info = info("Answered", "Incoming", call_traits=traits)
    events = JUSTCALL.parse(message("call.completed", call_info=call_info), "m1")
    assert {(is_transferred, is_forwarded)} == {
        (event.is_transferred, event.is_forwarded) for event in events
    }


def test_agent_of_a_call_that_nobody_took_was_rung() -> None:
    """Whose telephone it was did not talk."""
    call = call_of(
        message(
            "call.missed", call_info=info("Missed", "Incoming"), agent_email="alice@example.com"
        )
    )
    assert (None, ("alice@example.com",)) == (call.agent, call.rang_agents)


@pytest.mark.parametrize(
    ("call_info", "expected", "answered_by"),
    [
        ({"type": "OUTGOING_HUMAN_ANSWERED"}, Result.CONNECTED, None),
        ({"type": "Outgoing Answered Call"}, Result.CONNECTED, None),
        ({"type": "OUTGOING_MACHINE_ANSWERED"}, Result.LEFT_VOICEMAIL, AnsweredBy.MACHINE),
        (
            {"type": "Answered", "call_answered_by": "Machine"},
            Result.LEFT_VOICEMAIL,
            AnsweredBy.MACHINE,
        ),
        ({"type": "Answered", "call_answered_by": "Human"}, Result.CONNECTED, None),
        ({"type": "OUTGOING_UNANSWERED_CALL", "call_answered_by": ""}, Result.NO_ANSWER, None),
        ({"type": "OUTGOING_ABANDONED_CALL"}, Result.CANCELLED, None),
    ],
)
def test_sales_dialer_names_what_picked_up(
    call_info: dict[str, JsonValue], expected: Result, answered_by: AnsweredBy | None
) -> None:
    """Its types are longer, and its calls always outgoing, with the duration beside the type."""
    call = call_of(message("sd.call_completed", call_info={**call_info, "duration": 37}))
    assert expected is call.result
    assert answered_by is call.answered_by
    if call.result is Result.CONNECTED:
        assert call.duration_s == 37


def test_sales_dialer_call_without_a_sid_is_named_by_its_call_id() -> None:
    """The Sales Dialer has no `id`."""
    call = call_of(
        message("sd.call_completed", call_sid=None, call_id=2001, call_info=info("Busy"))
    )
    assert call.source_call_id == "2001"
