"""
What is read in a quick way for most messages is read as the library reads it that takes longer.
"""

import base64
import binascii
import hmac
import json
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


@given(moment=st.datetimes(timezones=st.just(UTC)))
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
