"""
Talk, wait and message of calls as Twilio reports them, and the rules that ask for each.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Final
from urllib.parse import urlencode

import pytest

from service.events import CallEvent
from service.settings.outcomes import OutcomeConfig
from service.sources import SOURCES, WebhookRequest
from workers.calls.fold import Call, fold
from workers.outcomes.decide import decide

CALLER: Final = "CA00000000000000000000000000000001"
AGENT: Final = "CA00000000000000000000000000000002"
FROM_CALLER: Final = {
    "CallSid": CALLER,
    "From": "+15005550001",
    "To": "+15005550006",
    "Direction": "inbound",
}
TO_AGENT: Final = {
    "CallSid": AGENT,
    "ParentCallSid": CALLER,
    "From": "+15005550001",
    "To": "client:ana",
    "Direction": "outbound-dial",
}


def at(time: str) -> dict[str, str]:
    """The vendor's time of a message."""
    return {"Timestamp": f"Sat, 28 Nov 2026 {time} +0000"}


# The caller waits 300 seconds for an agent, with whom she talks for 4.
SHORT_TALK: Final = (
    {**FROM_CALLER, "CallStatus": "ringing", "SequenceNumber": "0", **at("03:00:00")},
    {**TO_AGENT, "CallStatus": "in-progress", "SequenceNumber": "2", **at("03:05:00")},
    {
        **TO_AGENT,
        "CallStatus": "completed",
        "CallDuration": "4",
        "SequenceNumber": "3",
        **at("03:05:04"),
    },
    {
        **FROM_CALLER,
        "CallStatus": "completed",
        "CallDuration": "304",
        "SequenceNumber": "3",
        **at("03:05:04"),
    },
)
# The caller waits 90 seconds for an agent who does not answer.
LONG_WAIT: Final = (
    {**FROM_CALLER, "CallStatus": "ringing", "SequenceNumber": "0", **at("03:00:00")},
    {**TO_AGENT, "CallStatus": "no-answer", "SequenceNumber": "2", **at("03:01:30")},
    {
        **FROM_CALLER,
        "CallStatus": "completed",
        "CallDuration": "90",
        "SequenceNumber": "3",
        **at("03:01:30"),
    },
)
# A voicemail of 45 seconds.
VOICEMAIL: Final = (
    {**FROM_CALLER, "CallStatus": "completed", "CallDuration": "60", "SequenceNumber": "3"},
    {
        "CallSid": CALLER,
        "RecordingSid": "RE00000000000000000000000000000001",
        "RecordingUrl": "https://api.example.com/RE1",
        "RecordingStatus": "completed",
        "RecordingDuration": "45",
        "RecordingSource": "RecordVerb",
    },
)


def folded(forms: Iterable[dict[str, str]]) -> Call:
    """The call that Twilio's messages make."""
    return fold(chain.from_iterable(map(parse, forms)))


def parse(form: dict[str, str]) -> Iterable[CallEvent]:
    """The events of one message."""
    request = WebhookRequest(
        method="POST",
        url="https://hooks.example.test/webhooks/twilio",
        headers={"content-type": ("application/x-www-form-urlencoded",)},
        body=urlencode(form).encode(),
    )
    return SOURCES["twilio"].parse(request, "m1")


def outcome(call: Call, when: dict[str, object]) -> str:
    """The outcome of a call by one rule, whose own outcome is `Rule`."""
    config = OutcomeConfig.model_validate({"rules": [{"when": when, "outcome": "Rule"}]})
    return str(decide(call, config).outcome)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"result": "connected", "duration_below_s": 10}, "Rule"),
        ({"talk_below_s": 5}, "Rule"),
        ({"talk_below_s": 4}, "Connected"),
        ({"talk_at_least_s": 5}, "Connected"),
        ({"duration_at_least_s": 5}, "Connected"),
        ({"wait_at_least_s": 300}, "Rule"),
        ({"wait_at_least_s": 301}, "Connected"),
    ],
)
def test_talk_of_an_inbound_call_is_without_the_wait(
    when: dict[str, object], expected: str
) -> None:
    """A caller who waited for five minutes and talked for four seconds had a short talk."""
    assert expected == outcome(folded(SHORT_TALK), when)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"result": ["abandoned", "missed_inbound"], "wait_below_s": 5}, "Missed Call"),
        ({"result": ["abandoned", "missed_inbound"], "talk_below_s": 5}, "Missed Call"),
        ({"wait_at_least_s": 90}, "Rule"),
        ({"wait_below_s": 91}, "Rule"),
    ],
)
def test_caller_who_waited_is_no_hang_up(when: dict[str, object], expected: str) -> None:
    """A rule for callers who are gone within five seconds leaves one alone who waited for 90."""
    assert expected == outcome(folded(LONG_WAIT), when)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"result": "voicemail_received", "voicemail_below_s": 3}, "Voicemail Received"),
        ({"result": "voicemail_received", "talk_below_s": 3}, "Voicemail Received"),
        ({"voicemail_at_least_s": 45}, "Rule"),
    ],
)
def test_message_of_45_seconds_is_not_empty(when: dict[str, object], expected: str) -> None:
    """A rule for empty voicemails asks for the length of the message, and not of the talk."""
    assert expected == outcome(folded(VOICEMAIL), when)
