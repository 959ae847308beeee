"""
Telephone numbers in text.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.logs.phone_masking import mask_number, mask_numbers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+15005550006", "+1••••••••06"),
        ("+1 (500) 555-0006", "+1••••••••06"),
        ("%2B15005550006", "%2B1••••••••06"),
        ("+79161234567", "+7••••••••67"),
        ("+5511999990000", "+55•••••••••00"),
        ("500-555-0006", "••••••••06"),
        ("110", "110"),
        ("client:alice", "client:alice"),
        ("", ""),
    ],
)
def test_prefix_and_two_digits_are_left(number: str, expected: str) -> None:
    """A number keeps its country-like prefix and its last two digits; what is no number stays."""
    assert expected == mask_number(number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "From=%2B15005550006&To=%2B55%2011%2099999-0000",
            "From=%2B1••••••••06&To=%2B55•••••••••00",
        ),
        ("%252B15005550006", "%252B1••••••••06"),
        ("call (500) 555-0006 or 500.555.0007", "call ••••••••06 or ••••••••07"),
        ("1-500-555-0006", "•••••••••06"),
        ("15005550006 rang", "•••••••••06 rang"),
        ("+49 171 123-4567, then +15005550006", "+49••••••••67, then +1••••••••06"),
        ("0171 1234567 and (030) 1234567", "•••••••••67 and ••••••••67"),
        ("0049301234567", "•••••••••••67"),
        ("sip:15005550006@pbx.example.test", "sip:•••••••••06@pbx.example.test"),
        ("tel:5550006123", "tel:••••••••23"),
        ('{"caller": "4930123456"}', '{"caller": "••••••••56"}'),
        ("whatsapp:+15005550006", "whatsapp:+1••••••••06"),
    ],
)
def test_numbers_are_found_in_text(text: str, expected: str) -> None:
    """Written in any of the usual ways, a number is found where it is."""
    assert expected == mask_numbers(text)


@pytest.mark.parametrize(
    "text",
    [
        "CA00000000000000000000000000000001",
        "m0123456789abcdef01234567",
        "12345678-1234-1234-1234-123456789012",
        "2026-11-02T10:00:49.123456+00:00",
        "Mon, 02 Nov 2026 10:00:49 +0000",
        "1793613649",
        "1793613649.57",
        "1793613649123",
        "192.168.100.200:8000",
        "took 1234.567 s of 2000/h",
        "0x7f1234567890",
    ],
)
def test_other_figures_stay(text: str) -> None:
    """Ids, times, addresses and measures are no telephone numbers."""
    assert text == mask_numbers(text)


@given(st.from_regex(r"\A\+[1-9][0-9]{7,14}\Z"), st.sampled_from(["", " ", "-", ".", "%20"]))
def test_no_way_of_grouping_shows_a_number(number: str, gap: str) -> None:
    """However its digits are grouped, at most prefix and two digits of a number are left."""
    grouped = gap.join(number[at : at + 3] for at in range(0, len(number), 3))
    masked = mask_numbers(f"to {grouped}!")
    assert 4 >= sum(character.isdigit() for character in masked)
    assert masked.endswith(f"{number[-2:]}!")
