"""
The one rule for an id in Buildr: a text of 1 to 20 ASCII digits, leading zeros allowed.

Buildr's documentation shows ids as strings of digits (`"110"`,
https://buildr.dev/api-reference/call/update-call) and promises nothing of their first digit.
So a leading zero is accepted in an id of a contact, a company or an outcome: Buildr's own 404 is
the better judge. The id of a call that comes in must have none: `0110` and `110` may be one call in
Buildr, and would be two here, each written without regard to the other. An id is text everywhere
and is never made a number.
"""

from typing import Annotated, Final

from pydantic import Field

MAX_DIGITS: Final = 20
# For pydantic and JSON schemas.
PATTERN: Final = rf"^[0-9]{{1,{MAX_DIGITS}}}$"

CALL_PATTERN: Final = rf"^(?:0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})$"

BuildrId = Annotated[str, Field(pattern=PATTERN)]

BuildrCallId = Annotated[str, Field(pattern=CALL_PATTERN)]


def is_buildr_id(text: str) -> bool:
    """Whether a text can be an id in Buildr."""
    return is_all_digits(text) and len(text) <= MAX_DIGITS


def is_buildr_call_id(text: str) -> bool:
    """Whether a text can be the id of a call: an id without leading zeros."""
    return is_buildr_id(text) and (text == "0" or not text.startswith("0"))


def is_all_digits(text: str) -> bool:
    """
    Whether a text is ASCII digits only, however many.

    Tells an id from a name where an operator may write either, so that an id that is too long is
    reported as an id and not searched for as a name.
    """
    return text.isascii() and text.isdigit()
