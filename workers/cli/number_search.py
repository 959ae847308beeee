"""
Finds a telephone number in stored text, in whatever way a vendor wrote it.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_plus

import phonenumbers

# Between two digits: `+1 (500) 555-0006`, a no-break space, and the dashes of typographers.
_GAP: Final = r"[\s().\-/\u00a0\u2010-\u2013]{0,3}"
_DIGIT_BEFORE: Final = r"(?<!\d)"
_DIGIT_AFTER: Final = r"(?!\d)"


def number_matcher(e164: str) -> Callable[[str], bool]:
    """
    Whether a text holds a number, which is in E.164: with its country code, or as it is dialled in
    its country; plain or percent-encoded; never as a part of longer digits.

    Raises phonenumbers' `NumberParseException` for what is no number.
    """
    parsed = phonenumbers.parse(e164)
    national = phonenumbers.national_significant_number(parsed)
    code = _spaced(str(parsed.country_code))
    lead = rf"(?:(?:\+|00)?{_GAP}{code}{_GAP}(?:\(0\))?{_GAP}|0{_GAP})?"
    pattern = re.compile(f"{_DIGIT_BEFORE}{lead}{_spaced(national)}{_DIGIT_AFTER}")
    # Most texts do not hold the last digits in any form, and are not decoded.
    last_digits = re.compile(_spaced(national[-4:]))

    def matches(text: str) -> bool:
        if last_digits.search(text) is None:
            return False
        return pattern.search(text) is not None or pattern.search(unquote_plus(text)) is not None

    return matches


def _spaced(digits: str) -> str:
    return _GAP.join(digits)
