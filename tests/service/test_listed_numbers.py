"""
Which telephone numbers the phone book lists.
"""

import pytest

from service.listed_numbers import read_listed_number


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
