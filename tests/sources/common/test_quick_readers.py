"""
What is read in a quick way for most messages is read as the library reads it that takes longer.
"""

import base64
import binascii
import hmac
import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MalformedPayload
from service.sources.common import jwt
from service.sources.common.fields import mail_moment, text
from service.sources.common.json_body import (
    JsonValue,
    read_json_object,
    read_json_object_with_long_ids,
    sorted_json,
    stored_json,
)
from service.sources.common.signatures import is_hmac, is_hmac_of_any, read_base64
from service.sources.settings import Secrets

MAIL_TIME_PARTS = st.tuples(
    st.sampled_from(["Mon, ", "Xyz, ", "mon, ", ""]),
    st.sampled_from(["02", "2", "31", "00"]),
    st.sampled_from([" Nov ", " Feb ", " nov ", " Now "]),
    st.sampled_from(["2026", "26", "0000"]),
    st.sampled_from([" 10:05:00", " 24:00:00", " 10:05", " 23:59:60"]),
    st.sampled_from([" +0000", " -0000", " GMT", " -0700", "", " +0000 (UTC)"]),
)


# The standard library takes the years before 100 for years of this century or the last.
@given(moment=st.datetimes(min_value=datetime.fromisoformat("0100-01-01"), timezones=st.just(UTC)))
def test_times_of_mails_are_read(moment: datetime) -> None:
    """Every time in RFC 2822, to the second, in UTC."""
    assert moment.replace(microsecond=0) == mail_moment(format_datetime(moment))


@given(parts=MAIL_TIME_PARTS)
def test_times_of_mails_are_read_as_by_the_standard_library(parts: tuple[str, ...]) -> None:
    """Other spellings too; what is no time for one of them is none for the other."""
    value = "".join(parts)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        assert mail_moment(value) is None
    else:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        assert moment == mail_moment(value)


@given(value=st.text(alphabet="AQgw+/-_= \né", max_size=8))
def test_base64_is_read_in_its_one_spelling(value: str) -> None:
    """As the standard library reads it strictly, if that spells it so."""
    raw: bytes | None
    try:
        raw = base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        assert read_base64(value) is None
        return
    if base64.b64encode(raw).decode() != value:
        raw = None
    assert raw == read_base64(value)


@given(
    key=st.binary(max_size=130), message=st.binary(), algorithm=st.sampled_from(["sha1", "sha256"])
)
def test_signature_is_an_hmac(key: bytes, message: bytes, algorithm: str) -> None:
    """Each time, for a key that was used before too; a changed byte makes it another one."""
    signature = hmac.digest(key, message, algorithm)
    for _ in range(2):
        assert is_hmac(key, message, signature, algorithm=algorithm)
        assert is_hmac_of_any([key], message, [b"", signature], algorithm=algorithm)
        assert not is_hmac(key, message + b"x", signature, algorithm=algorithm)


@given(payload=st.binary(max_size=40))
def test_token_is_spelled_in_base64url(payload: bytes) -> None:
    """Payload and signature, without padding, and read back."""
    token = jwt.write_token(payload, "fake-key")
    spelled = base64.urlsafe_b64encode(payload).rstrip(b"=")
    assert spelled == token.split(b".")[1]
    assert payload == jwt.read_token(token, Secrets(("fake-key",)))
    assert payload == jwt.unproved_payload(token)


@pytest.mark.parametrize(
    ("number", "is_read"),
    [
        ("123456789012345678", True),
        ("1234567890123456789", False),
        ("-1234567890123456789", False),
        ("1E400", False),
        ("-1e400", False),
        ("1e40", True),
        ("NaN", False),
        ("-Infinity", False),
    ],
)
@pytest.mark.parametrize("neighbour", ['"a"', '"1234567890123456789"'])
def test_numbers_that_are_too_large_are_refused(
    number: str, neighbour: str, *, is_read: bool
) -> None:
    """Whether or not a text beside them looks like one."""
    body = f'{{"number": {number}, "text": {neighbour}}}'.encode()
    if is_read:
        assert json.loads(body) == read_json_object(body)
        return
    with pytest.raises(MalformedPayload):
        read_json_object(body)


def test_long_ids_are_texts_where_a_vendor_has_them() -> None:
    """With all their digits."""
    body = b'{"id": 1234567890123456789, "count": 3}'
    assert {"id": "1234567890123456789", "count": 3} == read_json_object_with_long_ids(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(" a ", "a"), ("", None), (" ", None), (0, "0"), (1.5, "1.5"), (True, None), ([], None)],
)
def test_first_text_or_number_counts(value: JsonValue, expected: str | None) -> None:
    """Stripped; true, false, null, lists and objects are no text."""
    assert expected == text({"name": value}, "name")
    assert (expected or "b") == text({"name": value, "other": "b"}, "name", "other")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
# What may be cut into a JSON text: repeated names, escapes, lone surrogates, blanks, long numbers.
PIECES = st.sampled_from(
    [
        *rb'"a":1, \u0022 \ud800 \" \\ " 1e999 -0 , NaN ] } { [ 0 .'.split(),
        *(b"9" * 18, b"9" * 19, b" ", b"\xff", b"\xef\xbb\xbf", b"\x01"),
    ]
)


def read_by_the_standard_library(body: bytes) -> dict[str, JsonValue]:
    """The rules of `read_json_object`, one by one; raises ValueError for what breaks one."""

    def unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    def short(digits: str) -> int:
        if len(digits) > 18:
            raise ValueError("too long")
        return int(digits)

    def finite(digits: str) -> float:
        if not math.isfinite(float(digits)):
            raise ValueError("infinite")
        return float(digits)

    value: JsonValue = json.loads(
        body.decode(), object_pairs_hook=unique, parse_int=short, parse_float=finite
    )
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    if isinstance(value, dict):
        return value
    raise ValueError("no object")


@given(value=JSON_VALUES, is_ascii=st.booleans(), cuts=st.lists(st.tuples(st.integers(0), PIECES)))
def test_json_is_read_as_by_the_standard_library(
    value: JsonValue, cuts: list[tuple[int, bytes]], *, is_ascii: bool
) -> None:
    """The same value in the same order of names; what breaks a rule is refused, however written."""
    body = json.dumps({"a": value, "b": 1}, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    for place, piece in cuts[:2]:
        cut = place % (len(body) + 1)
        body = body[:cut] + piece + body[cut:]
    try:
        expected = read_by_the_standard_library(body)
    except ValueError:
        with pytest.raises(MalformedPayload):
            read_json_object(body)
        return
    fields = read_json_object(body)
    # As texts: True is not 1, and the order of names counts.
    assert repr(expected) == repr(fields)
    assert repr(fields) == repr(read_json_object(stored_json(fields)))
    assert json.loads(sorted_json(fields)) == fields


def test_nesting_too_deep_is_refused() -> None:
    """As a fault of the message, not of ours."""
    for sign in (b"[", b'{"a":'):
        with pytest.raises(MalformedPayload):
            read_json_object(b'{"a":' + sign * 100_000)
