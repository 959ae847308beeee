"""
Forms and queries are read as the standard library reads them, and in a time that goes by their
length.
"""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MalformedPayload
from service.sources.common.forms import (
    MOST_FIELDS,
    check_first_name,
    read_form,
    read_query,
    values_by_name,
)

PIECES = st.sampled_from(
    [
        "a",
        "=",
        "&",
        "+",
        "%41",
        "%26",
        "%3D",
        "%3d",
        "%25",
        "%C3%A9",
        "%c3",
        "%",
        "%4",
        "%zz",
        "\u00e9",
        "\u4e2d",
        " ",
        ";",
        "#",
    ]
)


@given(pieces=st.lists(PIECES, max_size=12))
def test_form_is_read_as_by_the_standard_library(pieces: list[str]) -> None:
    """Every form of ASCII, and of raw letters in UTF-8, gives the same fields, or is refused."""
    text = "".join(pieces)
    try:
        fields = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        with pytest.raises(MalformedPayload):
            read_form(text.encode())
    else:
        assert fields == read_form(text.encode())


@given(pieces=st.lists(PIECES.filter(str.isascii), max_size=12))
def test_query_is_read_as_by_the_standard_library(pieces: list[str]) -> None:
    """Bytes that are not UTF-8 become replacement characters."""
    text = "".join(pieces)
    assert parse_qsl(text, keep_blank_values=True) == read_query(text)


def test_bytes_that_are_not_utf_8_and_absurdly_many_fields_are_refused() -> None:
    """Neither is decoded leniently, nor read to its end."""
    assert [("a", "")] * MOST_FIELDS == read_form(b"&".join([b"a"] * MOST_FIELDS))
    for body in (b"a=\xff", b"a=%ff", b"&".join([b"a"] * (MOST_FIELDS + 1))):
        with pytest.raises(MalformedPayload):
            read_form(body)


@pytest.mark.parametrize("name", ["0AccountSid", "", "_a", ".a", "\u00e9a", "=a"])
def test_form_begins_with_a_letter(name: str) -> None:
    """Else a part of the URL, which is signed before it, could be moved into it."""
    check_first_name([])
    check_first_name([("AccountSid", "AC1"), (name, "1")])
    with pytest.raises(MalformedPayload, match="begin with a letter"):
        check_first_name([(name, "1")])


@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(["From", "To", "A"]), st.sampled_from(["", "a", "b", "+1"])),
        max_size=6,
    )
)
def test_order_of_repeated_fields_decides_nothing(pairs: list[tuple[str, str]]) -> None:
    """Of each name the least value that is not empty counts."""
    least: dict[str, str] = {}
    for name, value in sorted(pairs):
        if value:
            least.setdefault(name, value)
    assert least == values_by_name(pairs)
