"""
What is peculiar to Aircall: the token in its body, its times, and what comes before or after the
end of a call.
"""

import json
from itertools import chain, permutations
from typing import Final

import pytest
from msgspec.structs import replace

from service.errors import IgnoredEvent, InvalidSignature
from service.events import CallEvent, EventType, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets, SettingKind
from tests.sources.aircall.contract import CONTRACT
from tests.sources.cases import BASE_URL, NOW
from workers.calls.fold import Call, fold

AIRCALL: Final = SOURCES["aircall"]
TOKEN, OTHER_TOKEN = CONTRACT.secrets
VECTOR: Final = (
    b'{"resource":"call","event":"call.ended","timestamp":1772442930,'
    b'"token":"fake-aircall-token-0000000000","data":{"id":1}}'
)
START: Final = 1793613600


def message(event: str, at: int = 60, /, **data: JsonValue) -> WebhookRequest:
    body: JsonValue = {
        "resource": "call",
        "event": event,
        "timestamp": START + at,
        "data": {"id": 1, "direction": "inbound", **data},
    }
    return build_request({"path": "/webhooks/aircall", "body_json": body}, base_url=BASE_URL)


def parse(event: str, at: int = 60, /, **data: JsonValue) -> list[CallEvent]:
    return AIRCALL.parse(message(event, at, **data), "m1")


def folded(*messages: list[CallEvent]) -> Call:
    """The call that the messages make, which must be the same in every order."""
    calls = {repr(fold(chain.from_iterable(order))) for order in permutations(messages)}
    assert len(calls) == 1
    return fold(chain.from_iterable(messages))


def vector() -> WebhookRequest:
    return replace(message("call.ended"), body=VECTOR)


def test_known_token_is_accepted() -> None:
    """The token of any webhook here proves a message; any other does not."""
    AIRCALL.verify(vector(), Secrets((TOKEN,)), NOW)
    AIRCALL.verify(vector(), Secrets((OTHER_TOKEN, TOKEN)), NOW)
    with pytest.raises(InvalidSignature):
        AIRCALL.verify(vector(), Secrets((OTHER_TOKEN,)), NOW)


def test_empty_token_proves_nothing() -> None:
    """Whoever leaves an empty text among the tokens opens no door by it."""
    empty = replace(vector(), body=VECTOR.replace(b"fake-aircall-token-0000000000", b""))
    for secrets in (Secrets(("",)), Secrets(("", TOKEN)), Secrets(())):
        with pytest.raises(InvalidSignature):
            AIRCALL.verify(empty, secrets, NOW)


def test_api_token_proves_nothing() -> None:
    """
    What the upkeep of the webhook needs is no proof of its messages, and does not turn the source
    on.
    """
    assert [
        SettingKind.SIGNING_SECRET,
        SettingKind.API_CREDENTIAL,
        SettingKind.API_CREDENTIAL,
        SettingKind.API_CREDENTIAL,
    ] == [setting.kind for setting in AIRCALL.settings]


def test_only_the_token_is_taken_out() -> None:
    """
    What is stored is all that was sent but the token, in the same order; a deeper field of that
    name stays.
    """
    sent = (
        b'{"event":"call.ended","token":"fake-aircall-token-0000000000",'
        b'"data":{"id":1,"token":"x","a":"\xc3\xbc","n":1.5,"z":null}}'
    )
    redacted = AIRCALL.redact(replace(message("call.ended"), body=sent))
    assert sent.replace(b"fake-aircall-token-0000000000", b"") == redacted.body
    broken = replace(vector(), body=b"no JSON")
    assert broken == AIRCALL.redact(broken)


def test_message_counts_once_whichever_token_proves_it() -> None:
    """
    Two webhooks that point here, as while one takes the place of another, report one event once.
    """
    one, other = (CONTRACT.sign(message("call.ended"), secret, NOW) for secret in CONTRACT.secrets)
    assert AIRCALL.keys(one) == AIRCALL.keys(other) == AIRCALL.keys(AIRCALL.redact(one))
    assert AIRCALL.keys(one) != AIRCALL.keys(CONTRACT.sign(message("call.ended", 61), TOKEN, NOW))


def test_talk_is_counted_from_the_answer() -> None:
    """Aircall's `duration` counts from the first ring."""
    call = folded(
        parse(
            "call.ended", started_at=START, answered_at=START + 5, ended_at=START + 20, duration=20
        )
    )
    assert (Result.CONNECTED, 15) == (call.result, call.duration_s)


def test_hangup_is_no_end() -> None:
    """It comes before voicemail and reasons are known."""
    missed: dict[str, JsonValue] = {
        "status": "done",
        "ended_at": START + 30,
        "missed_call_reason": "agents_did_not_answer",
    }
    hangup = parse("call.hungup", 31, **missed)
    assert not fold(hangup).is_final
    assert Result.MISSED_INBOUND == folded(hangup, parse("call.ended", 61, **missed)).result


@pytest.mark.parametrize(
    "event",
    [
        "call.tagged",
        "call.commented",
        "call.assigned",
        "call.archived",
        "call.comm_assets_generated",
    ],
)
def test_nothing_but_the_end_ends_a_call(event: str) -> None:
    """What agents do may come during the call, and after its end too."""
    assert not fold(
        parse(event, 300, status="done", answered_at=START + 5, ended_at=START + 20)
    ).is_final


def test_voicemail_counts_before_missed_whenever_it_comes() -> None:
    """
    The message is often stored only after the end of the call was reported, and then carries a
    reason as well.
    """
    missed: dict[str, JsonValue] = {
        "ended_at": START + 66,
        "missed_call_reason": "no_available_agent",
    }
    end = parse("call.ended", 96, **missed)
    left = parse("call.voicemail_left", 99, voicemail="https://example.test/v.mp3", **missed)
    assert Result.MISSED_INBOUND == folded(end).result
    assert Result.VOICEMAIL_RECEIVED == folded(end, left).result
    assert (
        Result.VOICEMAIL_RECEIVED
        == folded(parse("call.ended", 96, voicemail="https://example.test/v.mp3", **missed)).result
    )
    assert (
        Result.VOICEMAIL_RECEIVED
        == folded(
            end, parse("call.tagged", 120, voicemail="https://example.test/v.mp3", **missed)
        ).result
    )


def test_outbound_call_has_no_voicemail_of_a_caller() -> None:
    """Only callers leave messages for us."""
    call = folded(
        parse(
            "call.ended",
            96,
            direction="outbound",
            ended_at=START + 30,
            voicemail="https://example.test/v.mp3",
        )
    )
    assert (Result.NO_ANSWER, None) == (call.result, call.voicemail)


def test_late_news_never_lower_an_answered_call() -> None:
    """A call that was answered stays so, whatever else is reported of it."""
    end = parse(
        "call.ended",
        answered_at=START + 5,
        ended_at=START + 20,
        user={"email": "alice@example.com"},
    )
    late = parse(
        "call.tagged",
        90,
        voicemail="https://example.test/v.mp3",
        missed_call_reason="no_available_agent",
        tags=[{"name": "One"}],
    )
    call = folded(end, late)
    assert (Result.CONNECTED, 15, "alice@example.com", ("One",)) == (
        call.result,
        call.duration_s,
        call.agent,
        call.tags,
    )


def test_unknown_reason_decides_nothing_unless_the_call_was_answered() -> None:
    """
    A reason in no table is reported; it neither makes a missed call nor unmakes an answered one.
    """
    call = folded(parse("call.ended", ended_at=START + 20, missed_call_reason="eclipse"))
    assert (None, ("eclipse",)) == (call.result, call.unknown_values)
    call = folded(
        parse(
            "call.ended", answered_at=START + 5, ended_at=START + 20, missed_call_reason="eclipse"
        )
    )
    assert (Result.CONNECTED, ("eclipse",)) == (call.result, call.unknown_values)


def test_agent_at_whom_it_rang_did_not_take_the_call() -> None:
    """
    Of several agents the one who answered took the call, and nobody took a missed one, whoever is
    to call back.
    """
    rang = parse("call.ringing_on_agent", 3, user={"email": "bob@example.com"})
    declined = parse("call.agent_declined", 5, user={"email": "dave@example.com"})
    end = parse("call.ended", 61, ended_at=START + 30, missed_call_reason="agents_did_not_answer")
    assigned = parse("call.assigned", 99, user=None, assigned_to={"name": "Carol Example"})
    call = folded(rang, declined, end, assigned)
    assert (None, ("bob@example.com", "dave@example.com")) == (call.agent, call.rang_agents)
    taken = parse(
        "call.ended",
        61,
        answered_at=START + 8,
        ended_at=START + 30,
        user={"email": "alice@example.com"},
    )
    call = folded(rang, taken, assigned)
    assert ("alice@example.com", ("bob@example.com",)) == (call.agent, call.rang_agents)


@pytest.mark.parametrize(
    ("teams", "team"),
    [
        ([{"name": "Sales"}], "Sales"),
        ([{"name": "Sales"}, {"name": "Support"}], None),
        ([], None),
        ([{"id": 1}], None),
        ("Sales", None),
    ],
)
def test_team_is_named_where_there_is_one(teams: JsonValue, team: str | None) -> None:
    """Of several it is not known which one the call was at."""
    assert {team} == {event.team for event in parse("call.created", 1, teams=teams)}


@pytest.mark.parametrize(
    ("event_name", "is_transferred"),
    [
        ("call.transferred", True),
        ("call.external_transferred", True),
        ("call.unsuccessful_transfer", None),
        ("call.ended", None),
    ],
)
def test_transfer_is_an_event_of_its_own(event_name: str, is_transferred: bool | None) -> None:
    """`transferred_by` beside another event may be of a transfer that failed."""
    events = parse(event_name, 40, transferred_by={"email": "alice@example.com"})
    assert {is_transferred} == {event.is_transferred for event in events}


def test_comments_of_the_call_are_its_note() -> None:
    """Each message repeats all comments; the latest list counts, whichever comes first."""
    first: JsonValue = {"id": 1, "content": "One\ntwo"}
    second: JsonValue = {"id": 2, "content": "Größe"}
    call = folded(
        parse("call.commented", 90, comments=[first]),
        parse("call.tagged", 95, comments=[first, second]),
    )
    assert "One\ntwo\nGröße" == call.note


def test_summary_never_takes_the_place_of_a_comment() -> None:
    """What Aircall's AI writes is the note of a call without one, and names no Buildr call."""
    body: JsonValue = {
        "event": "summary.created",
        "timestamp": START + 999,
        "data": {"call_id": 1, "content": "Hello. buildr_call_id=999"},
    }
    summary = AIRCALL.parse(build_request({"body_json": body}, base_url=BASE_URL), "m1")
    assert (None, "Hello. buildr_call_id=999") == (
        folded(summary).buildr_call_id,
        folded(summary).note,
    )
    call = folded(
        summary, parse("call.commented", 90, comments=[{"content": "buildr_call_id=110"}])
    )
    assert ("110", "buildr_call_id=110") == (call.buildr_call_id, call.note)


@pytest.mark.parametrize(
    ("fields", "ids"),
    [
        ({"comments": [{"content": "Call buildr_call_id: 110."}]}, ("110",)),
        (
            {
                "tags": [{"name": "buildr_call_id=110"}],
                "comments": [{"content": "buildr_call_id=110"}],
            },
            ("110",),
        ),
        (
            {
                "tags": [{"name": "buildr_call_id=111"}],
                "comments": [{"content": "buildr_call_id=110"}],
            },
            ("110", "111"),
        ),
        (
            {
                "tags": [{"name": "xbuildr_call_id=110"}],
                "comments": [{"content": "buildr_call_id="}, {"content": "110"}],
            },
            (),
        ),
        ({"contact": {"first_name": "buildr_call_id=110"}, "raw_digits": "buildr_call_id=110"}, ()),
    ],
)
def test_comment_or_tag_may_name_the_buildr_call(
    fields: dict[str, JsonValue], ids: tuple[str, ...]
) -> None:
    """Only what agents write counts; two ids are a conflict, which an operator resolves."""
    assert ids == folded(parse("call.tagged", **fields)).buildr_call_ids


@pytest.mark.parametrize(
    ("reason", "tags"),
    [
        ("answered", ("ai_voice_agent", "ai_voice_agent:answered")),
        ("escalated", ("ai_voice_agent", "ai_voice_agent:escalated")),
        ("hypnotised", ("ai_voice_agent",)),
    ],
)
def test_what_an_ai_voice_agent_did_is_a_tag(reason: str, tags: tuple[str, ...]) -> None:
    """In every order with the call's own end, which alone decides the result; it is no agent."""
    call = folded(
        parse("call.created", 0),
        parse("ai_voice_agent.started", 1, call_id=1),
        parse("ai_voice_agent.ended", 30, call_id=1, call_end_reason=reason),
        parse("call.ended", 60, started_at=START, ended_at=START + 40),
    )
    assert (Result.MISSED_INBOUND, None, tags) == (call.result, call.agent, call.tags)


@pytest.mark.parametrize(
    "event",
    [
        "transcription.created",
        "sentiment.created",
        "ai_voice_agent.summary",
        "call_evaluation.created",
        "user.opened.v2",
    ],
)
def test_what_is_about_no_call_is_left_alone(event: str) -> None:
    """All events may be subscribed; those that are about no call are counted and not stored."""
    for read in (AIRCALL.keys, lambda request: AIRCALL.parse(request, "m1")):
        with pytest.raises(IgnoredEvent):
            read(message(event))


def test_event_of_a_call_that_nobody_knows_is_reported() -> None:
    """Aircall adds events from time to time."""
    (event,) = parse("call.beamed")
    assert (EventType.UNKNOWN, "call.beamed") == (event.event_type, event.vendor_status)


def test_own_proof_is_put_into_the_body() -> None:
    """`trigger` sends what Aircall would, with the newest token and all else as it was."""
    sent = AIRCALL.sign(message("call.ended"), Secrets((OTHER_TOKEN, TOKEN)), NOW)
    assert OTHER_TOKEN == json.loads(sent.body)["token"]
    assert (
        message("call.ended").body
        == json.dumps(
            {name: value for name, value in json.loads(sent.body).items() if name != "token"},
            separators=(",", ":"),
        ).encode()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.aircall.io/v1",
        "ftp://api.aircall.io",
        "https://",
        "https://[",
        "https://a?b=c",
        "https://u@a",
    ],
)
def test_address_of_the_api_must_be_one(text: str) -> None:
    """A typing error in the address is reported at the start."""
    check = AIRCALL.settings[3].check
    assert check(text) is not None
    assert check(AIRCALL.settings[3].default or "") is None
