"""
What is peculiar to RingCentral: its handshake, a token instead of a signature, who is who in a
session, and what ends a call.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature
from service.events import (
    CallEvent,
    Direction,
    EventType,
    Party,
    Result,
)
from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.ringcentral.call_log import record_end, record_start
from service.sources.ringcentral.source import check_token
from service.sources.ringcentral.vocabulary import IGNORED_EVENTS, TRANSFERS
from service.sources.settings import Secrets
from service.store.connection import Store
from service.webhook_urls import path_token
from tests.sources.cases import URL_SECRET, call_messages
from tests.sources.contract import with_headers
from tests.sources.ringcentral.contract import CONTRACT
from workers.calls.fold import Call, Stage, fold
from workers.simulator.scenarios import names

RINGCENTRAL: Final = SOURCES["ringcentral"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
TOKEN, OTHER_TOKEN = CONTRACT.secrets
SECRETS: Final = Secrets((TOKEN,))
RANDOM: Final = "11111111-fake-2222"
MOST_ANSWER_BYTES: Final = 1024
OURS: Final = "+15005550006"
CUSTOMER: Final = "+15005550001"
ALICE: Final = "400000001008"
BOB: Final = "400000002008"
SESSION: Final = "s-a1"


def handshake_request(**headers: str) -> WebhookRequest:
    """What RingCentral sends to a URL before it sends messages there."""
    return WebhookRequest(
        method="POST",
        url=f"{BASE_URL}/webhooks/ringcentral",
        headers={name.replace("_", "-"): (value,) for name, value in headers.items()},
    )


def message(
    *parties: JsonValue, origin: str = "Call", sequence: int = 2, **envelope: JsonValue
) -> WebhookRequest:
    body: dict[str, JsonValue] = {
        "sequence": sequence,
        "telephonySessionId": SESSION,
        "eventTime": f"2026-11-02T10:00:{sequence:02}.000Z",
        "parties": list(parties),
        "origin": {"type": origin},
    }
    fields: dict[str, JsonValue] = {
        "event": "/restapi/v1.0/account/4/telephony/sessions",
        "body": body,
        **envelope,
    }
    return build_request({"path": "/webhooks/ringcentral", "body_json": fields}, base_url=BASE_URL)


def present(**fields: JsonValue) -> dict[str, JsonValue]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def party(
    place: int,
    code: str,
    reason: str | None = None,
    extension: str | None = None,
    **more: JsonValue,
) -> dict[str, JsonValue]:
    """A party that is called; `extension` makes it one of ours."""
    status: dict[str, JsonValue] = {"code": code, **present(reason=reason)}
    return {
        "id": f"p-a1-{place}",
        "direction": "Inbound",
        "from": {"phoneNumber": CUSTOMER},
        "to": {"phoneNumber": OURS},
        "status": status,
        **present(extensionId=extension),
        **more,
    }


def ends(from_number: str, to_number: str, extension: str | None = None) -> dict[str, JsonValue]:
    """Who calls whom; `extension` is that of a caller of ours."""
    return {
        "from": {"phoneNumber": from_number, **present(extensionId=extension)},
        "to": {"phoneNumber": to_number},
    }


def caller(code: str, reason: str | None = None) -> dict[str, JsonValue]:
    """The party of a customer who calls us."""
    return party(1, code, reason, direction="Outbound")


def rep(code: str, reason: str | None = None, **more: JsonValue) -> dict[str, JsonValue]:
    """The party of a rep who calls a customer."""
    return party(1, code, reason, ALICE, direction="Outbound", **more) | ends(OURS, CUSTOMER, ALICE)


def called(code: str, reason: str | None = None, **more: JsonValue) -> dict[str, JsonValue]:
    """The party of a customer whom a rep calls."""
    return party(2, code, reason, None, **more) | ends(OURS, CUSTOMER, ALICE)


def parse(request: WebhookRequest) -> list[CallEvent]:
    return RINGCENTRAL.parse(request, "m1")


def call(*parties: dict[str, JsonValue], origin: str = "Call") -> Call:
    """The call of one message for each of these changes."""
    return fold(
        event
        for sequence, change in enumerate(parties, start=2)
        for event in parse(message(change, origin=origin, sequence=sequence))
    )


def result_of(
    *parties: dict[str, JsonValue], origin: str = "Call"
) -> tuple[Result | None, int | None]:
    """Result and talk time in seconds of that call."""
    folded = call(*parties, origin=origin)
    return folded.result, folded.duration_s


# The handshake.


def test_handshake_is_answered_with_its_own_token() -> None:
    """
    The token comes back in the header, with the type that RingCentral wants, and without a body.
    """
    reply = RINGCENTRAL.handshake(
        handshake_request(validation_token=RANDOM, verification_token=TOKEN), SECRETS, NOW
    )
    assert reply is not None
    assert (200, b"", "application/json", {"Validation-Token": RANDOM}) == (
        reply.status,
        reply.body,
        reply.content_type,
        reply.headers,
    )
    assert reply == RINGCENTRAL.handshake(
        handshake_request(validation_token=RANDOM, verification_token=OTHER_TOKEN),
        Secrets(CONTRACT.secrets),
        NOW,
    )


def test_handshake_without_our_own_token_is_answered() -> None:
    """
    Whether RingCentral sends it there always is not known; the token in the address has been
    checked by then.
    """
    assert (
        RINGCENTRAL.handshake(handshake_request(validation_token=RANDOM), SECRETS, NOW) is not None
    )


@pytest.mark.parametrize("token", [OTHER_TOKEN, "", f"{TOKEN} ", TOKEN.upper()])
def test_handshake_with_a_wrong_token_is_refused(token: str) -> None:
    """A sender that shows a token must show the right one."""
    with pytest.raises(InvalidSignature):
        RINGCENTRAL.handshake(
            handshake_request(validation_token=RANDOM, verification_token=token), SECRETS, NOW
        )


@pytest.mark.parametrize(
    "token", ["", "a b", "a\r\nSet-Cookie: b", "é", "\udcff", "x" * 257, "\x00"]
)
def test_what_is_no_token_is_never_echoed(token: str) -> None:
    """Only visible ASCII of a bounded length goes into a header of ours."""
    with pytest.raises(InvalidSignature):
        RINGCENTRAL.handshake(handshake_request(validation_token=token), SECRETS, NOW)
    reply = RINGCENTRAL.reply(with_headers(message(rep("Setup")), {"validation-token": token}))
    assert (200, {}) == (reply.status, reply.headers)


def test_longest_answer_stays_far_below_the_limit() -> None:
    """RingCentral takes no answer of more than 1,024 bytes, headers among them."""
    reply = RINGCENTRAL.handshake(handshake_request(validation_token="x" * 256), SECRETS, NOW)
    assert reply is not None
    assert (
        sum(len(name) + len(value) + 4 for name, value in reply.headers.items())
        < MOST_ANSWER_BYTES / 3
    )


def test_two_tokens_are_no_handshake() -> None:
    """A header that comes twice proves nothing, and is not echoed."""
    twice = replace(handshake_request(), headers={"validation-token": (RANDOM, RANDOM)})
    with pytest.raises(InvalidSignature):
        RINGCENTRAL.handshake(twice, SECRETS, NOW)


def test_message_with_a_validation_token_is_a_message() -> None:
    """
    Older subscriptions send that header with every message, and want it back; it proves nothing.
    """
    request = with_headers(message(rep("Setup")), {"validation-token": RANDOM})
    assert RINGCENTRAL.handshake(request, SECRETS, NOW) is None
    assert {"Validation-Token": RANDOM} == RINGCENTRAL.reply(request).headers
    assert {} == RINGCENTRAL.reply(message(rep("Setup"))).headers
    with pytest.raises(InvalidSignature):
        RINGCENTRAL.verify(request, SECRETS, NOW)
    RINGCENTRAL.verify(with_headers(request, {"verification-token": TOKEN}), SECRETS, NOW)


def test_empty_request_without_a_validation_token_is_refused() -> None:
    """It is neither a handshake nor a message."""
    for request in (handshake_request(), handshake_request(verification_token=TOKEN)):
        assert RINGCENTRAL.handshake(request, SECRETS, NOW) is None
        with pytest.raises(InvalidSignature):
            RINGCENTRAL.verify(request, SECRETS, NOW)


@pytest.mark.parametrize(
    "content_type", [None, "application/json", "application/json; charset=UTF-8"]
)
async def test_receiver_lets_a_handshake_through(
    store: Store, redis_url: str, make_settings: Callable[..., Settings], content_type: str | None
) -> None:
    """
    With and without a content type, at the address with its token only, and in an answer that is
    small as a whole.
    """
    settings = make_settings(
        REDIS_URL=redis_url,
        PUBLIC_URL=BASE_URL,
        URL_SECRET=URL_SECRET,
        RINGCENTRAL_VERIFICATION_TOKEN=TOKEN,
        RINGCENTRAL_CLIENT_ID="fake",
    )
    app = create_app(Installation(settings), store=store, now=lambda: NOW)
    url = f"{BASE_URL}/webhooks/ringcentral/t/{path_token(URL_SECRET, 'ringcentral')}"
    headers = {"Validation-Token": RANDOM}
    if content_type is not None:
        headers["Content-Type"] = content_type
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client,
    ):
        answer = await client.post(url, headers=headers)
        assert (200, b"", RANDOM) == (
            answer.status_code,
            answer.content,
            answer.headers["validation-token"],
        )
        assert answer.headers["content-type"] == "application/json"
        assert (
            sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
            < MOST_ANSWER_BYTES / 3
        )
        assert [404, 401, 401] == [
            (await client.post(f"{BASE_URL}/webhooks/ringcentral", headers=headers)).status_code,
            (
                await client.post(url, headers={**headers, "Verification-Token": OTHER_TOKEN})
            ).status_code,
            (await client.post(url, headers={"Verification-Token": TOKEN})).status_code,
        ]


@pytest.mark.parametrize(
    ("token", "is_right"),
    [("a" * 32, True), ("a b", False), ("é", False), ("", False), ("x" * 257, False)],
)
def test_token_that_could_not_come_back_as_a_header_is_refused(token: str, is_right: bool) -> None:
    """The setting is checked before anything is sent."""
    assert is_right == (check_token(token) is None)


# Names of messages, and what is no call.


def test_change_that_comes_twice_counts_once() -> None:
    """
    Overlapping subscriptions send one change under several ids, of account and extension; another
    change is another message.
    """
    one = message(rep("Setup"), uuid="1", subscriptionId="a")
    again = message(
        rep("Setup"),
        uuid="2",
        subscriptionId="b",
        event="/restapi/v1.0/account/4/extension/5/telephony/sessions",
    )
    assert RINGCENTRAL.keys(one) == RINGCENTRAL.keys(again)
    others = [
        message(rep("Setup"), sequence=3),
        message(rep("Proceeding")),
        message(rep("Setup"), called("Proceeding")),
    ]
    assert len({RINGCENTRAL.keys(request).message_key for request in (one, *others)}) == 1 + len(
        others
    )


@pytest.mark.parametrize(
    "path", [f"/restapi/v1.0/account/4/extension/5{ending}" for ending in IGNORED_EVENTS]
)
def test_other_events_are_left_alone(path: str) -> None:
    """
    Presence, messages and mailboxes may come to the same address; they are counted and say nothing
    of a call.
    """
    for read in (RINGCENTRAL.keys, parse):
        with pytest.raises(IgnoredEvent):
            read(message(rep("Setup"), event=path))
        with pytest.raises(IgnoredEvent):
            read(message(rep("Setup"), event=f"{path}?detailedTelephonyState=true"))


def test_call_between_extensions_is_left_alone() -> None:
    """
    Who calls a colleague calls no customer; the first message of such a call knows no more than a
    short number.
    """
    inner: dict[str, JsonValue] = {
        "from": {"phoneNumber": "101", "extensionId": ALICE},
        "to": {"phoneNumber": "102", "extensionId": BOB},
    }
    dialled: dict[str, JsonValue] = {
        "from": {"phoneNumber": OURS, "extensionId": ALICE},
        "to": {"phoneNumber": "102"},
    }
    for change in (
        party(1, "Setup", extension=ALICE, direction="Outbound") | dialled,
        party(1, "Answered", extension=ALICE, direction="Outbound") | inner,
        party(2, "Answered", extension=BOB) | inner,
    ):
        with pytest.raises(IgnoredEvent):
            RINGCENTRAL.keys(message(change))
    assert [CUSTOMER] == [
        event.to_number
        for event in parse(message(party(3, "Setup", extension=BOB) | inner, rep("Setup")))
    ]


@pytest.mark.parametrize("shown", ["101", "0", "*67", "anonymous"])
def test_customer_with_a_short_number_is_no_colleague(shown: str) -> None:
    """
    A customer's exchange may show its own extension instead of a telephone number; the call was
    answered all the same.
    """
    shows: dict[str, JsonValue] = {"from": {"phoneNumber": shown}, "to": {"phoneNumber": OURS}}
    start = [caller("Answered") | shows, party(2, "Answered", extension=ALICE) | shows]
    folded = call(
        *start, party(2, "Disconnected", extension=ALICE) | shows, caller("Disconnected") | shows
    )
    assert (Result.CONNECTED, shown, ALICE) == (folded.result, folded.from_number, folded.agent)


# Who is who.


def test_outbound_call_is_one_talk_seen_from_both_ends() -> None:
    """
    The rep's party and the customer's are about the same leg, the customer's; a later hang-up of
    either ends it.
    """
    for change in (rep("Answered"), called("Answered")):
        (event,) = parse(message(change))
        assert (SESSION, Party.CUSTOMER, Direction.OUTBOUND, ALICE) == (
            event.leg_id,
            event.party,
            event.direction,
            event.agent,
        )
        assert (OURS, CUSTOMER) == (event.from_number, event.to_number)
    assert (Result.CONNECTED, 1) == result_of(
        rep("Setup"), called("Proceeding"), called("Answered"), called("Disconnected")
    )
    assert (Result.CONNECTED, 1) == result_of(
        rep("Setup"), rep("Proceeding"), rep("Answered"), rep("Disconnected")
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ([rep("Disconnected")], (Result.CANCELLED, 0)),
        ([called("Disconnected", missedCall=True), rep("Disconnected")], (Result.NO_ANSWER, 0)),
        ([called("Disconnected", "NoAnswer"), rep("Disconnected")], (Result.NO_ANSWER, 0)),
        ([rep("Disconnected"), called("Disconnected", "TargetBusy")], (Result.BUSY, 0)),
        (
            [called("Disconnected", "TargetBusy"), rep("Disconnected", "CallFinished")],
            (Result.BUSY, 0),
        ),
        ([called("Disconnected", "Rejected")], (Result.REJECTED, 0)),
        ([called("Disconnected", "NoSuchUser")], (Result.INVALID_NUMBER, 0)),
        ([called("Disconnected", "NotEnoughFunds")], (Result.FAILED, 0)),
        ([rep("Disconnected", "Cancelled")], (Result.CANCELLED, 0)),
        ([rep("Disconnected", "BlindTransfer")], (None, None)),
        ([rep("Disconnected", "evaporated")], (None, None)),
    ],
)
def test_end_of_an_unanswered_call(
    last: list[dict[str, JsonValue]], expected: tuple[Result | None, int | None]
) -> None:
    """
    A reason that says something counts before an end without one, from whichever side and in
    whichever order.
    """
    first = [rep("Setup"), called("Proceeding"), rep("Proceeding")]
    assert expected == result_of(*first, *last)


def test_rep_who_is_rung_first_says_nothing_of_the_customer() -> None:
    """Of a call that the API makes, the rep's own party is answered when the rep picks up."""
    rang = [rep("Setup"), rep("Proceeding"), rep("Answered")]
    assert (None, None) == result_of(*rang, origin="CallOut")
    assert (Result.NO_ANSWER, 0) == result_of(
        *rang, called("Disconnected", "NoAnswer"), rep("Disconnected"), origin="CallOut"
    )
    assert (Result.CONNECTED, 2) == result_of(
        *rang, called("Answered"), rep("Hold"), called("Disconnected"), origin="CallOut"
    )
    assert (Result.NO_ANSWER, 0) == result_of(
        rep("Setup"), rep("Disconnected", missedCall=True), origin="RingOut"
    )


def test_both_telephones_of_a_ring_out_are_called() -> None:
    """
    RingOut calls the rep and then the customer, so that both are `Inbound`; only one of them is
    ours.
    """
    ours = party(1, "Answered", extension=ALICE) | ends(OURS, OURS, ALICE)
    theirs = party(2, "Answered") | ends(OURS, CUSTOMER)
    folded = call(ours, theirs, theirs | {"status": {"code": "Disconnected"}}, origin="RingOut")
    assert (Result.CONNECTED, Direction.OUTBOUND, CUSTOMER) == (
        folded.result,
        folded.direction,
        folded.to_number,
    )


def test_exchange_that_picks_up_is_nobody() -> None:
    """
    The caller's party is answered by the exchange; only an agent's makes it a talk, and only the
    caller's own end ends it.
    """
    start = [caller("Setup"), party(2, "Setup", extension=ALICE), caller("Answered")]
    assert (Result.ABANDONED, 0) == result_of(
        *start, party(2, "Disconnected", extension=ALICE), caller("Disconnected")
    )
    talked = [
        *start,
        party(2, "Answered", extension=ALICE),
        party(2, "Disconnected", extension=ALICE),
    ]
    assert (None, None) == result_of(*talked)
    folded = call(*talked, caller("Disconnected"))
    assert (Result.CONNECTED, Direction.INBOUND, CUSTOMER, OURS, ALICE) == (
        folded.result,
        folded.direction,
        folded.from_number,
        folded.to_number,
        folded.agent,
    )


def test_call_without_the_callers_party_ends_with_the_last_of_ours() -> None:
    """
    A subscription for single extensions holds nothing of the other company; numbers and direction
    are known all the same.
    """
    first = party(2, "Answered", extension=ALICE)
    second = party(3, "Proceeding", extension=BOB)
    left = party(2, "Disconnected", "BlindTransfer", ALICE)
    assert (None, None) == result_of(first, second, left)
    folded = call(first, second, left, party(3, "Disconnected", extension=BOB, missedCall=True))
    assert (Result.CONNECTED, Direction.INBOUND, CUSTOMER, OURS) == (
        folded.result,
        folded.direction,
        folded.from_number,
        folded.to_number,
    )


@pytest.mark.parametrize("code", ["VoiceMail", "VoiceMailScreening", "VMScreening", "Voicemail"])
@pytest.mark.parametrize("is_missed", [True, False])
def test_mailbox_is_a_missed_call(code: str, is_missed: bool) -> None:
    """
    That the caller reached a mailbox is known, that a message was left is not: a missed call, and
    no voicemail.
    """
    folded = call(
        caller("Answered"),
        party(2, code, extension=ALICE),
        party(2, "Disconnected", extension=ALICE, missedCall=is_missed),
        caller("Disconnected"),
    )
    assert (Result.MISSED_INBOUND, 0, None) == (folded.result, folded.duration_s, folded.voicemail)


def test_caller_who_is_taken_out_of_the_mailbox_was_answered() -> None:
    """Whoever listens while a message is spoken may still pick up."""
    screened = [
        caller("Answered"),
        party(2, "VoiceMailScreening", extension=ALICE),
        party(2, "Answered", extension=ALICE),
    ]
    assert (Result.CONNECTED, 1) == result_of(
        *screened, party(2, "Disconnected", extension=ALICE), caller("Disconnected")
    )


def test_colleagues_mailbox_is_not_who_took_the_call() -> None:
    """
    Whoever talked to the customer is its agent, though the customer was put through to a mailbox
    later.
    """
    talked = [
        caller("Answered"),
        party(2, "Answered", extension=ALICE),
        party(2, "Disconnected", "BlindTransfer", ALICE),
    ]
    folded = call(
        *talked,
        party(3, "VoiceMail", extension=BOB),
        party(3, "Disconnected", extension=BOB),
        caller("Disconnected"),
    )
    assert (Result.CONNECTED, ALICE) == (folded.result, folded.agent)


def test_extension_that_picked_up_was_answered_whoever_cancels() -> None:
    """
    `Cancelled` of one of ours says no more than that its part is over: a talk, a telephone that
    rang, or a call that it missed.
    """
    gone = [party(2, "Disconnected", "Cancelled", ALICE), caller("Disconnected")]
    assert (Result.CONNECTED, 1) == result_of(
        caller("Answered"), party(2, "Answered", extension=ALICE), *gone
    )
    assert (Result.ABANDONED, 0) == result_of(
        caller("Answered"), party(2, "Proceeding", extension=ALICE), *gone
    )
    missed = party(2, "Disconnected", "Cancelled", ALICE, missedCall=True)
    assert (Result.MISSED_INBOUND, 0) == result_of(
        caller("Answered"), party(2, "Proceeding", extension=ALICE), missed, caller("Disconnected")
    )


def test_member_of_a_queue_is_not_the_queue() -> None:
    """
    A member's party names the queue as whom the customer called, and itself as the extension; the
    number is the one dialled.
    """
    rung: dict[str, JsonValue] = {
        "to": {"phoneNumber": OURS, "extensionId": "400000008008"},
        "queueCall": True,
    }
    (event,) = parse(message(party(3, "Answered", extension=ALICE) | rung))
    assert (Party.AGENT, ALICE, CUSTOMER, OURS) == (
        event.party,
        event.agent,
        event.from_number,
        event.to_number,
    )


def test_call_that_is_missed_by_one_and_taken_by_another_was_taken() -> None:
    """`missedCall` is each party's own."""
    lost = party(2, "Disconnected", extension=ALICE, missedCall=True)
    assert (Result.CONNECTED, 2) == result_of(
        caller("Answered"), party(3, "Answered", extension=BOB), lost, caller("Disconnected")
    )
    assert (Result.MISSED_INBOUND, 0) == result_of(
        caller("Answered"), party(3, "Setup", extension=BOB), lost, caller("Disconnected")
    )


def test_number_outside_that_takes_a_forwarded_call_stands_for_an_agent() -> None:
    """
    An inbound call that is put through to a number outside stays inbound, whoever is shown as
    calling there.
    """
    outside = party(4, "Answered") | ends(OURS, "+15005550003", ALICE)
    start = [caller("Setup"), caller("Answered"), party(2, "Disconnected", "CallRedirected", ALICE)]
    folded = call(*start, outside, caller("Disconnected"))
    assert (Result.CONNECTED, Direction.INBOUND, OURS) == (
        folded.result,
        folded.direction,
        folded.to_number,
    )


@pytest.mark.parametrize("reason", ["CallFlip", "CallPark", "Pickup", "Conference"])
def test_talk_goes_on_when_the_rep_leaves(reason: str) -> None:
    """The customer's own end ends the call, with all of its time."""
    start = [rep("Setup"), called("Answered"), rep("Answered")]
    left = [rep("Gone", reason, peerId={"telephonySessionId": "s-a2"}), rep("Disconnected", reason)]
    for change in left:
        folded = call(*start, change)
        assert (None, Stage.IN_PROGRESS) == (folded.result, folded.stage)
        assert (Result.CONNECTED, 3) == result_of(*start, change, called("Disconnected"))


@pytest.mark.parametrize("reason", sorted(TRANSFERS))
@pytest.mark.parametrize("code", ["Disconnected", "Gone"])
def test_talk_that_was_transferred_was_a_talk(reason: str, code: str) -> None:
    """
    Where no other party is reported, the call has its result when the rep leaves a customer who had
    answered; the customer's own end, if it comes, adds its time.
    """
    rang = [rep("Setup"), rep("Proceeding")]
    left = rep(code, reason)
    folded = call(*rang, rep("Answered"), left)
    assert (Result.CONNECTED, 1, ALICE) == (folded.result, folded.duration_s, folded.agent)
    assert (None, None) == result_of(*rang, left)
    assert (Result.CONNECTED, 2) == result_of(
        *rang, rep("Answered"), left, called("Disconnected", "CallFinished")
    )
    transfers = [event.is_transferred for event in parse(message(left))]
    assert [True] == transfers


def test_agent_who_passes_an_inbound_call_on_does_not_end_it() -> None:
    """The caller's line goes on; the agent's leg says that the call was transferred."""
    left = party(2, "Disconnected", "BlindTransfer", ALICE)
    assert (None, None) == result_of(
        caller("Answered"), party(2, "Answered", extension=ALICE), left
    )
    (event,) = parse(message(left))
    assert (EventType.ENDED, Party.AGENT, True) == (
        event.event_type,
        event.party,
        event.is_transferred,
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("Pickup", True), ("AgentAnswered", True), ("BlindTransfer", None), ("NoAnswer", None)],
)
def test_telephone_whose_call_another_took_was_answered_elsewhere(
    reason: str, expected: bool | None
) -> None:
    """That says the reason of the extension's own party, and of no other."""
    (event,) = parse(message(party(2, "Disconnected", reason, ALICE)))
    assert expected is event.is_answered_elsewhere
    (line_event,) = parse(message(caller("Disconnected", reason)))
    assert line_event.is_answered_elsewhere is None


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        ({"queueCall": True}, "Sales queue"),
        ({"queueCall": False}, None),
        ({}, None),
        ({"queueCall": True, "extensionId": "400000008008"}, None),
        ({"queueCall": True, "to": {"phoneNumber": OURS, "name": "Sales"}}, None),
    ],
)
def test_queue_is_named_where_a_member_names_another_extension(
    fields: dict[str, JsonValue], queue: str | None
) -> None:
    """Of a party that was called itself it is not known whether it is the queue or a member."""
    to: JsonValue = {"phoneNumber": OURS, "extensionId": "400000008008", "name": "Sales queue"}
    change: dict[str, JsonValue] = party(3, "Answered", extension=ALICE, to=to) | fields
    assert queue == parse(message(change))[0].queue


def test_unknown_reason_ends_nothing_and_is_reported() -> None:
    """
    Who left for an unknown reason may have been transferred; the next end that is known decides.
    """
    start = [rep("Setup"), called("Answered"), rep("Disconnected", "evaporated")]
    folded = call(*start)
    assert (None, ("evaporated",)) == (folded.result, folded.unknown_values)
    assert (Result.CONNECTED, 2) == result_of(*start, called("Disconnected"))


def test_unknown_word_of_a_party_takes_nothing_from_the_others() -> None:
    """One message may be about several parties."""
    events = parse(message(called("teleported"), rep("Answered")))
    assert [EventType.UNKNOWN, EventType.ANSWERED] == [event.event_type for event in events]


# Any order.


@pytest.mark.parametrize("scenario", names("ringcentral"))
@example_settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_order_of_a_whole_call_gives_the_same(scenario: str, data: st.DataObject) -> None:
    """
    Messages arrive in any order, and under overlapping subscriptions more than once; the call is
    the same.
    """
    messages = [parse(request) for request in call_messages("ringcentral", scenario)]
    again = data.draw(st.lists(st.sampled_from(messages), max_size=4))
    order = data.draw(st.permutations([*messages, *again]))
    assert fold(itertools.chain(*messages)) == fold(itertools.chain(*order))


@pytest.mark.parametrize(
    "scenario",
    ["answered", "answered-transferred"],
)
def test_one_lost_message_costs_no_talk(scenario: str) -> None:
    """
    RingCentral sends nothing twice; where both parties of an outbound call are reported, either
    makes up for the other.
    """
    messages = [parse(request) for request in call_messages("ringcentral", scenario)]
    expected = [Result.CONNECTED] * len(messages)
    remaining = [messages[:place] + messages[place + 1 :] for place in range(len(messages))]
    assert expected == [fold(itertools.chain(*rest)).result for rest in remaining]


def test_a_logged_call_that_ends_after_all_time_has_an_end() -> None:
    """One such record must not end the reading of the whole log."""
    start = "9999-12-31T23:59:59Z"
    ended_at = record_end({"startTime": start, "duration": 60})
    assert record_start({"startTime": start}) == ended_at
    assert record_end({"startTime": start}) is None
    assert record_end({"duration": 60}) is None
