"""
Telephone numbers in text that people other than the caller will read: found and masked.

What is left of a number, a country-like prefix and the last two digits, is enough to tell two calls
apart and too little to dial.
"""

import re
from typing import Final

from service.phone_numbers import LEAST_DIGITS

DOT: Final = "•"
KEPT: Final = 2

_GAP: Final = r"(?:[\s().\-/\u00a0\u2010-\u2013]|%20|%28|%29|%2D|%2E){0,3}"
# One of: international, with its plus written out or percent-encoded; international with 00; North
# American, grouped or not; national with a leading zero, grouped; an address of a telephone system;
# a value whose name says that it is a number.
# Digits that touch a letter, a dot, a plus, a colon or a hyphen are part of an id, a time, an
# address or a version, and are not searched for national numbers.
_NUMBER: Final = re.compile(
    rf"""
    (?P<plus>\+|%2B|%252B) (?P<a>{_GAP}\d(?:{_GAP}\d){{6,17}})
    | (?<![\w.+:-]) (?P<b>00[1-9]\d{{6,14}}) (?![\w-])
    | (?<![\w.+:-])
      (?P<c>
        (?:1[\s.-]?)? (?:\([2-9]\d\d\)|[2-9]\d\d) [\s.-]{{0,2}} [2-9]\d\d [\s.-]? \d{{4}}
      )
      (?![\w-])
    | (?<![\w.+:-])
      (?P<d>(?:\(0\d{{1,4}}\)|0\d{{1,4}}) [\s/-]{{1,2}} \d{{3,8}} (?:[\s-]\d{{2,6}}){{0,3}})
      (?![\w-])
    | (?P<scheme>\b(?:sips?|tel|whatsapp):) (?P<e>\d{{{LEAST_DIGITS},18}})
    | (?P<name>
        \b(?:from|to|caller|called|callee|phone|mobile|msisdn|number|forwardedfrom)(?:_?number)?
        ["']? \s{{0,3}} [=:] \s{{0,3}} ["']?
      )
      (?P<f>\d{{{LEAST_DIGITS},18}})
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PERCENT: Final = re.compile(r"%[0-9A-F]{2}", re.IGNORECASE)
# Percent-encoded twice where a URL is the value of another URL's query.
_PLUS_SIGNS: Final = ("+", "%2B", "%2b", "%252B", "%252b")
_NO_DIGIT: Final = re.compile(r"\D")


def mask_number(number: str) -> str:
    """
    A number with all but a country-like prefix and the last two digits hidden: `+1••••••••06`.
    Fewer than seven digits stay.
    """
    text = number.lstrip()
    plus = next((sign for sign in _PLUS_SIGNS if text.startswith(sign)), "")
    digits = _NO_DIGIT.sub("", _PERCENT.sub("", text.removeprefix(plus)))
    if len(digits) < LEAST_DIGITS:
        return number
    shown = _prefix_length(plus, digits)
    return plus + digits[:shown] + DOT * (len(digits) - shown - KEPT) + digits[-KEPT:]


def _prefix_length(plus: str, digits: str) -> int:
    if not plus:
        return 0
    # Only zones 1 and 7 have country codes of one digit (ITU-T E.164).
    if digits[0] in "17":
        return 1
    return 2


def mask_numbers(text: str) -> str:
    """
    The text with every telephone number in it masked; ids, times and other figures stay as they
    are.
    """
    return _NUMBER.sub(_mask_match, text)


def _mask_match(match: re.Match[str]) -> str:
    # What leads to the digits (`tel:`, `from=`) is no part of the number; other forms have none.
    lead = match["scheme"] or match["name"] or ""
    return lead + mask_number(match[0][len(lead) :])
