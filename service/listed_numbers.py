"""
Which telephone numbers tell who called: those of the phone book.
"""

import re
from typing import Final

from service.phone_numbers import read_number

# UNAVAILABLE on a keypad, which telephone systems show in place of a withheld number. The other
# words that they show so (ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN) make no possible number.
WITHHELD: Final = frozenset({"+86282452253"})
# A number in which all of these are the same was made up.
LAST_DIGITS: Final = 8
PUNCTUATION: Final = str.maketrans("", "", " ().-")
NORTH_AMERICAN: Final = re.compile(
    r"(?P<plus>\+1)?(?P<national>[2-9][0-9]{9})(?:(?:x|ext)[0-9]{1,7})?", re.ASCII | re.IGNORECASE
)
NORTH_AMERICA: Final = frozenset({"US", "CA"})


def read_listed_number(text: str, *, region: str) -> str | None:
    """
    The number (E.164) by which a text is found in the phone book; its extension is dropped.

    None if there is no telephone number, and for one that nobody has: a withheld number, or one
    like 000-000-0000 that was typed to fill a field. `region` is as for `read_number`.
    """
    e164 = _north_american(text, region) or _any_number(text, region)
    if e164 is None or e164 in WITHHELD or len(set(e164[-LAST_DIGITS:])) == 1:
        return None
    return e164


def _north_american(text: str, region: str) -> str | None:
    """Most numbers of most books, read without the library, which takes twenty times as long."""
    match = NORTH_AMERICAN.fullmatch(text.translate(PUNCTUATION))
    if match is None or (match["plus"] is None and region not in NORTH_AMERICA):
        return None
    return f"+1{match['national']}"


def _any_number(text: str, region: str) -> str | None:
    number = read_number(text, region=region)
    if number is None:
        return None
    return number.e164
