"""
What the console says in words: concerns, answers, times, and messages as people read them.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.errors import FailureCause, PayloadTooLarge
from service.events import CallEvent, EventType
from service.settings import Installation, Settings
from service.sources.request import FORM, JSON, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.failed import Failed
from service.store.messages import Message
from service.store.rate_limit.backlog import Outage
from service.store.rate_limit.lanes import Lane
from tests.workers.console.harness import DELIVERED, Browser, open_browser, text_of
from workers.console import answering
from workers.console.answering import Answering
from workers.console.call_facts import (
    _body_of,
    _seconds,
    _verdict_of,
    answer_of,
    next_step_of,
)
from workers.console.formats import (
    NOTHING,
    ago,
    clock,
    count,
    span,
    utc,
    without_commands,
    words,
)
from workers.console.gate import fault_page
from workers.console.masker import Masker, masker_of, with_numbers_of
from workers.console.overview import _concerns
from workers.delivery.intake_status import SourceStatus, SpoolDepth
from workers.delivery.status import AccountStatus, LaneStatus, read_account_status
from workers.matching.reasons import DAMAGED_LINK, KINDS, LINK, NO_LINK, kind_of
from workers.replay.explain import DeliveryExplanation, StoredCallExplanation

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
SILENT = SourceStatus(
    slug="zoom",
    title="Zoom Phone",
    last_at=AT,
    handshake_at=None,
    silent_since=AT,
    subscription=None,
)
NO_DELIVERY = DeliveryExplanation(
    stored=StoredCall(version=1, record=DeliveryRecord(ref=DELIVERED), events={}),
    pending_messages=(),
    link=None,
    failed=None,
    failed_messages=(),
)


async def _well(store: Store, make_settings: Callable[..., Settings]) -> AccountStatus:
    return replace(await read_account_status(make_settings(), store), workers_alive=1)


async def test_nothing_is_a_concern_while_all_is_well(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """The page then says so."""
    well = await _well(store, make_settings)
    assert [] == list(_concerns(well, [replace(SILENT, silent_since=None)], SpoolDepth()))


async def test_what_is_wrong_is_listed_the_worst_first(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """Each fact in a line of its own, with what to do."""
    outage = Outage(since=AT, cause="buildr_unauthorized", next_try_at=AT)
    status = replace(
        await _well(store, make_settings),
        workers_alive=0,
        outage=outage,
        blocked_s=7.0,
        lanes=(LaneStatus(lane=Lane.FINAL, calls=3, oldest_age_s=4000.0),),
        redis_clock_set_back_s=60.0,
        oldest_message_age_s=400.0,
        stalled=2,
    )
    concerns = list(_concerns(status, [SILENT], SpoolDepth(messages=1200, set_aside=1)))
    texts = [concern.text for concern in concerns]
    assert texts[:8] == [
        "No worker is running",
        "Buildr is away (buildr unauthorized)",
        "Buildr asked everybody to wait (429), 7 s more",
        "A call has waited for Buildr for 66 min",
        "The clock of Redis was set back by 60 s",
        "A message has waited for a worker for 6 min",
        "1,200 messages wait on disk for Redis",
        "1 spooled message was set aside",
    ]
    assert texts[8].startswith("Zoom Phone has been silent for ")
    assert texts[9] == "2 stalled"
    assert all(concern.advice for concern in concerns)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            b'{"raw_digits": "0176360695", "id": 2176360695123}',
            '{"raw_digits": "••••••••95", "id": 2176360695123}',
        ),
        (b'{"external_number": "49301234567", "x": "49301234567"}', '"x": "•••••••••67"'),
        (b'{"numbers": [{"callee_did_number": 301234567}]}', '"callee_did_number": •••••••67'),
        (b'{"phone": "(030) 123-4567", "x": "0301234567"}', '"x": "••••••••67"'),
        (b"to_number=0301234567&id=0301234567", "&id=••••••••67"),
        (b'{"id": "0301234567", "to": "12345"}', '"id": "0301234567"'),
        (b"[" * 100_000, "[["),
    ],
)
def test_numbers_of_a_messages_own_fields_are_hidden(body: bytes, shown: str) -> None:
    """In whatever form, and wherever else in it they are; ids and extensions stay."""
    event = CallEvent(
        source="aircall",
        message_id="m1",
        source_call_id="1",
        leg_id="1",
        event_type=EventType.UPDATED,
        from_number="+33176360695",
    )
    masker = with_numbers_of(masker_of([event], is_revealed=False), [body])
    assert shown in masker.text(body.decode())
    revealed = with_numbers_of(masker_of([event], is_revealed=True), [body])
    assert body.decode() == revealed.text(body.decode())


def test_times_are_read_at_a_glance() -> None:
    """In their largest unit, ahead or ago."""
    assert [NOTHING, "59 s", "119 s", "2 min", "2 h", "3 d"] == [
        span(seconds) for seconds in (None, 59, 119, 120, 7200, 3 * 86_400)
    ]
    assert ago(utc_now() + timedelta(minutes=210)) == "in 3 h"
    assert [NOTHING] * 4 == [ago(None), utc(None), clock(None), words(None)]
    assert (clock(AT), count(1234567), words("no_answer")) == ("10:00:00", "1,234,567", "no answer")
    assert ["", "59 s", "2 min 05 s"] == [_seconds(seconds) for seconds in (None, 59, 125)]


def test_every_state_has_an_answer() -> None:
    """No page of a call is without its first sentence."""
    for state in DeliveryState:
        record = replace(DeliveryRecord(ref=DELIVERED), state=state)
        delivery = replace(NO_DELIVERY, stored=replace(NO_DELIVERY.stored, record=record))
        explanation = StoredCallExplanation(call=None, delivery=delivery)
        assert answer_of(explanation, workers=1).endswith("nothing was read of this call yet.")
        next_step = next_step_of(explanation)
        assert bool(next_step) == (state.value in {"unmatched", "failed", "stalled", "hand_edited"})


def test_a_message_has_its_verdict() -> None:
    """Not read yet, not readable, or nothing to report."""
    entry = Failed(
        entry_id="m2",
        kind="message",
        source="twilio",
        source_call_id=None,
        cause=FailureCause.MALFORMED_PAYLOAD,
        detail="no CallSid",
        failed_at=AT,
    )
    delivery = replace(NO_DELIVERY, pending_messages=("m1",), failed_messages=(entry,))
    assert [_verdict_of(message_id, delivery)[0] for message_id in ("m1", "m2", "m3")] == [
        "not read yet",
        "malformed payload",
        "read",
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (
            FORM,
            b"CallSid=CA1&To=%2B15005550001&Empty=",
            "CallSid = CA1\nTo = +15005550001\nEmpty = ",
        ),
        (JSON, b'{"a":{"b":1}}', '{\n  "a": {\n    "b": 1\n  }\n}'),
        (JSON, b"{no json", "{no json"),
        ("text/plain", b"\xff", "\ufffd"),
    ],
)
def test_a_body_is_shown_as_people_read_it(content_type: str, body: bytes, text: str) -> None:
    """JSON indented, a form line by line, all else as it came."""
    assert text == _body_of(_message(content_type, body), Masker(is_revealed=True))


def test_a_long_body_is_cut() -> None:
    """With how much is missing."""
    assert _body_of(_message("text/plain", b"x" * 30_000), Masker()).endswith(
        "10,000 more characters"
    )


def test_notes_are_hidden_until_they_are_revealed() -> None:
    """As a fact of the call, as a value in Buildr, and in a form, whose values have no quotes."""
    assert Masker().field("Note", "call her back") == "[hidden]"
    assert Masker().field("result", "busy") == "busy"
    assert Masker(is_revealed=True).field("Note", "call her back") == "call her back"


def test_a_reason_is_read_without_its_commands() -> None:
    """A page has buttons for these."""
    text = "the outcomes were not read; see: buildr-calls check. Ids need none"
    assert without_commands(text) == "the outcomes were not read. Ids need none"
    assert without_commands("No link. Set one: buildr-calls links set") == "No link"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("No message and no link names the Buildr call. Look its id up in Buildr", "other"),
        (f"{NO_LINK} {LINK}buildr-calls links set standard call-1 ID", "not named"),
        (f"{NO_LINK} No call that fits is expected with this number. {LINK}", "none expected fits"),
        (f"{NO_LINK} 2 expected calls fit equally well: Buildr calls 1.", "several expected fit"),
        ("The messages of this call name different Buildr calls, 1 and 2.", "names several"),
        (f"{DAMAGED_LINK} {LINK}buildr-calls links set standard call-1 ID", "link cannot be read"),
    ],
)
def test_unmatched_calls_have_kinds(reason: str, kind: str) -> None:
    """By the words of their reason."""
    assert kind_of(reason) == kind
    assert kind in KINDS


def test_numbers_in_fields_of_any_name_are_hidden() -> None:
    """A number that the call's events hold, also without its plus."""
    masker = Masker(("15005550001",))
    text = json.dumps({"dst": "15005550001"})
    assert masker.text(text) == '{"dst": "•••••••••01"}'
    assert Masker(("15005550001",), is_revealed=True).text(text) == text
    value = {"to": ["+15005550001", 12345678901, None]}
    assert masker.value(value) == {"to": ["+1••••••••01", 12345678901, None]}
    assert masker.number(None) == ""


async def test_redis_away_is_a_page(make_installation: Callable[..., Installation]) -> None:
    """It says what happens to webhooks meanwhile."""
    away = make_installation(
        REDIS_URL="unix:///nowhere/redis.sock", CONSOLE_TOKEN="operator-token-of-the-tests"
    )
    async with open_browser(away) as browser:
        await browser.load("")
        response = await browser.send("/login", {"token": "operator-token-of-the-tests"})
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "wait in the spool" in text_of(response.text)


async def test_pages_have_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many at a time, one that takes too long, and one that is broken: a page each."""
    pages = Answering(fault_page, asyncio.Semaphore(0))
    request = Request({"type": "http", "method": "GET", "headers": []})

    async def never() -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def broken() -> Response:
        raise KeyError("a bug")

    async def large() -> Response:
        raise PayloadTooLarge("too much")

    monkeypatch.setattr(answering, "ROOM_TIMEOUT_S", 0.01)
    monkeypatch.setattr(answering, "PAGE_TIMEOUT_S", 0.01)
    assert (await pages.in_turn(request, never)).status_code == HTTPStatus.SERVICE_UNAVAILABLE
    pages.room.release()
    statuses = [(await pages.in_turn(request, make)).status_code for make in (never, broken, large)]
    assert statuses == [504, 500, 413]


async def test_a_form_that_is_none_is_refused(operator: Browser) -> None:
    """Bytes that are no form, and more fields than any form has."""
    for body in (b"\xff\xfe", b"&".join(b"a=1" for _ in range(1001))):
        response = await operator.client.post("/console/default/logout", content=body)
        assert response.status_code == HTTPStatus.BAD_REQUEST


def _message(content_type: str, body: bytes) -> Message:
    request = WebhookRequest(
        method="POST", url="https://a.test/", headers={"content-type": (content_type,)}, body=body
    )
    return Message(
        message_id="m1", source="twilio", source_call_id=None, received_at=AT, request=request
    )
