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
    # Most numbers are whole already, and reading one takes longer than all the rest of a message.
    if not text or ":" in text:
        return text or None
    if NORTH_AMERICAN.fullmatch(bare := text.translate(PUNCTUATION)):
        return bare
    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    return (
        phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_possible_number(parsed)
        else text
    )


def bare_to_e164(address: str | None) -> str | None:
    """
    The same for a vendor that leaves out the plus: 8 to 15 digits that do not begin with 0 are a
    full telephone number.
    """
    text = (address or "").strip()
    is_bare = (
        text.isascii() and text.isdigit() and len(text) in E164_DIGITS and not text.startswith("0")
    )
    return to_e164(f"+{text}" if is_bare else text)
