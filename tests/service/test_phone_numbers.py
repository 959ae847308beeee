"""
Telephone numbers made comparable.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.phone_numbers import (
    MAX_LENGTH,
    Number,
    OwnNumbers,
    read_number,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+15005550006", Number("+15005550006")),
        (" +1 (500) 555-0006 ", Number("+15005550006")),
        ("500.555.0006", Number("+15005550006")),
        ("1-500-555-0006", Number("+15005550006")),
        ("tel:+1-500-555-0006", Number("+15005550006")),
        ("(500) 555-0006 x12", Number("+15005550006", "12")),
        ("+1 500 555 0006;ext=12", Number("+15005550006", "12")),
        ("+44 20 7946 0018", Number("+442079460018")),
        ("0015005550006", Number("+15005550006")),
        ("00 44 20 7946 0018", Number("+442079460018")),
        ("01144 20 7946 0018", Number("+442079460018")),
        ("tel:+15005550006;ext=12", Number("+15005550006", "12")),
        ("tel:5550006;phone-context=+1500", Number("+15005550006")),
        ("TEL:0015005550006", Number("+15005550006")),
        ("whatsapp:+15005550006", Number("+15005550006")),
        ("WhatsApp:15005550006", Number("+15005550006")),
        ("sip:+15005550006@pbx.example.com", Number("+15005550006")),
        ("sips:+15005550006@pbx.example.com:5061;transport=tls", Number("+15005550006")),
        ("SIP:%2B15005550006@pbx.example.com;user=phone", Number("+15005550006")),
        ("sip:+15005550006;ext=12@pbx.example.com", Number("+15005550006", "12")),
        ("sip:+15005550006", Number("+15005550006")),
        ("sip:+15005550006;transport=udp", Number("+15005550006")),
        ("sip:15005550006@x", Number("+15005550006")),
        ("sip:500-555-0006@pbx.example.com", Number("+15005550006")),
        ("sip:0015005550006@pbx.example.com", Number("+15005550006")),
        (f"sip:+15005550006@{'a' * 80}.example.com", Number("+15005550006")),
    ],
)
def test_every_writing_is_one_number(text: str, expected: Number) -> None:
    """
    However a number is written, it becomes one E.164 form, and what is shown of it reads as the
    same again.
    """
    assert expected == read_number(text, region="US")
    assert expected == read_number(expected.text, region="GB")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ana",
        "5550006",
        "101",
        "+1",
        "client:+15005550006",
        "whatsapp:ana",
        "tel:",
        "sip:",
        "sip:101@pbx.example.com",
        "sip:ana5005550006@pbx.example.com",
        "sip:pbx.example.com;tag=15005550006",
        "sip:ana@15005550006",
        "skype:+15005550006",
        "tel:sip:+15005550006",
        "0000000",
        "00116565218000",
        "00115005550006",
        "+1500555000" + "6" * 60,
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    """Names, extensions and numbers without their area are none."""
    assert read_number(text, region="US") is None


def test_region_completes_a_national_number() -> None:
    """A number without a country code is of the region that is set."""
    assert Number("+442079460018") == read_number("020 7946 0018", region="GB")


@given(st.text(max_size=MAX_LENGTH))
def test_any_text_is_read_or_not(text: str) -> None:
    """No text breaks the reading, and what is read reads as the same again."""
    number = read_number(text, region="US")
    assert number is None or number == read_number(number.text, region="US")


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("+15005550006", "500-555-0006", True),
        ("500-555-0006", "+15005550006", True),
        ("+1500555*", "+15005551234", True),
        ("+1500555*", "+15015551234", False),
        ("+15005550006", "+150055500067", False),
        ("sip:*@pbx.example.com", "SIP:Ana@pbx.example.com", True),
        ("sip:*@pbx.example.com", "sip:ana@other.example.com", False),
        ("101", "101", True),
        ("101", "1012", False),
        ("+15005550006", "sip:+15005550006@pbx.example.com", True),
        ("+1500555*", "sips:5005551234@pbx.example.com", True),
        ("sip:+15005550006@pbx.example.com", "+15005550006", True),
    ],
)
def test_own_numbers_are_exact_or_begin_so(pattern: str, address: str, expected: bool) -> None:
    """An own number is listed in any writing, or by its beginning and a star."""
    assert expected == OwnNumbers((pattern,), "US").has(address)
    assert not OwnNumbers((), "US").has(address)
