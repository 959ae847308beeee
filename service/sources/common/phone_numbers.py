"""
Telephone numbers in E.164, however a vendor writes them.
"""

import re
from typing import Final

import phonenumbers

PUNCTUATION: Final = str.maketrans("", "", " ().-")
NORTH_AMERICAN: Final = re.compile(r"\+1[2-9][0-9]{9}", re.ASCII)
E164_DIGITS: Final = range(8, 16)


def to_e164(address: str | None) -> str | None:
    """
    The address in E.164 where it is a full telephone number; any other address as it came; None if
    empty.

    What has a scheme (`client:+1500...`, `sip:...`) is a name, whatever digits it is made of.
    """
    text = (address or "").strip()
    if not text or ":" in text:
        return text or None
    # Most numbers are North American and whole already; the library takes longer for a number than
    # all the rest of a message does.
    compact = text.translate(PUNCTUATION)
    if NORTH_AMERICAN.fullmatch(compact):
        return compact
    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    if not phonenumbers.is_possible_number(parsed):
        return text
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def bare_to_e164(address: str | None) -> str | None:
    """
    The same for a vendor that leaves out the plus: 8 to 15 digits that do not begin with 0 are a
    full telephone number.
    """
    text = (address or "").strip()
    is_number = text.isascii() and text.isdigit() and not text.startswith("0")
    if is_number and len(text) in E164_DIGITS:
        return to_e164(f"+{text}")
    return to_e164(text)
