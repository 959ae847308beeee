"""
What all sources share: addresses in one form, the readers of JSON fields, and the Buildr call id
that comes back to us.
"""

import base64
import json
from datetime import UTC, datetime

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import MalformedPayload
from service.sources.common.fields import (
    child,
    children,
    epoch_moment,
    flag,
    iso_moment,
    text,
    texts,
    walk,
    whole_seconds,
    without_secret,
)
from service.sources.common.forms import query_pairs, query_value, read_form
from service.sources.common.ids import echoed_id
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.common.phone_numbers import bare_to_e164, to_e164
from service.sources.request import FORM, WebhookRequest

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def request_with(body: bytes) -> WebhookRequest:
    """A POST with a body, without headers."""
    return WebhookRequest(method="POST", url="https://hooks.example.test/x", body=body)


@given(
    st.from_regex(r"\+ ?1[-. (]{0,2}[0-9]{3}[-. )]{0,2}[0-9]{3}[-. ]?[0-9]{2,5}", fullmatch=True)
    | st.from_regex(r"\+[0-9]{5,16}", fullmatch=True)
)
def test_short_way_to_e164_leads_to_the_same(number: str) -> None:
    """A number that looks whole is left as it is only where the library would do the same."""
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        expected = number
    else:
        whole = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        expected = whole if phonenumbers.is_possible_number(parsed) else number
    assert expected == to_e164(number)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tel:+1-500-555-0006", "+15005550006"),
        ("tel:+15005550006;ext=12", "+15005550006"),
        ("whatsapp:+15005550006", "+15005550006"),
        ("0015005550006", "+15005550006"),
        ("00442079460018", "+442079460018"),
        ("+1 500 555 0006 x123", "+15005550006"),
        ("+15005550006;ext=123", "+15005550006"),
        ("sip:+15005550006@pbx.example.com", "sip:+15005550006@pbx.example.com"),
        ("client:+15005550006", "client:+15005550006"),
        ("tel:5550006", "tel:5550006"),
        ("00", "00"),
        ("00116565218000", "00116565218000"),
        ("101", "101"),
        ("  ", None),
        (None, None),
    ],
)
def test_number_is_read_however_it_is_written(address: str | None, expected: str | None) -> None:
    """
    A number becomes E.164 in all its writings; a SIP address and a softphone stay, since they show
    whose telephone it is.
    """
    assert expected == to_e164(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("15005550006", "+15005550006"),
        ("tel:15005550006", "+15005550006"),
        ("whatsapp:15005550006", "+15005550006"),
        ("0015005550006", "+15005550006"),
        ("sip:15005550006@pbx.example.com", "sip:15005550006@pbx.example.com"),
        ("05005550006", "05005550006"),
        ("5550006", "5550006"),
    ],
)
def test_number_without_its_plus_is_read(address: str, expected: str) -> None:
    """Where a vendor leaves the plus out, digits of a full number are one, behind a scheme too."""
    assert expected == bare_to_e164(address)


@pytest.mark.parametrize("query", ["id=110", "a=1&id=110", "%69d=110", "id=110&id=110&id="])
def test_query_value_is_found_however_it_is_written(query: str) -> None:
    """An encoded name is the same name, and a value that occurs twice counts once."""
    assert "110" == query_value(
        WebhookRequest(method="POST", url=f"https://hooks.example.test/x?{query}#id=7"), "id"
    )


@given(ANYTHING)
def test_readers_take_anything(value: JsonValue) -> None:
    """
    Whatever a vendor puts into a field, reading it gives a value of the right kind or nothing.
    """
    fields: dict[str, JsonValue] = {"x": value}
    assert isinstance(text(fields, "y", "x"), str | None)
    assert isinstance(flag(fields, "x"), bool | None)
    assert isinstance(whole_seconds(fields, "x", per_second=1000), int | None)
    assert isinstance(epoch_moment(fields, "x"), datetime | None)
    assert all(isinstance(item, str) for item in texts(fields, "x"))
    assert all(isinstance(item, dict) for item in children(fields, "x"))
    assert child(fields, "x", "y", "z") is not None
    list(walk(fields))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1500, 2),
        ("1499.9", 1),
        (463.294, 0),
        (0, 0),
        (-1, None),
        ("x", None),
        (True, None),
        ("nan", None),
        ("inf", None),
        (10**15, None),
    ],
)
def test_durations_are_whole_seconds(value: JsonValue, seconds: int | None) -> None:
    """Milliseconds as number or text are rounded; what is no duration is none."""
    assert seconds == whole_seconds({"x": value}, "x", per_second=1000)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-02T10:00:00Z", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("2026-11-02T10:00:00.1234567Z", datetime(2026, 11, 2, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-02T11:00:00+01:00", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("2026-11-02 10:00:00", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        (None, None),
    ],
)
def test_moments_are_in_utc(value: str | None, moment: datetime | None) -> None:
    """One without an offset is UTC; one that lies outside the calendar is none."""
    assert moment == iso_moment(value)


@pytest.mark.parametrize(
    "value",
    ['{"buildr_call_id": "110"}', '{"a":1,"buildr_call_id":110}', ' {"buildr_call_id":"110"}'],
)
def test_id_comes_back_as_json_or_in_base64(value: str) -> None:
    """The id is found in either form."""
    assert ("110", None) == echoed_id(value)
    assert ("110", None) == echoed_id(base64.b64encode(value.encode()).decode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "110",
        "buildr_call_id=110",
        "{",
        '["buildr_call_id"]',
        "AAAA",
        "é",
        '{"call_id": "42"}',
        "x" * 5000,
    ],
)
def test_what_somebody_else_put_there_is_no_fault(value: str | None) -> None:
    """A text that is not ours names no call and is nothing to complain about."""
    assert (None, None) == echoed_id(value)


@pytest.mark.parametrize("id_value", ["abc", "1" * 21, True, ["110"], {"id": "110"}, 1.5])
def test_wrong_id_says_what_is_wrong(id_value: object) -> None:
    """Somebody meant to name a call, and did not: that is reported."""
    buildr_call_id, fault = echoed_id(json.dumps({"buildr_call_id": id_value}))
    assert buildr_call_id is None
    assert "buildr_call_id" in (fault or "")


def test_secret_is_taken_out_of_a_body() -> None:
    """The field is empty afterwards, the rest unchanged; the parsed form is known already."""
    fields = {"token": "secret", "é": [1, {"token": "kept"}]}
    redacted = without_secret(request_with(json.dumps(fields).encode()), "token")
    assert {"token": "", "é": [1, {"token": "kept"}]} == json.loads(redacted.body)
    assert json.loads(redacted.body) == redacted.body_as(read_json_object)


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{"token": "", "a": 1}', b"[]", b"token"])
def test_request_without_the_secret_is_not_changed(body: bytes) -> None:
    """Where there is nothing to take out, it is the same request."""
    request = request_with(body)
    assert request is without_secret(request, "token")


def test_body_and_query_are_parsed_once() -> None:
    """Copies of a request share what was parsed of its body and query; another body is parsed."""
    request = replace(request_with(b"a=1"), url="https://hooks.example.test/x?b=2")
    copy = replace(request, headers={"content-type": (FORM,)})
    assert request.body_as(read_form) is copy.body_as(read_form)
    assert query_pairs(request) is query_pairs(copy)
    assert [("a", "2")] == replace(request, body=b"a=2").body_as(read_form)
    assert [("a", "1")] == request.body_as(read_form)


def test_headers_are_read_once_and_prove_no_other_ones() -> None:
    """A copy shares what was parsed of its body, but not what was read of other headers."""
    request = replace(request_with(b"{}"), headers={"x-a": ("1",)})
    first = request.headers_as(_pairs_of)
    assert first is request.headers_as(_pairs_of)
    copy = request.with_parts(url=request.url, headers={"x-a": ("2",)}, buildr_call_id=None)
    assert [("x-a", ("2",))] == copy.headers_as(_pairs_of)
    assert [("x-a", ("1",))] == request.headers_as(_pairs_of)


def _pairs_of(request: WebhookRequest) -> list[tuple[str, tuple[str, ...]]]:
    return list(request.headers.items())


def test_parse_error_is_raised_each_time() -> None:
    """What cannot be parsed is not remembered as if it could."""
    request = request_with(b"[]")
    for _ in range(2):
        with pytest.raises(MalformedPayload):
            request.body_as(read_json_object)


@pytest.mark.parametrize(
    "number", ["1" * 19, "-" + "9" * 25, "1e999", "1E400", "[1, " + "7" * 19 + "]"]
)
def test_number_that_is_too_large_is_refused_at_any_depth(number: str) -> None:
    """
    A number with more digits than can be kept exactly, or without an end, makes the whole message
    unreadable.
    """
    for body in (
        f'{{"a": {number}}}',
        f'{{"a": 1, "b": [{{"c": {number}}}]}}',
        f'{{"12": "34", "d":{number} }}',
    ):
        with pytest.raises(MalformedPayload):
            read_json_object(body.encode())


@given(st.from_regex(r"[-0-9eE.]{0,45}", fullmatch=True))
def test_text_may_hold_any_digits(text: str) -> None:
    """What only looks like a number, in a text or a name, is a text."""
    assert {"a": text, text: 1} == read_json_object(json.dumps({"a": text, text: 1}).encode())
