"""
What is peculiar to CallRail: its signature's vector, the kinds of its messages, and what a call's
note may name.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import pytest
from msgspec.structs import replace

from service.errors import InvalidSignature
from service.events import CallEvent, EventType, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.callrail.contract import CONTRACT
from tests.sources.cases import Receive, signed
from tests.sources.contract import with_headers
from workers.calls.fold import fold

CALLRAIL: Final = SOURCES["callrail"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
CALL: Final = "CAL00000000000000000000000000000001"
KEY, OTHER_KEY = CONTRACT.secrets
# Worked out with openssl dgst -sha1 -hmac.
BODY_OF_VECTOR: Final = (
    b'{"resource_id":"CAL00000000000000000000000000000001","answered":true,"duration":"61"}'
)
SIGNATURE_OF_VECTOR: Final = "yr6W6pPum93UGL4Kjg7fRtCA9bU="


def vector() -> WebhookRequest:
    headers = {"content-type": ("application/json",), "signature": (SIGNATURE_OF_VECTOR,)}
    return WebhookRequest(
        method="POST",
        url=f"{BASE_URL}/webhooks/callrail?kind=post-call",
        headers=headers,
        body=BODY_OF_VECTOR,
    )


def parse(query: str = "?kind=post-call", /, **fields: JsonValue) -> list[CallEvent]:
    body: dict[str, JsonValue] = {
        "resource_id": CALL,
        "direction": "inbound",
        "answered": True,
        **fields,
    }
    return CALLRAIL.parse(
        build_request({"path": f"/webhooks/callrail{query}", "body_json": body}, base_url=BASE_URL),
        "m1",
    )


def test_known_signature_is_accepted() -> None:
    """
    A signature worked out with another program is accepted, with any one of the companies' keys.
    """
    CALLRAIL.verify(vector(), Secrets((KEY,)), NOW)
    CALLRAIL.verify(vector(), Secrets((OTHER_KEY, KEY)), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "yr6W6pPum93UGL4Kjg7fRtCA9bU",
        "yr6W6pPum93UGL4Kjg7fRtCA9bV=",
        "yr6W6pPum93UGL4Kjg7fRtCA9bU= ",
        "",
        "cabe96ea93ee9bddd418be0a8e0edf46d080f5b5",
    ],
)
def test_other_spellings_of_a_signature_are_refused(text: str) -> None:
    """Base64 has one spelling; hexadecimal digits are none."""
    with pytest.raises(InvalidSignature):
        CALLRAIL.verify(with_headers(vector(), {"signature": text}), Secrets((KEY,)), NOW)


async def test_get_is_refused(receive: Receive) -> None:
    """The query that CallRail may append is no message."""
    request = replace(signed("callrail", CONTRACT.smallest), method="GET")
    assert HTTPStatus.METHOD_NOT_ALLOWED == await receive(request)


def test_message_counts_once_under_whatever_address_it_comes() -> None:
    """
    Only the body is signed: the same body under another kind is the same message, so that nobody
    can make a second one of it.
    """
    assert CALLRAIL.keys(vector()) == CALLRAIL.keys(
        replace(vector(), url=f"{BASE_URL}/webhooks/callrail?kind=modified")
    )


def test_answer_is_quick_and_empty() -> None:
    """CallRail gets 200 and nothing else."""
    assert (200, b"") == (CALLRAIL.reply(vector()).status, CALLRAIL.reply(vector()).body)


def test_call_that_has_come_in_is_not_missed_yet() -> None:
    """
    CallRail says of a call that only rings that it was missed and lasted no time; that is no
    result.
    """
    placeholder: dict[str, JsonValue] = {"answered": False, "call_type": "missed", "duration": 0}
    (event,) = parse("", **placeholder)
    assert (EventType.RINGING, None) == (event.event_type, event.result)
    (event,) = parse("", **(placeholder | {"duration": "31"}))
    assert (EventType.ENDED, Result.MISSED_INBOUND) == (event.event_type, event.result)


@pytest.mark.parametrize(
    ("direction", "fields", "result"),
    [
        ("inbound", {"answered": True}, Result.CONNECTED),
        ("inbound", {"answered": "true"}, Result.CONNECTED),
        ("inbound", {"answered": "false"}, Result.MISSED_INBOUND),
        ("inbound", {"answered": False, "voicemail": True}, Result.VOICEMAIL_RECEIVED),
        ("inbound", {"answered": True, "voicemail": "true"}, Result.VOICEMAIL_RECEIVED),
        ("inbound", {"answered": False, "call_type": "abandoned"}, Result.ABANDONED),
        ("inbound", {"answered": False, "formatted_duration": "(abandoned)"}, Result.ABANDONED),
        ("inbound", {"answered": True, "formatted_duration": "(abandoned)"}, Result.CONNECTED),
        ("outbound", {"answered": "false", "formatted_duration": "(abandoned)"}, Result.NO_ANSWER),
        ("outbound", {"answered": "true", "voicemail": True}, Result.CONNECTED),
    ],
)
def test_flags_say_how_a_call_ended(
    direction: str, fields: dict[str, JsonValue], result: Result
) -> None:
    """
    Flags may be booleans or words; a voicemail of a caller counts before an answer, and
    `(abandoned)` only of a caller.
    """
    (event,) = parse(direction=direction, **fields)
    assert result == event.result == fold([event]).result


def test_later_note_counts_and_a_voicemail_keeps_its_transcript() -> None:
    """
    What was changed after the call replaces what was reported when it ended, whichever comes first.
    """
    first = parse(
        answered=False,
        voicemail=True,
        recording="https://app.callrail.com/1",
        recording_duration="12",
        note="a",
    )
    later = parse(
        "?kind=modified",
        answered=False,
        voicemail=True,
        recording="https://app.callrail.com/1",
        transcription="Hello.",
        note="Z",
    )
    for events in ([*first, *later], [*later, *first]):
        call = fold(events)
        assert ("Z", Result.VOICEMAIL_RECEIVED) == (call.note, call.result)
        assert call.voicemail is not None
        assert "Hello." == call.voicemail.transcript


@pytest.mark.parametrize(
    ("note", "buildr_call_id"),
    [
        ("buildr_call_id=110", "110"),
        ("Wants a price, buildr_call_id: 110.", "110"),
        ("buildr_call_id =110", "110"),
        ("xbuildr_call_id=110", None),
        ("buildr_call_id=110a", None),
        ("buildr_call_id=" + "1" * 21, None),
        ("buildr_call_id=\u0661\u0661\u0660", None),
        ("Call 110", None),
        (None, None),
    ],
)
def test_note_may_name_the_buildr_call(note: str | None, buildr_call_id: str | None) -> None:
    """
    The note is signed with the body, and can be written through CallRail's API; nothing but the
    exact form counts.
    """
    (event,) = parse(note=note)
    assert buildr_call_id == event.buildr_call_id


def test_what_a_visitor_may_write_names_no_call() -> None:
    """
    Fields that come from the customer's browser, or from the customer's own name, are signed by
    CallRail and no word of ours.
    """
    text = "buildr_call_id=110"
    (event,) = parse(
        custom=text,
        customer_name=text,
        landing_page_url=f"https://example.com/?{text}",
        utm_source=text,
        tags=[text],
    )
    assert event.buildr_call_id is None


def test_customer_is_the_other_company_whoever_called() -> None:
    """From the customer to our tracking number, or the other way round."""
    numbers: dict[str, JsonValue] = {
        "customer_phone_number": "+15005550001",
        "tracking_phone_number": "+15005550006",
    }
    ours = "+15005550006"
    customer = "+15005550001"
    assert [(customer, ours)] == [
        (event.from_number, event.to_number) for event in parse(**numbers)
    ]
    assert [(ours, customer)] == [
        (event.from_number, event.to_number) for event in parse(direction="outbound", **numbers)
    ]


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_time_at_the_end_of_the_calendar_is_handled(start: str) -> None:
    """A time that cannot be moved is kept or left out; the result counts all the same."""
    (event,) = parse(start_time=start, duration="61")
    assert Result.CONNECTED == event.result


@pytest.mark.parametrize(
    ("fields", "talk_s", "wait_s", "agent"),
    [
        ({}, 61, None, "alice@example.com"),
        ({"answered": False}, 0, 61, None),
        ({"answered": False, "call_type": "abandoned"}, 0, 61, None),
        ({"answered": False, "voicemail": True}, 0, None, None),
        ({"answered": False, "direction": "outbound"}, 0, None, "alice@example.com"),
    ],
)
def test_whole_time_of_a_caller_whom_nobody_took_was_waiting(
    fields: dict[str, JsonValue], talk_s: int, wait_s: int | None, agent: str | None
) -> None:
    """CallRail tells one duration; whose call it is says nothing of one that nobody took."""
    values: dict[str, JsonValue] = {"duration": "61", "agent_email": "alice@example.com", **fields}
    (end,) = parse(**values)
    assert (talk_s, wait_s, agent) == (end.duration_s, end.wait_s, end.agent)
