"""
Which telephone numbers the phone book lists.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.listed_numbers import LAST_DIGITS, read_listed_number
from service.phone_numbers import read_number


@pytest.mark.parametrize(
    "text",
    [
        "+15005550006",
        "(500) 555-0006",
        "500.555.0006 x301",
        "1 500 555 0006",
        "001 500 555 0006",
        "tel:+1-500-555-0006",
        "sip:+15005550006@carrier.example.test",
    ],
)
def test_number_is_read_in_any_form(text: str) -> None:
    """However it is written it is one number, without its extension."""
    assert "+15005550006" == read_listed_number(text, region="US")


def test_national_number_is_of_its_region() -> None:
    """A number without a country code is of the region that is named."""
    assert "+442079460018" == read_listed_number("020 7946 0018", region="GB")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "anonymous",
        "Restricted",
        "101",
        "client:ana",
        "sip:ana@pbx.example.test",
        "+266696687",
        "+7378742833",
        "+86282452253",
        "000-000-0000",
        "555-555-5555",
    ],
)
def test_what_nobody_has_is_no_number(text: str) -> None:
    """Names, extensions, withheld numbers in their spellings, and made-up ones are not listed."""
    assert read_listed_number(text, region="US") is None


@given(
    text=st.from_regex(
        r"\A(\+1|1|)[ .-]?\(?[0-9]{3}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}"
        r"( ?(x|ext) ?[0-9]{1,7})?\Z"
    ),
    region=st.sampled_from(["US", "CA", "GB", "DE"]),
)
def test_numbers_of_north_america_are_read_as_by_the_library(text: str, region: str) -> None:
    """The short way to a number gives what the library gives."""
    number = read_number(text, region=region)
    e164 = read_listed_number(text, region=region)
    if e164 is not None:
        assert number is not None
        assert number.e164 == e164
    elif number is not None:
        assert 1 == len(set(number.e164[-LAST_DIGITS:]))
