"""
What is peculiar to Bandwidth: credentials instead of a signature, which leg's cause a transfer
reports, and how a live call is answered.
"""

import itertools
import json
from datetime import UTC, datetime
from typing import Final

import pytest

from service.errors import InvalidSignature
from service.events import CallEvent, Party, Result
from service.sources import SOURCES, WebhookRequest
from service.sources.bandwidth.source import EMPTY_BXML
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.settings import Secrets
from tests.sources.bandwidth.contract import CONTRACT, sign
from tests.sources.cases import fixture, fixture_names, fixture_text
from tests.sources.contract import with_headers
from workers.calls.fold import Call, fold

BANDWIDTH: Final = SOURCES["bandwidth"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
BASE_URL: Final = "https://hooks.example.test"
KEY_PAIR, OTHER_PAIR = CONTRACT.secrets


# Bandwidth's own reading of each event.
MODELS: Final = {
    "answer": "AnswerCallback",
    "conferenceMemberExit": "ConferenceMemberExitCallback",
    "conferenceMemberJoin": "ConferenceMemberJoinCallback",
    "disconnect": "DisconnectCallback",
    "dtmf": "DtmfCallback",
    "gather": "GatherCallback",
    "initiate": "InitiateCallback",
    "machineDetectionComplete": "MachineDetectionCompleteCallback",
    "recordComplete": "RecordingCompleteCallback",
    "recordingAvailable": "RecordingAvailableCallback",
    "recordingComplete": "RecordingCompleteCallback",
    "redirect": "RedirectCallback",
    "transcriptionAvailable": "TranscriptionAvailableCallback",
    "transferAnswer": "TransferAnswerCallback",
    "transferComplete": "TransferCompleteCallback",
    "transferDisconnect": "TransferDisconnectCallback",
}
SAME: Final = ("eventType", "callId", "from", "to", "cause", "tag", "duration")
# These are made to be odd.
ODD: Final = frozenset({"disconnect__strange-types", "disconnect__unknown-direction"})


def webhook_request(kind: str, query: str = "", /, **fields: JsonValue) -> WebhookRequest:
    body: dict[str, JsonValue] = {"eventType": kind, "callId": "c-a", **fields}
    return build_request(
        {"path": f"/webhooks/bandwidth{query}", "body_json": body}, base_url=BASE_URL
    )


def call_of(*messages: WebhookRequest) -> Call:
    """The call of some messages, the same in whatever order they come."""
    events = [BANDWIDTH.parse(request, "m1") for request in messages]
    calls = [fold(itertools.chain(*order)) for order in itertools.permutations(events)]
    assert all(call == calls[0] for call in calls)
    return calls[0]


@pytest.mark.parametrize("name", fixture_names("bandwidth"))
def test_bandwidths_own_models_read_every_fixture(name: str) -> None:
    """
    The vendor's library takes each body for the event that it names, and reads the same call in it.
    """
    from bandwidth import models

    body = json.loads(fixture_text("bandwidth", name)).get("body_json")
    model = MODELS.get((body or {}).get("eventType", ""))
    if model is None or name in ODD:
        return
    read = getattr(models, model).from_dict(body)
    assert read is not None
    fields = read.model_dump(by_alias=True)
    assert {name: body.get(name) for name in SAME} == {name: fields.get(name) for name in SAME}


def test_known_credentials_are_accepted() -> None:
    """The header of the published example is what this user and password give."""
    request = with_headers(
        webhook_request("disconnect"), {"authorization": "Basic aG9va3VzZXI6ZmFrZS1wYXNzd29yZC0w"}
    )
    BANDWIDTH.verify(request, Secrets((KEY_PAIR, "hookuser:fake-password-0")), NOW)
    with pytest.raises(InvalidSignature):
        BANDWIDTH.verify(request, Secrets((KEY_PAIR,)), NOW)


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic"])
def test_scheme_may_be_written_in_any_case(scheme: str) -> None:
    """HTTP compares the name of a scheme without regard to case."""
    request = with_headers(
        webhook_request("disconnect"),
        {"authorization": f"{scheme} aG9va3VzZXI6ZmFrZS1wYXNzd29yZC0w"},
    )
    BANDWIDTH.verify(request, Secrets(("hookuser:fake-password-0",)), NOW)


def test_credentials_have_one_spelling() -> None:
    """
    Base64 with other spare bits decodes to the same text in a forgiving decoder, and is refused
    here.
    """
    pair = "hookuser:fake-password-00"
    value = sign(webhook_request("disconnect"), pair, NOW).headers["authorization"][0]
    assert value.endswith("MA==")
    for last in "BCDEFGHIJKLMNOP":
        with pytest.raises(InvalidSignature):
            BANDWIDTH.verify(
                with_headers(
                    webhook_request("disconnect"), {"authorization": f"{value[:-3]}{last}=="}
                ),
                Secrets((pair,)),
                NOW,
            )


@pytest.mark.parametrize("value", ["hookuser", "hookuser:", ":password", "", ":"])
def test_setting_must_be_user_and_password(value: str) -> None:
    """
    A value without a user or without a password is refused before the service starts; one that is
    made up is a pair.
    """
    (setting,) = BANDWIDTH.settings
    assert "hookuser:THEPASSWORD" in (setting.check(value) or "")
    assert (None, None) == (setting.check(KEY_PAIR), setting.check(setting.generate()))


def test_password_may_hold_colons() -> None:
    """The first colon parts user and password."""
    pair = "hookuser:pass:word"
    BANDWIDTH.verify(
        sign(webhook_request("disconnect"), pair, NOW), Secrets((OTHER_PAIR, pair)), NOW
    )


def test_bandwidth_is_asked_for_credentials() -> None:
    """Whether it sends them unasked is not documented."""
    assert 'Basic realm="buildr-calls", charset="UTF-8"' == BANDWIDTH.challenge


@pytest.mark.parametrize("name", fixture_names("bandwidth"))
def test_live_call_is_answered_with_bxml(name: str) -> None:
    """
    Where the answer drives the call it is a document without verbs, which any XML reader takes;
    elsewhere there is none.
    """
    reply = BANDWIDTH.reply(fixture("bandwidth", name))
    body = json.loads(fixture_text("bandwidth", name)).get("body_json") or {}
    if body.get("eventType") in {
        "disconnect",
        "transferDisconnect",
        "machineDetectionComplete",
        "recordingAvailable",
        "dtmf",
        "transcriptionAvailable",
    }:
        assert (204, b"", None) == (reply.status, reply.body, reply.content_type)
    else:
        assert EMPTY_BXML == reply
        assert reply.body.endswith(b"<Response/>")
        assert (200, "application/xml") == (reply.status, reply.content_type)


# The rep is called first: at 8, from 6, and the customer at 1 after that. In the messages of the
# customer's leg `from` and `to` are those of the rep's call.
DIALLED: Final = {
    "parentCallId": "c-a",
    "callId": "c-b",
    "direction": "outbound",
    "from": "+15005550006",
    "to": "+15005550008",
    "transferCallerId": "+15005550006",
    "transferTo": "+15005550001",
}
LEG: Final = {
    **DIALLED,
    "startTime": "2026-11-02T10:00:05Z",
    "endTime": "2026-11-02T10:01:54.5Z",
}
TALKED: Final = webhook_request(
    "transferDisconnect", **{**LEG, "answerTime": "2026-11-02T10:00:19Z", "cause": "hangup"}
)
REP: Final[dict[str, JsonValue]] = {
    "direction": "outbound",
    "from": "+15005550006",
    "to": "+15005550008",
}
REP_OVER: Final = webhook_request(
    "disconnect",
    cause="hangup",
    startTime="2026-11-02T10:00:00Z",
    answerTime="2026-11-02T10:00:04Z",
    endTime="2026-11-02T10:01:55Z",
    **REP,
)


def complete(cause: str) -> WebhookRequest:
    return webhook_request(
        "transferComplete",
        cause=cause,
        startTime="2026-11-02T10:00:00Z",
        transferTo="+15005550001",
        **REP,
    )


def test_transfer_tells_the_cause_of_the_other_leg() -> None:
    """
    Its id is that of the leg that was transferred, its cause that of the one that was called: a
    busy customer, not a busy rep.
    """
    call = call_of(complete("busy"), REP_OVER)
    assert (Result.BUSY, "+15005550001") == (call.result, call.to_number)
    assert (Result.CONNECTED, None) == (
        call_of(complete("hangup"), REP_OVER).result,
        call_of(complete("hangup"), REP_OVER).duration_s,
    )


def test_message_of_the_leg_counts_before_the_transfer() -> None:
    """Where both are reported, talk time and times come from the message of the called leg."""
    call = call_of(complete("hangup"), REP_OVER, TALKED)
    assert (Result.CONNECTED, 96) == (call.result, call.duration_s)


def test_numbers_of_a_transferred_leg_are_its_own() -> None:
    """
    Its messages hold the original call's numbers as `from` and `to`: a rep's mobile is not the
    customer's number, in whatever order the messages come.
    """
    call = call_of(TALKED, REP_OVER)
    assert ("+15005550006", "+15005550001") == (call.from_number, call.to_number)
    numbers = {leg.leg_id: (leg.from_number, leg.to_number) for leg in call_of(TALKED).legs}
    assert {
        "c-a": ("+15005550006", "+15005550008"),
        "c-b": ("+15005550006", "+15005550001"),
    } == numbers


def test_agent_who_does_not_answer_leaves_a_customer_who_talks_alone() -> None:
    """
    A customer is called and passed on to an agent's SIP telephone, which rings in vain: the
    customer's call decides, and its end may come much later.
    """
    customer: dict[str, JsonValue] = {
        "direction": "outbound",
        "from": "+15005550006",
        "to": "+15005550001",
    }
    unanswered = webhook_request(
        "transferDisconnect",
        **{
            **DIALLED,
            **customer,
            "transferTo": "sip:alice@pbx.example.com",
            "cause": "timeout",
        },
    )
    over = webhook_request(
        "disconnect",
        cause="hangup",
        answerTime="2026-11-02T10:00:04Z",
        endTime="2026-11-02T10:01:39Z",
        **customer,
    )
    assert call_of(unanswered).result is None
    call = call_of(unanswered, over)
    assert (Result.CONNECTED, 95, "+15005550001") == (call.result, call.duration_s, call.to_number)


@pytest.mark.parametrize("cause", ["callback-error", "invalid-bxml", "application-error", "error"])
def test_error_behind_a_talk_takes_nothing_away_from_it(cause: str) -> None:
    """
    A callback that fails once the agent has hung up ends the customer's call; where no agent had
    answered, the customer was not reached.
    """
    customer: dict[str, JsonValue] = {
        "direction": "outbound",
        "from": "+15005550006",
        "to": "+15005550001",
    }
    agent = {**DIALLED, **customer, "transferTo": "sip:alice@pbx.example.com"}
    talked = webhook_request(
        "transferDisconnect",
        **{
            **agent,
            "cause": "hangup",
            "answerTime": "2026-11-02T10:00:09Z",
            "endTime": "2026-11-02T10:01:38Z",
        },
    )
    unanswered = webhook_request("transferDisconnect", **{**agent, "cause": "timeout"})
    over = webhook_request(
        "disconnect",
        cause=cause,
        answerTime="2026-11-02T10:00:04Z",
        endTime="2026-11-02T10:01:39Z",
        **customer,
    )
    call = call_of(talked, over)
    assert (Result.CONNECTED, 95) == (call.result, call.duration_s)
    assert Result.FAILED is call_of(unanswered, over).result


def test_caller_who_was_in_a_conference_is_never_abandoned() -> None:
    """
    With nobody else of the call there it is not known whether somebody came; an agent of the same
    call who was there at the same time took it.
    """
    first = "c-00000000-0000-4000-8000-000000000001"
    caller: dict[str, JsonValue] = {
        "callId": first,
        "direction": "inbound",
        "from": "+15005550001",
        "to": "+15005550006",
    }
    member: dict[str, JsonValue] = {"conferenceId": "conf-1", "name": first}
    over = webhook_request(
        "disconnect",
        cause="hangup",
        startTime="2026-11-02T10:00:00Z",
        answerTime="2026-11-02T10:00:01Z",
        endTime="2026-11-02T10:01:00Z",
        **caller,
    )
    waits = webhook_request(
        "conferenceMemberJoin",
        eventTime="2026-11-02T10:00:05Z",
        callId=first,
        **member,
    )
    assert Result.ABANDONED == call_of(over).result
    assert call_of(waits, over).result is None

    def agent(kind: str, event_time: str) -> WebhookRequest:
        call_id = "c-00000000-0000-4000-8000-000000000002"
        return webhook_request(kind, eventTime=event_time, callId=call_id, **member)

    took = agent("conferenceMemberJoin", "2026-11-02T10:00:20Z")
    left = agent("conferenceMemberExit", "2026-11-02T10:00:50Z")
    call = call_of(waits, took, left, over)
    assert (Result.CONNECTED, 30, 20) == (call.result, call.duration_s, call.wait_s)
    too_late = agent("conferenceMemberJoin", "2026-11-02T10:01:05Z")
    assert call_of(waits, too_late, over).result is None


def test_member_of_a_conference_belongs_to_the_call_that_it_is_named_after() -> None:
    """
    A name that is a call's id puts every member to that call, the others as agents; any other name
    leaves each to its own call. The tag is that of whoever came first, and is left alone.
    """
    first = "c-00000000-0000-4000-8000-000000000001"
    other = "c-00000000-0000-4000-8000-000000000002"
    tag = '{"buildr_call_id": "110"}'

    def joined(call_id: str, name: str) -> CallEvent:
        (event,) = BANDWIDTH.parse(
            webhook_request("conferenceMemberJoin", callId=call_id, name=name, tag=tag), "m1"
        )
        return event

    assert (first, first, None, None) == belongs(joined(first, first))
    assert (first, other, first, Party.AGENT) == belongs(joined(other, first))
    assert (other, other, None, None) == belongs(joined(other, "support"))
    assert joined(first, first).buildr_call_id is None


def belongs(event: CallEvent) -> tuple[str, str, str | None, Party | None]:
    """The call, the leg, the leg that dialled it and the role of an event."""
    return event.source_call_id, event.leg_id, event.parent_leg_id, event.party


def test_transfer_does_not_end_the_call() -> None:
    """The leg that was transferred may go on, to the next telephone or to a voicemail."""
    inbound: dict[str, JsonValue] = {**REP, "direction": "inbound", "from": "+15005550001"}
    missed_transfer = webhook_request(
        "transferComplete", cause="timeout", transferTo="+15005550008", **inbound
    )
    assert call_of(missed_transfer).result is None
    over = webhook_request(
        "disconnect",
        cause="hangup",
        answerTime="2026-11-02T10:00:01Z",
        endTime="2026-11-02T10:01:00Z",
        **inbound,
    )
    assert Result.MISSED_INBOUND == call_of(missed_transfer, over).result
    voicemail = webhook_request(
        "recordingAvailable",
        "?record=voicemail",
        status="complete",
        mediaUrl="https://voice.example.com/1",
        **inbound,
    )
    assert Result.VOICEMAIL_RECEIVED == call_of(missed_transfer, over, voicemail).result


def test_transferred_leg_alone_leaves_open_whom_it_called() -> None:
    """
    An agent's telephone that nobody picked up is no customer who was not reached; the end of the
    first leg tells which it was.
    """
    missed = webhook_request("transferDisconnect", **{**LEG, "cause": "timeout"})
    assert call_of(missed).result is None
    assert Result.NO_ANSWER == call_of(missed, REP_OVER).result
    inbound = {**REP, "direction": "inbound", "from": "+15005550001"}
    assert (
        Result.MISSED_INBOUND
        == call_of(
            missed,
            webhook_request(
                "disconnect", cause="hangup", answerTime="2026-11-02T10:00:01Z", **inbound
            ),
        ).result
    )


def test_hangup_without_an_answer_is_no_talk() -> None:
    """The cause is the same as at the end of a talk; the time of the answer tells them apart."""
    assert (
        Result.CANCELLED
        == call_of(webhook_request("disconnect", cause="hangup", direction="outbound")).result
    )
    assert (
        Result.MISSED_INBOUND
        == call_of(webhook_request("disconnect", cause="hangup", direction="inbound")).result
    )
    assert (
        Result.ABANDONED
        == call_of(webhook_request("disconnect", cause="cancel", direction="inbound")).result
    )


def test_cause_that_is_new_takes_nothing_away_from_a_talk() -> None:
    """
    Bandwidth may add causes: a call that was answered is over all the same, and so is a caller's
    own, whatever ended it.
    """
    answered = {"answerTime": "2026-11-02T10:00:19Z", "cause": "evaporated"}
    over = webhook_request(
        "disconnect", direction="outbound", endTime="2026-11-02T10:00:29Z", **answered
    )
    assert (Result.CONNECTED, 10, ("evaporated",)) == (
        call_of(over).result,
        call_of(over).duration_s,
        call_of(over).unknown_values,
    )
    caller = webhook_request(
        "disconnect", direction="inbound", endTime="2026-11-02T10:01:55Z", **answered
    )
    assert Result.CONNECTED == call_of(TALKED, caller).result
    assert (
        Result.CONNECTED
        == call_of(webhook_request("transferDisconnect", **{**LEG, **answered}), caller).result
    )


def test_cause_that_is_new_decides_nothing_where_nobody_answered() -> None:
    """Only the cause could tell why a leg was not answered."""
    assert (
        call_of(webhook_request("disconnect", cause="evaporated", direction="outbound")).result
        is None
    )
    unanswered = webhook_request("transferDisconnect", **{**LEG, "cause": "evaporated"})
    assert call_of(unanswered, REP_OVER).result is None
    caller = webhook_request(
        "disconnect", cause="hangup", direction="inbound", answerTime="2026-11-02T10:00:01Z"
    )
    assert call_of(unanswered, caller).result is None


@pytest.mark.parametrize(
    ("code", "cause", "result"),
    [
        (404, "error", Result.INVALID_NUMBER),
        (404, "busy", Result.BUSY),
        (486, "rejected", Result.REJECTED),
        (503, "unknown", Result.FAILED),
        (604, "rejected", Result.INVALID_NUMBER),
    ],
)
def test_sip_code_is_more_precise_than_a_vague_cause(code: int, cause: str, result: Result) -> None:
    """
    A number that nobody has is found by the code of the network, and only where the cause leaves it
    open.
    """
    assert (
        result
        == call_of(
            webhook_request("disconnect", cause=cause, direction="outbound", sipResponseCode=code)
        ).result
    )


def test_machine_that_is_reported_after_the_end_counts() -> None:
    """Detection runs beside the call; a verdict that is none changes nothing."""
    over = webhook_request(
        "disconnect",
        cause="hangup",
        direction="outbound",
        answerTime="2026-11-02T10:00:01Z",
        endTime="2026-11-02T10:00:21Z",
    )

    def verdict(value: str) -> WebhookRequest:
        result: JsonValue = {"value": value, "duration": "PT3S"}
        return webhook_request(
            "machineDetectionComplete", direction="outbound", machineDetectionResult=result
        )

    for value in ("answering-machine", "tone-detected"):
        assert Result.LEFT_VOICEMAIL == call_of(over, verdict(value)).result
    for value in ("human", "silence", "timeout", "error", "android"):
        assert Result.CONNECTED == call_of(over, verdict(value)).result


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT20.056S", 20),
        ("PT20.5001234S", 21),
        ("PT1M3S", 63),
        ("PT1H", 3600),
        ("PT0S", 0),
        ("PT", None),
        ("P1D", None),
        ("PT-3S", None),
        ("20", None),
        (20, None),
    ],
)
def test_durations_are_iso_8601(text: JsonValue, seconds: int | None) -> None:
    """Hours, minutes and seconds with a fraction, rounded; what is no duration is none."""
    (event,) = BANDWIDTH.parse(
        webhook_request("recordingAvailable", status="complete", duration=text), "m1"
    )
    assert event.recording is not None
    assert seconds == event.recording.duration_s


def test_tag_and_address_may_name_the_call() -> None:
    """
    Two that agree are one; an id in the address counts only with our signature, which the receiver
    has checked.
    """
    tagged = webhook_request("disconnect", cause="busy", tag='{"buildr_call_id": "110"}')
    assert "110" == call_of(tagged).buildr_call_id
    assert (
        call_of(webhook_request("disconnect", "?buildr_call_id=110", cause="busy")).buildr_call_id
        is None
    )
