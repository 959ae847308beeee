"""
What is peculiar to the source `standard`: its schema, and the finer points of the Standard Webhooks
specification.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks.webhooks import Webhook

from service.errors import InvalidSignature, MalformedPayload
from service.events import Party
from service.sources import SOURCES, WebhookRequest
from service.sources.common.json_body import JsonValue
from service.sources.common.request_file import build_request
from service.sources.common.standard_webhooks import read_secret
from service.sources.settings import Secrets
from service.sources.standard.payload import StandardMessage, json_schema
from tests.sources.contract import with_headers
from tests.sources.standard.contract import sign as sign_standard
from workers.calls.fold import fold

STANDARD: Final = SOURCES["standard"]
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
SECRET: Final = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
ROOT: Final = Path(__file__).parents[3]
FIXTURES: Final = sorted(
    path
    for path in (ROOT / "tests/sources/standard/fixtures").glob("*.json")
    if not path.name.endswith(".expected.json")
)
VALIDATOR: Final = Draft202012Validator(json_schema())


def message(**fields: JsonValue) -> WebhookRequest:
    body: Mapping[str, JsonValue] = {
        "version": "1",
        "type": "call.ringing",
        "call_id": "pbx-1",
        **fields,
    }
    return build_request(
        {"path": "/webhooks/standard", "body_json": dict(body)},
        base_url="https://hooks.example.test",
    )


def verify(request: WebhookRequest, *secrets: str) -> None:
    STANDARD.verify(request, Secrets(secrets or (SECRET,)), NOW)


def test_published_schema_is_the_models() -> None:
    """The schema in the docs is what the program reads."""
    assert json_schema() == json.loads(
        (ROOT / "docs/schemas/standard-v1.json").read_text(encoding="utf-8")
    )
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_schema_and_program_agree(path: Path) -> None:
    """
    What the schema allows is read; what it refuses is malformed, or holds an unknown word and is
    kept as such.
    """
    fixture = json.loads(path.read_text(encoding="utf-8"))
    expected = json.loads(path.with_name(f"{path.stem}.expected.json").read_text(encoding="utf-8"))
    if "body_json" not in fixture:
        assert expected == {"raises": "MalformedPayload"}
        return
    is_read = isinstance(expected, list) and expected[0]["event_type"] != "unknown"
    # A time without offset is a `format` of the schema, which validators are free not to check.
    if "time-" not in path.stem:
        assert is_read == VALIDATOR.is_valid(fixture["body_json"])


def test_every_field_of_the_model_is_in_a_fixture() -> None:
    """The fixtures use the whole schema."""
    used = {
        name
        for path in FIXTURES
        for name in json.loads(path.read_text(encoding="utf-8")).get("body_json", {})
    }
    assert {
        field.alias or name for name, field in StandardMessage.model_fields.items()
    } - used == set()


@pytest.mark.parametrize(
    "text",
    [
        "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==",
        "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw",
        "c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==",
        " whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw== ",
    ],
)
def test_secret_is_read_in_every_usual_spelling(text: str) -> None:
    """
    A secret comes with or without its prefix and its padding; all spellings prove the same message.
    """
    assert read_secret(text) == b"standard-secret-of-the-tests"
    verify(sign_standard(message(), SECRET, NOW), text)


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_%%%", "whsec_a", "é", "whsec_====", "two words"]
)
def test_secret_that_cannot_be_read_proves_nothing(text: str) -> None:
    """
    A broken secret neither crashes nor lets anything in, and does not spoil the others of the list.
    """
    assert read_secret(text) is None
    request = sign_standard(message(), SECRET, NOW)
    with pytest.raises(InvalidSignature):
        verify(request, text)
    verify(request, text, SECRET)


def test_one_right_signature_of_several_is_enough() -> None:
    """
    A sender that rotates its secret sends several signatures; other schemes among them are passed
    over.
    """
    request = sign_standard(message(), SECRET, NOW)
    right = request.headers["webhook-signature"][0]
    wrong = Webhook("whsec_YW5vdGhlcg==").sign("msg_1", NOW, request.body.decode())
    for header in (
        f"{wrong} {right}",
        f"{right} {wrong}",
        f"v1a,abc {right}",
        f"v2,{right[3:]} {right}",
        f"nonsense {right}",
    ):
        verify(with_headers(request, {"webhook-signature": header}))
    for header in (
        wrong,
        f"v2,{right[3:]}",
        f"v1a,{right[3:]}",
        right[3:],
        f"V1,{right[3:]}",
        f"v1, {right[3:]}",
        f"v1,{right[3:]},{right[3:]}",
    ):
        with pytest.raises(InvalidSignature):
            verify(with_headers(request, {"webhook-signature": header}))


@pytest.mark.parametrize(
    "text",
    ["1793613900.0", "+1793613900", "01793613900 ", "1e9", "-1", "now", "١٧٩٣٦١٣٩٠٠", "9" * 400],
)
def test_timestamp_must_be_whole_seconds(text: str) -> None:
    """A timestamp in any other spelling is refused before it is used."""
    request = sign_standard(message(), SECRET, NOW)
    with pytest.raises(InvalidSignature):
        verify(with_headers(request, {"webhook-timestamp": text}))


@pytest.mark.parametrize("text", ["msg\n1", "msg\u20281", "ü", "m" * 201])
def test_id_must_be_plain(text: str) -> None:
    """A message id is printable ASCII of at most 200 characters, though it be signed."""
    with pytest.raises(InvalidSignature):
        verify(sign_standard(with_headers(message(), {"webhook-id": text}), SECRET, NOW))


def test_message_is_named_by_its_signed_id() -> None:
    """Two messages of one id are one message, whatever they hold; that is how a sender retries."""
    one, two = (with_headers(message(note=note), {"webhook-id": "msg_7"}) for note in ("a", "b"))
    assert STANDARD.keys(one) == STANDARD.keys(two)
    assert STANDARD.keys(one) != STANDARD.keys(
        with_headers(message(note="a"), {"webhook-id": "msg_8"})
    )


def test_answer_says_that_it_is_kept() -> None:
    """The sender is answered 202 and JSON."""
    reply = STANDARD.reply(message())
    assert (202, {"status": "accepted"}, "application/json") == (
        reply.status,
        json.loads(reply.body),
        reply.content_type,
    )


def test_fault_names_the_field_and_never_its_value() -> None:
    """A person who reads why a message was refused learns where, and nothing personal."""
    with pytest.raises(MalformedPayload) as caught:
        STANDARD.parse(message(to=15005550001, note=["private"], duration_s="private"), "m1")
    text = str(caught.value)
    assert all(name in text for name in ('"to"', '"note"', '"duration_s"'))
    assert "private" not in text
    assert "15005550001" not in text


def test_many_faults_stay_one_short_text() -> None:
    """A message full of faults does not fill the log."""
    with pytest.raises(MalformedPayload) as caught:
        STANDARD.parse(message(**{f"x{number}" * 100: 1 for number in range(50)}), "m1")
    assert len(str(caught.value)) < 1000
    assert str(caught.value).endswith("and 45 more")


def test_time_outside_the_calendar_is_malformed() -> None:
    """A time that has no place in UTC is refused, not crashed on."""
    with pytest.raises(MalformedPayload):
        STANDARD.parse(message(occurred_at="0001-01-01T00:00:00+14:00"), "m1")


@pytest.mark.parametrize(
    ("field_name", "value", "error"),
    [
        ("wait_s", "85", '"wait_s": Input should be a valid integer'),
        ("wait_s", -1, '"wait_s": Input should be greater than or equal to 0'),
        ("queue", "", '"queue": String should have at least 1 character'),
        ("team", 7, '"team": Input should be a valid string'),
        ("hung_up_by", "network", "\"hung_up_by\": Input should be 'customer' or 'agent'"),
        ("is_transferred", "true", '"is_transferred": Input should be a valid boolean'),
        ("is_forwarded", 1, '"is_forwarded": Input should be a valid boolean'),
        ("is_answered_elsewhere", {}, '"is_answered_elsewhere": Input should be a valid boolean'),
    ],
)
def test_fault_in_a_fact_of_the_call_is_named(
    field_name: str, value: JsonValue, error: str
) -> None:
    """The error says which field it is and what it should be, and not what was sent."""
    fields: dict[str, JsonValue] = {field_name: value}
    with pytest.raises(MalformedPayload) as caught:
        STANDARD.parse(message(**fields), "m1")
    assert error == str(caught.value)


def test_facts_of_the_call_hold_as_they_are_sent() -> None:
    """A fact that is false or left out does not hold, unless another message says so."""
    ended: dict[str, JsonValue] = {
        "type": "call.ended",
        "direction": "inbound",
        "hangup_cause": "completed",
    }
    first = STANDARD.parse(message(**ended, duration_s=300, wait_s=85, queue="Sales"), "m1")
    call = fold(first)
    assert (300, 85, "Sales", None, False) == (
        call.duration_s,
        call.wait_s,
        call.queue,
        call.hung_up_by,
        call.is_transferred,
    )
    later = message(type="call.updated", team="Roofing", hung_up_by="agent", is_transferred=True)
    call = fold([*first, *STANDARD.parse(later, "m2")])
    assert ("Roofing", Party.AGENT, True, False) == (
        call.team,
        call.hung_up_by,
        call.is_transferred,
        call.is_forwarded,
    )
