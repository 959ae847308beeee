"""
What several of Twilio's requests make of a call: conferences, queues, calls that were not joined,
and talk time from times.
"""

import itertools
from collections.abc import Mapping
from typing import Final

import pytest

from service.events import CallEvent, Direction, EventType, Result
from service.sources import SOURCES
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.twilio.vocabulary import UNANSWERED
from workers.calls.basis import Reason
from workers.calls.fold import Call, fold

CUSTOMER: Final = "CA00000000000000000000000000000001"
AGENT: Final = "CA00000000000000000000000000000002"
CONFERENCE: Final = "CF00000000000000000000000000000001"
CUSTOMERS_END: Final = {
    "CallSid": CUSTOMER,
    "CallStatus": "completed",
    "CallDuration": "300",
    "Direction": "inbound",
    "From": "+15005550001",
    "To": "+15005550006",
    "SequenceNumber": "3",
    "Timestamp": "Mon, 02 Nov 2026 10:05:00 +0000",
}


def events_of(form: Mapping[str, str], query: str = "") -> list[CallEvent]:
    body: dict[str, JsonValue] = dict(form)
    request = build_request({"path": f"/{query}", "body_form": body}, base_url="https://h.test")
    return SOURCES["twilio"].parse(request, "m1")


def call_of(*messages: Mapping[str, str]) -> Call:
    """The call of some messages, the same in whatever order they come."""
    events = [events_of(message) for message in messages]
    calls = [fold(itertools.chain(*order)) for order in itertools.permutations(events)]
    assert all(call == calls[0] for call in calls)
    return calls[0]


def participant(event: str, leg_id: str, time: str, **fields: str) -> dict[str, str]:
    return {
        "AccountSid": "AC1",
        "CallSid": leg_id,
        "ConferenceSid": CONFERENCE,
        "FriendlyName": CUSTOMER,
        "SequenceNumber": "1",
        "StatusCallbackEvent": f"participant-{event}",
        "Timestamp": f"Mon, 02 Nov 2026 {time} +0000",
        **fields,
    }


def dialled(status: str, **fields: str) -> dict[str, str]:
    return {
        "CallSid": CUSTOMER,
        "CallStatus": "in-progress",
        "DialCallStatus": status,
        "Direction": "inbound",
        "From": "+15005550001",
        "To": "+15005550006",
        **fields,
    }


CUSTOMER_JOINED: Final = participant("join", CUSTOMER, "10:00:05")
CUSTOMER_LEFT: Final = participant("leave", CUSTOMER, "10:04:50")
AGENT_JOINED: Final = participant("join", AGENT, "10:01:00")
AGENT_LEFT: Final = participant("leave", AGENT, "10:05:10")


def test_customer_and_agent_in_one_conference_talked() -> None:
    """Talk time is while both were there: 10:01:00 to 10:04:50."""
    call = call_of(CUSTOMER_JOINED, AGENT_JOINED, CUSTOMER_LEFT, AGENT_LEFT, CUSTOMERS_END)
    assert (Result.CONNECTED, Direction.INBOUND, 230) == (
        call.result,
        call.direction,
        call.duration_s,
    )
    assert Reason.CONFERENCE_SHARED == call.basis.reason
    assert CUSTOMER == call.source_call_id


@pytest.mark.parametrize(
    "messages",
    [
        (CUSTOMER_JOINED, CUSTOMER_LEFT),
        (CUSTOMER_JOINED,),
        (CUSTOMER_LEFT,),
        (dialled("answered"),),
        (dialled("completed"), CUSTOMER_JOINED),
    ],
)
def test_customer_alone_in_a_conference_stays_open(messages: tuple[dict[str, str], ...]) -> None:
    """Whether anybody else was there is not known: neither talk nor a missed call is asserted."""
    call = call_of(*messages, CUSTOMERS_END)
    assert (None, Reason.ALONE_IN_CONFERENCE) == (call.result, call.basis.reason)


@pytest.mark.parametrize("status", sorted(UNANSWERED))
def test_agent_who_was_not_reached_was_in_no_conference(status: str) -> None:
    """
    A participant that the API could not reach is reported as having left; it never was there, and
    its end is known from that.
    """
    left = participant("leave", AGENT, "10:01:00", ParticipantCallStatus=status)
    (event,) = events_of(left)
    assert (EventType.ENDED, AGENT, CUSTOMER, None) == (
        event.event_type,
        event.leg_id,
        event.parent_leg_id,
        event.conference_id,
    )
    call = call_of(CUSTOMER_JOINED, CUSTOMER_LEFT, left, CUSTOMERS_END)
    assert (None, Reason.ALONE_IN_CONFERENCE) == (call.result, call.basis.reason)


def test_participant_is_never_taken_for_a_customer() -> None:
    """Events of a conference state no direction; before the first leg's nothing is decided."""
    events = [*events_of(AGENT_JOINED), *events_of(AGENT_LEFT)]
    assert {(None, None)} == {(event.direction, event.party) for event in events}
    assert call_of(AGENT_JOINED, AGENT_LEFT).result is None


def test_customer_who_is_called_into_a_reps_conference_is_the_customer() -> None:
    """
    A rep calls from the browser into a conference, and the customer is called into it by the API
    with `parent_call_sid` in the address: the customer's own leg decides.
    """
    rep = {**CUSTOMERS_END, "From": "client:ana", "To": ""}
    customer = {
        "CallSid": AGENT,
        "Direction": "outbound-api",
        "From": "+15005550006",
        "To": "+15005550001",
    }
    parent = f"?parent_call_sid={CUSTOMER}"
    joined = [*events_of(CUSTOMER_JOINED), *events_of(CUSTOMER_LEFT), *events_of(rep)]
    talked = events_of(
        {**customer, "CallStatus": "completed", "CallDuration": "230", "SequenceNumber": "3"},
        parent,
    )
    call = fold([*joined, *talked, *events_of(AGENT_JOINED), *events_of(AGENT_LEFT)])
    assert (Result.CONNECTED, Direction.OUTBOUND, 230, "+15005550001", "ana") == (
        call.result,
        call.direction,
        call.duration_s,
        call.to_number,
        call.agent,
    )
    busy = events_of({**customer, "CallStatus": "busy", "SequenceNumber": "2"}, parent)
    call = fold([*joined, *busy])
    assert (Result.BUSY, Direction.OUTBOUND) == (call.result, call.direction)


def test_participants_of_a_conference_with_a_name_of_its_own_are_calls_of_their_own() -> None:
    """Only the address or the name shows which call a conference belongs to."""
    named = {**AGENT_JOINED, "FriendlyName": "Room 1234"}
    (event,) = events_of(named)
    assert (AGENT, None) == (event.source_call_id, event.parent_leg_id)
    (event,) = events_of(named, f"?parent_call_sid={CUSTOMER}")
    assert (CUSTOMER, CUSTOMER) == (event.source_call_id, event.parent_leg_id)


def test_events_of_one_participant_are_different_messages() -> None:
    """Joining, leaving and joining again have keys of their own."""
    requests = [
        build_request({"path": "/", "body_form": dict(form)}, base_url="https://h.test")
        for form in (
            CUSTOMER_JOINED,
            CUSTOMER_LEFT,
            AGENT_JOINED,
            {**CUSTOMER_JOINED, "SequenceNumber": "5"},
        )
    ]
    keys = {SOURCES["twilio"].keys(request) for request in requests}
    assert len(requests) == len({key.message_key for key in keys})
    assert {CUSTOMER} == {key.source_call_id for key in keys}


def test_call_that_was_answered_and_never_joined_is_missed() -> None:
    """A mailbox that picked up, or a call that nobody accepted by a key, is no talk."""
    ended = dialled("completed", DialCallSid=AGENT, DialCallDuration="12", DialBridged="false")
    call = call_of(ended, CUSTOMERS_END)
    assert (Result.MISSED_INBOUND, 0) == (call.result, call.duration_s)
    call = call_of({**ended, "DialBridged": "true"}, CUSTOMERS_END)
    assert (Result.CONNECTED, 12) == (call.result, call.duration_s)


def test_outbound_call_that_was_never_joined_failed() -> None:
    """The customer picked up and was never joined with the rep."""
    call = call_of(
        {
            **dialled("completed", DialCallSid=AGENT, DialCallDuration="12", DialBridged="false"),
            "From": "client:ana",
            "To": "",
        },
        {**CUSTOMERS_END, "From": "client:ana", "To": ""},
        {
            "CallSid": AGENT,
            "ParentCallSid": CUSTOMER,
            "CallStatus": "completed",
            "CallDuration": "12",
            "Direction": "outbound-dial",
            "From": "+15005550006",
            "To": "+15005550001",
        },
    )
    assert (Result.FAILED, Direction.OUTBOUND) == (call.result, call.direction)


def test_caller_who_was_taken_from_a_queue_talked() -> None:
    """The agent's leg is a call of its own; how long the two talked is not known."""
    left = {
        "CallSid": CUSTOMER,
        "CallStatus": "in-progress",
        "Direction": "inbound",
        "From": "+15005550001",
        "To": "+15005550006",
        "QueueSid": "QU1",
        "QueueTime": "42",
    }
    call = call_of({**left, "QueueResult": "bridged"}, CUSTOMERS_END)
    assert (Result.CONNECTED, None, 42, "QU1") == (
        call.result,
        call.duration_s,
        call.wait_s,
        call.queue,
    )
    call = call_of({**left, "QueueResult": "hangup"}, CUSTOMERS_END)
    assert (Result.ABANDONED, 42, "QU1", "customer") == (
        call.result,
        call.wait_s,
        call.queue,
        call.hung_up_by,
    )
    call = call_of({**left, "QueueResult": "queue-full"}, CUSTOMERS_END)
    assert (Result.ABANDONED, None) == (call.result, call.hung_up_by)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"Duration": "3"}, None),
        (
            {
                "StartTime": "Mon, 02 Nov 2026 10:00:10 +0000",
                "EndTime": "Mon, 02 Nov 2026 10:01:00 +0000",
            },
            50,
        ),
        ({"StartTime": "2026-11-02T10:00:10Z", "EndTime": "2026-11-02T10:01:00Z"}, 50),
        ({"StartTime": "2026-11-02T10:00:10Z"}, None),
        ({"StartTime": "2026-11-02T10:00:10Z", "EndTime": "soon"}, None),
        ({"CallDuration": "7", "StartTime": "2026-11-02T10:00:10Z", "EndTime": "now"}, 7),
    ],
)
def test_duration_that_is_not_stated_follows_from_times(
    fields: dict[str, str], expected: int | None
) -> None:
    """Without `CallDuration` the start and the end of the message count, never billed minutes."""
    form = {"CallSid": CUSTOMER, "CallStatus": "completed", "Direction": "outbound-api", **fields}
    assert expected == call_of(form).duration_s


def test_duration_follows_from_the_events_of_answer_and_end() -> None:
    """Where no message holds a duration, it is the time from answer to end."""
    form = {"CallSid": CUSTOMER, "Direction": "outbound-api", "To": "+15005550001"}
    call = call_of(
        {
            **form,
            "CallStatus": "in-progress",
            "SequenceNumber": "2",
            "Timestamp": "Mon, 02 Nov 2026 10:00:10 +0000",
        },
        {
            **form,
            "CallStatus": "completed",
            "SequenceNumber": "3",
            "Timestamp": "Mon, 02 Nov 2026 10:01:00 +0000",
        },
    )
    assert (Result.CONNECTED, 50) == (call.result, call.duration_s)


def test_dialled_leg_without_a_duration_has_that_of_its_own_events() -> None:
    """A `<Dial action>` request may lack `DialCallDuration`; the leg's own callbacks hold it."""
    call = call_of(
        dialled("completed", DialCallSid=AGENT),
        {
            "CallSid": AGENT,
            "ParentCallSid": CUSTOMER,
            "CallStatus": "completed",
            "CallDuration": "50",
            "Direction": "outbound-dial",
            "To": "client:ana",
        },
        CUSTOMERS_END,
    )
    assert (Result.CONNECTED, 50, "ana") == (call.result, call.duration_s, call.agent)


def test_call_that_came_by_a_forwarding_is_marked_so() -> None:
    """`ForwardedFrom` of an inbound call shows it, unless it only repeats one of the two ends."""
    assert call_of({**CUSTOMERS_END, "ForwardedFrom": "+15005550008"}).is_forwarded
    for number in ("+15005550006", "+15005550001", ""):
        assert not call_of({**CUSTOMERS_END, "ForwardedFrom": number}).is_forwarded
