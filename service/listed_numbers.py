"""
Which telephone numbers tell who called: those of the phone book.
"""

from typing import Final

from service.phone_numbers import read_number

# UNAVAILABLE on a keypad, which telephone systems show in place of a withheld number. The other
# words that they show so (ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN) make no possible number.
WITHHELD: Final = frozenset({"+86282452253"})
# A number in which all of these are the same was made up.
LAST_DIGITS: Final = 8


def read_listed_number(text: str, *, region: str) -> str | None:
    """
    The number (E.164) by which a text is found in the phone book; its extension is dropped.

    None if there is no telephone number, and for one that nobody has: a withheld number, or one
    like 000-000-0000 that was typed to fill a field. `region` is as for `read_number`.
    """
    number = read_number(text, region=region)
    if number is None or number.e164 in WITHHELD or len(set(number.e164[-LAST_DIGITS:])) == 1:
        return None
    return number.e164
