"""
Parsing pending messages: whatever one of them holds, the others are parsed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
import structlog
from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import CallEvent
from service.sources import SOURCES, WebhookRequest
from service.store.messages import Message
from tests.workers.jobs.harness import form
from workers.jobs.parse_messages import ParsedMessages, parse_messages

NOW = datetime(2026, 11, 2, 10, 1, tzinfo=UTC)
MESSAGE = Message(
    message_id="m1",
    source="twilio",
    source_call_id="CA1",
    received_at=NOW,
    request=WebhookRequest(
        method="POST",
        url="https://hooks.example.test/webhooks/twilio",
        headers={"content-type": ("application/x-www-form-urlencoded",)},
        body=urlencode(form("ringing", 1)).encode(),
    ),
)


def parse(*messages: Message) -> ParsedMessages:
    """Parse messages at NOW."""
    return parse_messages(messages, clock=lambda: NOW)


def fail_with(monkeypatch: pytest.MonkeyPatch, err: Exception) -> None:
    """Have Twilio's parser raise."""

    def read(self: object, request: WebhookRequest, message_id: str) -> Sequence[CallEvent]:
        raise err

    monkeypatch.setattr(type(SOURCES["twilio"]), "read", read)


def test_key_error_of_a_parser_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A KeyError is filed as an internal error, and logged with its traceback: the message may be
    fine.
    """
    fail_with(monkeypatch, KeyError("CallSid"))
    with structlog.testing.capture_logs() as lines:
        parsed = parse(MESSAGE)
    assert ({}, ["m1"]) == (parsed.events, list(parsed.failed))
    assert '"cause":"internal_error"' in parsed.failed["m1"]
    assert "KeyError: this is a bug" in parsed.failed["m1"]
    assert [True] == [
        bool(line["exc_info"]) for line in lines if line["event"] == "message.unreadable"
    ]


def test_malformed_payload_is_filed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that its source calls malformed is filed as that, with no traceback."""
    fail_with(monkeypatch, MalformedPayload("no CallSid"))
    with structlog.testing.capture_logs() as lines:
        parsed = parse(MESSAGE)
    assert '"cause":"malformed_payload"' in parsed.failed["m1"]
    assert "no CallSid" in parsed.failed["m1"]
    assert ["message.kept"] == [line["event"] for line in lines]


def test_unknown_source_is_named_and_the_rest_is_parsed() -> None:
    """A message of a source that this version lacks is filed; the next message is parsed."""
    other = replace(MESSAGE, message_id="m2", source="carrier-pigeon")
    parsed = parse(other, MESSAGE)
    assert ["m1"] == list(parsed.events)
    assert ["m2"] == list(parsed.failed)
    assert "no source named carrier-pigeon" in parsed.failed["m2"]
    assert ("m1",) == parsed.parsed_ids
