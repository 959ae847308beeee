"""
What is peculiar to Plivo: its signature's vectors, the two signing tokens, the nonce, and what its
codes mean.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import InvalidSignature
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
from service.sources.plivo.hangup_causes import HANGUP_CODES, read_cause
from service.sources.plivo.signature import MAIN_SIGNATURE, NONCE, SIGNATURE
from service.sources.settings import Secrets
from tests.sources.cases import Receive, signed
from tests.sources.contract import with_headers
from tests.sources.plivo.contract import CONTRACT, sign, signature
from workers.calls.fold import fold

PLIVO: Final = SOURCES["plivo"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
TOKEN, OTHER_TOKEN = CONTRACT.secrets
# Worked out with Plivo's own library, version 4.63.0.
NONCE_OF_VECTORS: Final = "12345678901234567890"
QUERY_OF_VECTOR: Final = "?buildr_call_id=42&tenant=acme"
FORM_OF_VECTOR: Final[dict[str, JsonValue]] = {
    "BillDuration": "60",
    "CallStatus": "completed",
    "CallUUID": "00000000-0000-4000-8000-000000000001",
    "Direction": "outbound",
    "Duration": "49",
    "Event": "Hangup",
    "From": "15005550006",
    "HangupCause": "NORMAL_CLEARING",
    "HangupCauseCode": "4000",
    "HangupCauseName": "Normal Hangup",
    "HangupSource": "Callee",
    "SIP-H-To": "",
    "To": "5511999990000",
}
SIGNATURE_OF_VECTOR: Final = "UzCkWu50sWIofJMXEu8us+o/T3eFGI2HAiG0Gx4suec="
SIGNATURE_OF_UNICODE: Final = "Cf7H52zvbwDSNgTBZylluKYfEWPmhKmiFMvaEpkFv4M="


def vector(
    base_url: str = BASE_URL, /, query: str = QUERY_OF_VECTOR, **form: JsonValue
) -> WebhookRequest:
    body: dict[str, JsonValue] = {**FORM_OF_VECTOR, **form}
    webhook_request = build_request(
        {"path": f"/hooks/plivo/hangup{query}", "body_form": body}, base_url=base_url
    )
    return with_headers(webhook_request, {SIGNATURE: SIGNATURE_OF_VECTOR, NONCE: NONCE_OF_VECTORS})


def webhook_request(form: dict[str, JsonValue], query: str = "") -> WebhookRequest:
    body: dict[str, JsonValue] = {"CallUUID": "a-leg", **form}
    return build_request({"path": f"/webhooks/plivo{query}", "body_form": body}, base_url=BASE_URL)


def verify(request: WebhookRequest, *tokens: str) -> None:
    PLIVO.verify(request, Secrets(tokens or (TOKEN,)), NOW)


def test_oracle_of_the_tests_agrees_with_the_vectors() -> None:
    """
    The second reading of the rules, which all other tests sign with, gives what Plivo's own library
    gives.
    """
    request = vector()
    assert SIGNATURE_OF_VECTOR == signature(
        request.url, parse_qs(request.body.decode(), True), NONCE_OF_VECTORS, TOKEN
    )
    form = {"c": ["São +1"], "d": [""]}
    assert SIGNATURE_OF_UNICODE == signature(
        "https://hooks.example.test/x?n=a", form, NONCE_OF_VECTORS, TOKEN
    )


def test_known_signatures_are_accepted() -> None:
    """
    A signature of Plivo's own library is accepted, also beside others, and whatever the order of
    the query is.
    """
    verify(vector())
    verify(with_headers(vector(), {SIGNATURE: f"AAAA,{SIGNATURE_OF_VECTOR}"}))
    verify(vector(query="?tenant=acme&buildr_call_id=42"))
    unicode = build_request(
        {"path": "/x?n=a", "body_form": {"d": "", "c": "São +1"}}, base_url=BASE_URL
    )
    verify(with_headers(unicode, {SIGNATURE: SIGNATURE_OF_UNICODE, NONCE: NONCE_OF_VECTORS}))


@pytest.mark.parametrize(
    "webhook",
    [
        vector("http://hooks.example.test"),
        vector("https://hooks.example.test:443"),
        replace(vector(), body=vector().body.replace(b"SIP-H-To=&", b"")),
        vector(Extra="1"),
        vector(query=""),
        vector(query="?buildr_call_id=42"),
        vector(query="?buildr_call_id=42&buildr_call_id=42&tenant=acme"),
        with_headers(vector(), {SIGNATURE: f"AAAA, {SIGNATURE_OF_VECTOR}"}),
        with_headers(vector(), {NONCE: NONCE_OF_VECTORS[:-1]}),
    ],
)
def test_known_signature_is_refused_for_anything_else(webhook: WebhookRequest) -> None:
    """
    Another scheme, a port, a dropped empty field, an added field, another query or nonce is not
    what was signed.
    """
    with pytest.raises(InvalidSignature):
        verify(webhook)


def test_main_accounts_token_proves_the_call_of_a_subaccount() -> None:
    """
    Plivo signs twice, with the subaccount's token and with the main account's; either one that is
    set here is enough.
    """
    request = vector()
    form = parse_qs(request.body.decode(), keep_blank_values=True)
    main = signature(request.url, form, NONCE_OF_VECTORS, OTHER_TOKEN)
    both = with_headers(request, {MAIN_SIGNATURE: main})
    verify(both, TOKEN)
    verify(both, OTHER_TOKEN)
    alone = replace(
        both, headers={name: values for name, values in both.headers.items() if name != SIGNATURE}
    )
    verify(alone, OTHER_TOKEN)
    with pytest.raises(InvalidSignature):
        verify(alone, TOKEN)
    for values in ((main, main), ("",), ()):
        with pytest.raises(InvalidSignature):
            verify(replace(both, headers={**both.headers, MAIN_SIGNATURE: values}), TOKEN)


def test_end_of_a_form_is_never_taken_for_the_nonce() -> None:
    """
    The nonce follows the form behind a dot: a form cut at a dot of its own, and the rest as nonce,
    would have the same signature.
    """
    genuine = sign(webhook_request({"RecordUrl": "https://media.example.test/a.mp3"}), TOKEN, NOW)
    cut = webhook_request({"RecordUrl": "https://media.example.test/a"})
    with pytest.raises(InvalidSignature):
        verify(
            with_headers(
                cut,
                {
                    SIGNATURE: genuine.headers[SIGNATURE][0],
                    NONCE: f"mp3.{genuine.headers[NONCE][0]}",
                },
            )
        )


def test_one_signature_makes_one_message() -> None:
    """
    Names and values are signed without a border between them; a message regrouped under the same
    signature is the same message.
    """
    genuine = sign(webhook_request({"CallStatus": "busy"}, "?a=1"), TOKEN, NOW)
    body = genuine.body.decode().replace("CallUUID=a-leg", "CallUUIDa-leg=")
    regrouped = replace(genuine, body=body.replace("CallStatus=busy", "CallStatusbusy=").encode())
    verify(regrouped)
    moved = replace(
        webhook_request({"CallStatus": "busy"}),
        url=f"{BASE_URL}/webhooks/plivo?a=1.CallStatusbusyCallUUIDa-leg",
        body=b"",
    )
    verify(replace(moved, headers=genuine.headers))
    keys = PLIVO.keys(genuine)
    assert keys == PLIVO.keys(sign(genuine, TOKEN, NOW.replace(minute=6)))
    with_call_id = replace(regrouped, url=f"{regrouped.url}&CallUUID=b")
    assert keys.message_key != PLIVO.keys(with_call_id).message_key


def test_key_does_not_depend_on_the_public_address() -> None:
    """A retry that comes in after `PUBLIC_URL` was corrected is still a retry."""
    assert PLIVO.keys(vector()) == PLIVO.keys(vector("https://calls.example.com"))


def test_version_2_is_not_enough() -> None:
    """The older signature covers neither query nor form, and proves nothing here."""
    headers = {
        "x-plivo-signature-v2": "o2U+qQBhMylndIjtUY+J7JjktHegfh1+QItRMUrEEfE=",
        "x-plivo-signature-v2-nonce": NONCE_OF_VECTORS,
    }
    request = vector()
    with pytest.raises(InvalidSignature):
        verify(
            with_headers(
                replace(request, headers={"content-type": request.headers["content-type"]}), headers
            )
        )


async def test_get_and_json_are_refused(receive: Receive) -> None:
    """Plivo can be configured to use GET, which is refused by name; it never sends JSON."""
    request = signed("plivo", CONTRACT.smallest)
    assert HTTPStatus.METHOD_NOT_ALLOWED == await receive(replace(request, method="GET"))
    as_json = with_headers(request, {"content-type": "application/json"})
    assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == await receive(as_json)


def test_query_that_is_no_text_is_refused() -> None:
    """A query that cannot be decoded was not signed by anybody."""
    with pytest.raises(InvalidSignature):
        verify(replace(vector(), url=f"{BASE_URL}/hooks/plivo/hangup?a=%ff"))


def test_answer_is_an_empty_document() -> None:
    """
    Plivo counts 200 as success, and some of its URLs ask for XML; with an empty one the call goes
    on or ends as it would.
    """
    reply = PLIVO.reply(webhook_request({"CallStatus": "busy"}))
    assert (200, "text/xml") == (reply.status, reply.content_type)
    assert reply.body.endswith(b"<Response></Response>")


@pytest.mark.parametrize(
    ("code", "status", "is_answered", "cause"),
    [
        ("4000", HangupCause.COMPLETED, True, HangupCause.COMPLETED),
        ("4000", HangupCause.COMPLETED, False, HangupCause.NO_ANSWER),
        ("4000", HangupCause.BUSY, False, HangupCause.BUSY),
        ("4000", None, False, HangupCause.NO_ANSWER),
        ("6020", HangupCause.COMPLETED, True, HangupCause.COMPLETED),
        ("6020", HangupCause.COMPLETED, False, HangupCause.FAILED),
        ("7011", HangupCause.COMPLETED, True, HangupCause.FAILED),
        ("8999", HangupCause.COMPLETED, True, HangupCause.FAILED),
        ("3999", HangupCause.BUSY, False, HangupCause.BUSY),
        ("3999", None, False, None),
        ("80", None, True, None),
        (None, HangupCause.COMPLETED, False, HangupCause.NO_ANSWER),
        (None, HangupCause.REJECTED, False, HangupCause.REJECTED),
        (None, None, True, None),
    ],
)
def test_code_says_more_than_the_status(
    code: str | None, status: HangupCause | None, is_answered: bool, cause: HangupCause | None
) -> None:
    """
    The code decides, the status stands in for a code that is not known, and nobody talked on a call
    that was not answered.
    """
    assert cause == read_cause(code, status, is_answered=is_answered)


def test_no_code_of_the_table_makes_talk() -> None:
    """Only the codes of a call that was answered end it as completed, however long it lasted."""
    assert HangupCause.COMPLETED not in {
        read_cause(code, HangupCause.COMPLETED, is_answered=True) for code in HANGUP_CODES
    }


def test_machine_that_is_reported_after_the_hangup_counts() -> None:
    """Detection runs beside the call; whichever message comes first, a machine picked up."""
    hangup: dict[str, JsonValue] = {
        "CallStatus": "completed",
        "Duration": "20",
        "HangupCauseCode": "4000",
        "Direction": "outbound",
    }
    machine: dict[str, JsonValue] = {
        "CallStatus": "in-progress",
        "Event": "MachineDetection",
        "Machine": "true",
        "Direction": "outbound",
    }
    events = [PLIVO.parse(webhook_request(form), "m1") for form in (hangup, machine)]
    assert (
        Result.LEFT_VOICEMAIL
        == fold([*events[0], *events[1]]).result
        == fold([*events[1], *events[0]]).result
    )


def test_machine_that_was_hung_up_on_is_no_answer_and_stays_a_machine() -> None:
    """It recorded nothing; a rule can still recognise it by `answered_by`."""
    (event,) = PLIVO.parse(
        webhook_request({"HangupCauseCode": "9100", "Duration": "4", "Direction": "outbound"}), "m1"
    )
    call = fold([event])
    assert (Result.NO_ANSWER, AnsweredBy.MACHINE, 0) == (
        call.result,
        call.answered_by,
        call.duration_s,
    )


def test_first_of_several_telephones_takes_the_call() -> None:
    """
    Of agents that ring together one picks up, and the others lose the race without making the call
    a missed one.
    """
    legs: list[dict[str, JsonValue]] = [
        {"DialBLegUUID": "b1", "DialBLegHangupCauseCode": "9000", "DialBLegDuration": "0"},
        {"DialBLegUUID": "b2", "DialBLegHangupCauseCode": "4000", "DialBLegDuration": "61"},
    ]
    events = [
        event
        for leg in legs
        for event in PLIVO.parse(
            webhook_request({"DialAction": "hangup", "Direction": "inbound", **leg}), "m1"
        )
    ]
    end: dict[str, JsonValue] = {
        "CallStatus": "completed",
        "Duration": "70",
        "HangupCauseCode": "4000",
        "Direction": "inbound",
    }
    assert Result.CONNECTED == fold([*events, *PLIVO.parse(webhook_request(end), "m1")]).result


def test_hangup_tells_when_the_call_began_and_was_answered() -> None:
    """
    The times of a whole call are in its last request, in UTC without saying so; an unanswered call
    has no time of answer.
    """
    times: dict[str, JsonValue] = {
        "StartTime": "2026-11-02 10:00:00",
        "AnswerTime": "2026-11-02 10:00:09",
        "EndTime": "2026-11-02 10:00:46",
    }
    talked = PLIVO.parse(
        webhook_request({"HangupCauseCode": "4000", "Duration": "37", **times}), "m1"
    )
    assert [EventType.CREATED, EventType.ANSWERED, EventType.ENDED] == [
        event.event_type for event in talked
    ]
    assert [0, 9, 46] == [
        event.occurred_at.second for event in talked if event.occurred_at is not None
    ]
    busy = PLIVO.parse(webhook_request({"HangupCauseCode": "3010", "Duration": "0", **times}), "m1")
    assert [EventType.CREATED, EventType.ENDED] == [event.event_type for event in busy]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("7012", Result.CONNECTED),
        ("8012", Result.CONNECTED),
        ("7034", Result.CONNECTED),
        ("7011", Result.FAILED),
        ("5010", Result.FAILED),
    ],
)
def test_error_behind_a_talk_takes_nothing_away_from_it(code: str, result: Result) -> None:
    """
    Where a customer was called and dialled on to an agent, and the action of the `<Dial>` fails,
    both had talked; with an error in the first document nobody had.
    """
    customer = {
        "CallUUID": "00000000-0000-4000-8000-000000000001",
        "Direction": "outbound",
        "From": "15005550006",
        "To": "15005550001",
    }
    agent = parsed(
        {
            **customer,
            "DialAction": "hangup",
            "DialALegUUID": customer["CallUUID"],
            "DialBLegUUID": "00000000-0000-4000-8000-000000000002",
            "DialBLegTo": "sip:alice@phone.plivo.com",
            "DialBLegDuration": "61",
            "DialBLegHangupCauseCode": "4000",
        }
    )
    over = parsed(
        {
            **customer,
            "Event": "Hangup",
            "CallStatus": "completed",
            "HangupCauseCode": code,
            "Duration": "66",
            "AnswerTime": "2026-11-02 10:00:04",
            "EndTime": "2026-11-02 10:01:10",
        }
    )
    assert Result.FAILED is fold(over).result
    assert result is fold([*agent, *over]).result


CALLER: Final[dict[str, JsonValue]] = {
    "Direction": "inbound",
    "From": "15005550001",
    "To": "15005550006",
}


def parsed(form: dict[str, JsonValue], query: str = "") -> list[CallEvent]:
    return PLIVO.parse(webhook_request(form, query), "m1")


def test_dial_request_tells_who_called_whom() -> None:
    """
    A caller is forwarded to a mobile that nobody picks up: direction and numbers of the request are
    the caller's, so that the end of the mobile's leg is no unanswered outbound call, and the caller
    may still leave a message.
    """
    dialled: dict[str, JsonValue] = {
        "DialAction": "hangup",
        "DialBLegUUID": "b-leg",
        "DialBLegFrom": "15005550006",
        "DialBLegTo": "15005550008",
        "DialBLegHangupCauseCode": "3000",
    }
    rung = parsed({**CALLER, **dialled})
    call = fold(rung)
    assert (None, Direction.INBOUND, "+15005550001", "+15005550006") == (
        call.result,
        call.direction,
        call.from_number,
        call.to_number,
    )
    over = parsed(
        {**CALLER, "CallStatus": "completed", "HangupCauseCode": "4000", "Duration": "40"}
    )
    assert Result.MISSED_INBOUND == fold([*rung, *over]).result
    message = parsed({**CALLER, "RecordUrl": "https://media.example.com/1"}, "?record=voicemail")
    assert Result.VOICEMAIL_RECEIVED == fold([*rung, *over, *message]).result


@pytest.mark.parametrize("role", ["Agent", "agent", "Supervisor"])
def test_agent_of_a_multiparty_call_belongs_to_the_call_it_is_named_after(role: str) -> None:
    """
    A name that is a `CallUUID` is the customer's call. A customer is never put into another one: a
    name may be any UUID.
    """
    caller = "00000000-0000-4000-8000-000000000001"
    agent = "00000000-0000-4000-8000-000000000002"

    def joined(leg: str, name: str, participant_role: str) -> CallEvent:
        form: dict[str, JsonValue] = {
            "CallUUID": "",
            "EventName": "ParticipantJoin",
            "MPCUUID": "mpc-1",
            "MPCName": name,
            "ParticipantCallUUID": leg,
            "ParticipantRole": participant_role,
        }
        (event,) = parsed(form)
        return event

    assert (caller, caller, Party.AGENT) == belongs(joined(agent, caller, role))
    assert (agent, None, Party.AGENT) == belongs(joined(agent, "support", role))
    assert (caller, None, None) == belongs(joined(caller, caller, "Customer"))
    assert (caller, None, None) == belongs(joined(caller, agent, "Customer"))


def belongs(event: CallEvent) -> tuple[str, str | None, Party | None]:
    """The call of an event, the leg that dialled its leg, and the role of that leg."""
    return event.source_call_id, event.parent_leg_id, event.party


def test_address_may_name_the_call_that_an_agent_was_called_for() -> None:
    """All requests of the agent's leg then belong to it: an agent who picked up took the call."""
    agent = parsed(
        {
            "CallUUID": "b-leg",
            "ALegUUID": "b-leg",
            "Direction": "outbound",
            "To": "15005550008",
            "HangupCauseCode": "4000",
            "HangupSource": "Callee",
            "Duration": "61",
        },
        "?ALegUUID=a-leg",
    )
    assert {("a-leg", "a-leg", Party.AGENT)} == set(map(belongs, agent))
    assert {None} == {event.hung_up_by for event in agent}
    over = parsed(
        {**CALLER, "CallStatus": "completed", "HangupCauseCode": "4000", "Duration": "70"}
    )
    assert Result.CONNECTED == fold([*agent, *over]).result


@pytest.mark.parametrize(
    ("direction", "source", "party"),
    [
        ("inbound", "Caller", Party.CUSTOMER),
        ("inbound", "Callee", Party.AGENT),
        ("inbound", "Call recipient", Party.AGENT),
        ("inbound", "Carrier", None),
        ("outbound", "Callee", None),
        ("inbound", "Answer XML", None),
    ],
)
def test_who_hung_up_is_known_of_a_caller(direction: str, source: str, party: Party | None) -> None:
    """
    Plivo names a side of the leg, or somebody who is neither customer nor agent. Whom an outbound
    leg called, the customer or a rep who was called first, it does not say.
    """
    (event,) = parsed({"HangupCauseCode": "4000", "Direction": direction, "HangupSource": source})
    assert party is event.hung_up_by


def test_participant_who_never_joined_was_not_there() -> None:
    """
    An agent who is called for a waiting caller and does not pick up exits as well: without the time
    of a join that proves nothing, and the caller's call stays open.
    """
    participant: dict[str, JsonValue] = {
        "CallUUID": "",
        "MPCUUID": "mpc-1",
        "MPCName": "00000000-0000-4000-8000-000000000001",
        "ParticipantCallUUID": "00000000-0000-4000-8000-000000000002",
        "ParticipantRole": "Agent",
        "EventName": "ParticipantExit",
        "EventTimestamp": "2026-11-02 10:00:50",
    }
    caller: dict[str, JsonValue] = {"CallUUID": "00000000-0000-4000-8000-000000000001", **CALLER}
    waiting = parsed(
        {
            **participant,
            "ParticipantCallUUID": "00000000-0000-4000-8000-000000000001",
            "ParticipantRole": "Customer",
            "EventName": "ParticipantJoin",
            "EventTimestamp": "2026-11-02 10:00:05",
        }
    )
    over = parsed(
        {
            **caller,
            "CallStatus": "completed",
            "HangupCauseCode": "4000",
            "Duration": "60",
            "StartTime": "2026-11-02 10:00:00",
            "EndTime": "2026-11-02 10:01:00",
        }
    )
    assert fold([*waiting, *over]).result is None
    assert fold([*waiting, *parsed(participant), *over]).result is None
    joined = parsed({**participant, "ParticipantJoinTime": "2026-11-02 10:00:20"})
    call = fold([*waiting, *joined, *over])
    assert (Result.CONNECTED, 30, 20) == (call.result, call.duration_s, call.wait_s)


def test_conference_without_times_proves_that_a_caller_waited_and_no_talk() -> None:
    """
    Requests of a `<Conference>` hold no time: who was there together is not known. The agent's
    own hangup, whose address names the caller's call, tells that the call was taken.
    """
    entered: dict[str, JsonValue] = {
        "ConferenceAction": "enter",
        "ConferenceUUID": "conf-1",
        "CallStatus": "in-progress",
    }
    waiting = parsed({**CALLER, **entered})
    agents = parsed({**entered, "CallUUID": "b-leg", "Direction": "outbound"}, "?ALegUUID=a-leg")
    over = parsed(
        {**CALLER, "CallStatus": "completed", "HangupCauseCode": "4000", "Duration": "60"}
    )
    assert fold([*waiting, *over]).result is None
    assert fold([*waiting, *agents, *over]).result is None
    hangup: dict[str, JsonValue] = {
        "CallUUID": "b-leg",
        "Direction": "outbound",
        "HangupCauseCode": "4000",
        "Duration": "31",
    }
    taken = parsed(hangup, "?ALegUUID=a-leg")
    call = fold([*waiting, *agents, *taken, *over])
    assert (Result.CONNECTED, 31) == (call.result, call.duration_s)


TEXTS: Final = st.text(max_size=6)
NAMES: Final = st.builds("".join, st.tuples(st.sampled_from("AZaz"), st.text(max_size=5)))
ASCII: Final = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=6)


@settings(max_examples=200, deadline=None)
@given(
    form=st.dictionaries(NAMES, st.lists(TEXTS, min_size=1, max_size=3), max_size=5),
    query=st.dictionaries(ASCII.filter(bool), ASCII, max_size=3),
)
def test_whatever_plivo_signs_is_genuine(form: dict[str, list[str]], query: dict[str, str]) -> None:
    """
    Any names and values, empty, repeated or far from ASCII, are proved by the second reading of the
    rules, and only so.
    """
    body: dict[str, JsonValue] = {name: [*values] for name, values in form.items()}
    request = build_request(
        {"path": "/webhooks/plivo", "query": {**query}, "body_form": body}, base_url=BASE_URL
    )
    signed = sign(request, TOKEN, NOW)
    verify(signed)
    verify(PLIVO.sign(request, Secrets((TOKEN,)), NOW))
    with pytest.raises(InvalidSignature):
        verify(replace(signed, body=signed.body + b"&more=1"))
    with pytest.raises(InvalidSignature):
        verify(signed, f"{TOKEN}0")
