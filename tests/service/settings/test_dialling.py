"""
The dialler that the dial page opens, and the id in an address of Buildr.
"""

from collections.abc import Callable

import pytest

from service.errors import SettingsError
from service.phone_numbers import Number
from service.settings import Settings

NUMBER = Number("+15005550001", "12")


@pytest.mark.parametrize(
    ("dialler", "address"),
    [
        ("tel", "tel:+15005550001"),
        ("callto", "callto:+15005550001"),
        ("aircall", "tel:+15005550001"),
        ("ringcentral", "rcmobile://call?number=15005550001"),
        ("ringcentral-web", "https://app.ringcentral.com/r/call?number=%2B15005550001"),
        ("zoom", "zoomphonecall://+15005550001"),
        ("dialpad", "dialpad://+15005550001"),
        ("quo-mobile", "openphone://dial?number=%2B15005550001"),
        ("sip:{number}@pbx.example.com", "sip:+15005550001@pbx.example.com"),
        ("https://pbx.example.com/call?to={digits}", "https://pbx.example.com/call?to=15005550001"),
    ],
)
def test_each_dialler_has_its_address(
    make_settings: Callable[..., Settings], dialler: str, address: str
) -> None:
    """As its vendor documents it, or as it is set."""
    assert address == make_settings(DIALLER=dialler).dialler_address(NUMBER)


@pytest.mark.parametrize(
    "dialler", ["skype", "tel:", "{number}", "javascript:alert({number})", "data:,{digits}"]
)
def test_a_dialler_is_known_or_an_address_with_a_number(
    make_settings: Callable[..., Settings], dialler: str
) -> None:
    """Nothing that a browser would run, and nothing without a place for the number."""
    with pytest.raises(SettingsError, match="DIALLER"):
        make_settings(DIALLER=dialler)


@pytest.mark.parametrize("pattern", ["[", "/calls/[0-9]+", "/(a)/(b)", "/calls/(?P<id>[0-9]+)"])
def test_a_pattern_has_one_group(make_settings: Callable[..., Settings], pattern: str) -> None:
    """The id; a name would be written otherwise in a browser."""
    with pytest.raises(SettingsError, match="DIAL_ID_PATTERN"):
        make_settings(DIAL_ID_PATTERN=pattern)


def test_the_id_is_found_in_an_address(make_settings: Callable[..., Settings]) -> None:
    """By the pattern that is set; an endless text is not searched."""
    settings = make_settings()
    found = [
        settings.buildr_call_id_in(text)
        for text in ("https://b.test/calls/110", "https://b.test/call/7?a=1", "/calls/x", "/" * 900)
    ]
    assert ["110", "7", None, None] == found
    assert "5" == make_settings(DIAL_ID_PATTERN="[?&]call=([0-9]+)").buildr_call_id_in("/x?call=5")
