"""
Masking of values and text.
"""

import json
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from service.logs.masking import (
    MAX_TEXT,
    in_one_line,
    mask,
    mask_text,
)
from service.logs.secret_masking import HIDDEN

SECRET = "S3CR3T-value"
TOKEN_URL = "https://rep:S3CR3T-value@api.example.test/v1?key=S3CR3T-value#part"


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@cache.example.test:6379/0 is away",
        f"rediss://user:p@{SECRET}@cache.example.test/0",
        TOKEN_URL,
        f"GET https://api.example.test/x?From=%2B15005550006&access={SECRET} failed",
        f"Authorization: Bearer {SECRET}",
        f"authorization: {SECRET}",
        f"Authorization: Basic {SECRET}",
        f"X-Twilio-Signature: {SECRET}",
        f"webhook-signature: v1,{SECRET}",
        f"token={SECRET}",
        f"BUILDR_CLIENT_SECRET={SECRET}",
        f"{{'access_token': '{SECRET}'}}",
        json.dumps({"client_secret": SECRET}),
        json.dumps(json.dumps({"password": SECRET, "x": 'a"b\n'})),
        json.dumps(json.dumps({"notes": f'said "hi"\n and {SECRET}'})),
        f"whsec_{SECRET}",
        f"Cookie: a=1; session={SECRET}",
        f"cookie:{SECRET}",
        f"x-api-key:{SECRET}",
        f"Incoming(method='POST', body=b'{SECRET}')",
        f'note="it\'s {SECRET}"',
        f"notes: '{SECRET} that was cut off",
        f"1 error [type=string_type, input_value='{SECRET}, input_type=x', input_type=str]",
    ],
)
def test_secrets_and_content_in_text_are_hidden(text: str) -> None:
    """Whatever form a secret takes in free text, it is gone."""
    assert SECRET not in mask_text(text)
    assert SECRET.partition("-")[0] not in mask_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "message.accepted",
        "no source has a secret: set TWILIO_AUTH_TOKEN or STANDARD_SECRET",
        "unix:///var/lib/buildr-calls/redis.sock",
        "https://hooks.example.test/webhooks/twilio",
        "twilio:CA00000000000000000000000000000001",
        "default|twilio:CA00000000000000000000000000000001",
        "Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "signature does not match",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    """What an operator has to read is not touched."""
    assert text == mask_text(text)


def test_own_validation_errors_do_not_quote_their_input() -> None:
    """Pydantic puts the value that it refused into its message; a log does not."""

    class Shape(BaseModel):
        number: int

    with pytest.raises(ValidationError) as raised:
        Shape.model_validate({"number": SECRET})
    assert SECRET in in_one_line(raised.value)
    assert SECRET not in str(mask(raised.value))


@pytest.mark.parametrize(
    "key",
    [
        *(
            "token",
            "access_token",
            "AccessToken",
            "x-twilio-signature",
            "Authorization",
            "set-cookie",
            "client_secret",
            "PASSWORD",
            "auth",
        ),
        *(
            "apiKey",
            "credentials",
            "raw",
            "body",
            "raw_body",
            "notes",
            "note",
            "headers",
            "query",
            "transcript",
            "redis_password",
        ),
    ],
)
def test_keys_of_secrets_and_content_hide_their_value_whole(key: str) -> None:
    """A key that names a secret or the content of a call hides any value, nested ones too."""
    assert HIDDEN == mask(SECRET, key=key)
    assert {"a": [{key: HIDDEN}]} == mask({"a": [{key: {"deep": SECRET}}]})


def test_header_pairs_are_hidden_by_their_name() -> None:
    """A list of header pairs, as ASGI has it, hides like a mapping."""
    assert [["x-twilio-signature", HIDDEN], ["accept", "json"]] == mask(
        [(b"x-twilio-signature", b"abc"), ("accept", "json")]
    )


def test_ids_measures_and_times_of_ours_stay() -> None:
    """Digits under a key of ours are no telephone number."""
    entry = {
        "message_id": "m0123456789abcdef01234567",
        "buildr_call_id": "5005550006",
        "company_id": "15005550006",
        "body_bytes": 15005550006,
        "duration_ms": 1500555.0006,
        "started_at": "2026-11-02T10:00:49.123456+00:00",
        "timestamp": "2026-11-02T10:00:49.123456Z",
        "source_call_id": "CA00000000000000000000000000000001",
        "job_id": "default|standard:call-1234567",
        "is_new": True,
        "reason": None,
    }
    assert entry == mask(entry)


def test_call_id_that_is_a_number_is_masked() -> None:
    """A source may use the number itself as the call's id."""
    assert "+1••••••••06" == mask("+15005550006", key="source_call_id")
    assert "default|standard:+1••••••••06" == mask("default|standard:+15005550006", key="job_id")


def test_number_keys_mask_bare_digits() -> None:
    """Under a key that names a number, digits alone are one; so in lists."""
    assert {"to": ["••••••••••78"], "from_number": "•••••••••06"} == mask(
        {"to": ["491511234578"], "from_number": 15005550006}
    )


def test_values_become_plain_and_unknown_objects_only_a_name() -> None:
    """
    Only types that are known to be harmless show what they hold; no repr of any other is called.
    """

    class Word(StrEnum):
        ENDED = "ended"

    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError(SECRET)

    values = {
        "word": Word.ENDED,
        "at": datetime(2026, 11, 2, tzinfo=UTC),
        "span": timedelta(seconds=5),
        "path": Path("/var/lib"),
        "uuid": UUID(int=0),
        "bytes": b"12345",
        "bad": Bad(),
        "error": ValueError("call +15005550006"),
        "nan": float("nan"),
        "set": {"a"},
        1: "one",
    }
    expected = {
        "word": "ended",
        "at": "2026-11-02 00:00:00+00:00",
        "span": "0:00:05",
        "path": "/var/lib",
        "uuid": "00000000-0000-0000-0000-000000000000",
        "bytes": "<5 bytes>",
        "bad": "<test_values_become_plain_and_unknown_objects_only_a_name.<locals>.Bad>",
        "error": "ValueError: call +1••••••••06",
        "nan": "nan",
        "set": ["a"],
        "1": "one",
    }
    assert expected == mask(values)


def test_depth_and_length_are_bounded() -> None:
    """Neither a structure that holds itself nor a huge text can stop the log."""
    endless: list[object] = []
    endless.append(endless)
    assert "..." in json.dumps(mask(endless))
    assert len(mask_text("a b" * MAX_TEXT)) < MAX_TEXT + 100


def test_control_characters_are_shown_not_obeyed() -> None:
    """A sender cannot move the cursor of whoever reads the log."""
    assert r"a\x1b[2Jb\x0d" == mask_text("a\x1b[2Jb\r")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=20) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_masking_never_fails_and_always_gives_json(value: object) -> None:
    """Any value can be logged."""
    json.dumps(mask(value), allow_nan=False)


@given(st.text(), st.text())
def test_number_never_survives_between_other_text(before: str, after: str) -> None:
    """Wherever an international number is in a text, it cannot be read."""
    assert "5005550006" not in mask_text(f"{before}+15005550006 {after}")
