"""
Telephone numbers in E.164, however a vendor writes them.
"""

import re
from functools import lru_cache
from typing import Final

from service.phone_numbers import PUNCTUATION, read_international, telephone_text

NUMBER_SCHEMES: Final = ("tel:", "whatsapp:")
NORTH_AMERICAN: Final = re.compile(r"\+1[2-9][0-9]{9}", re.ASCII)
E164_DIGITS: Final = range(8, 16)
# Longer texts are no numbers, and are not kept. A company's numbers are in all of its calls.
LONGEST: Final = 250
KEPT: Final = 4096


def to_e164(address: str | None) -> str | None:
    """
    The address in E.164 where it is a full telephone number; any other address as it came; None if
    empty.

    A number may be written as `tel:` or `whatsapp:`, begin with 00 instead of the plus, or have an
    extension, which is left out. Any other scheme (`client:+1500...`, `sip:...`) makes a name,
    whatever digits it is made of: it shows whose telephone it is. `service.phone_numbers` finds the
    number in it.
    """
    text = (address or "").strip()
    if not text or len(text) > LONGEST:
        return text or None
    return _to_e164(text)


def bare_to_e164(address: str | None) -> str | None:
    """
    The same for a vendor that leaves out the plus: 8 to 15 digits that do not begin with 0 are a
    full telephone number.
    """
    text = (address or "").strip()
    if not text or len(text) > LONGEST:
        return text or None
    return _bare_to_e164(text)


@lru_cache(maxsize=KEPT)
def _to_e164(text: str) -> str:
    # Most numbers are North American and whole already; the library takes longer for a number than
    # all the rest of a message does.
    compact = text.translate(PUNCTUATION)
    if NORTH_AMERICAN.fullmatch(compact):
        return compact
    number = _without_scheme(text)
    if ":" in number:
        return text
    return _whole_number(number) or text


def _without_scheme(text: str) -> str:
    """The number in a `tel:` or `whatsapp:` address; any other text as it is."""
    if not text.lower().startswith(NUMBER_SCHEMES):
        return text
    return telephone_text(text) or text


@lru_cache(maxsize=KEPT)
def _bare_to_e164(text: str) -> str:
    number = _without_scheme(text)
    is_number = number.isascii() and number.isdigit() and not number.startswith("0")
    if is_number and len(number) in E164_DIGITS:
        return _to_e164(f"+{number}")
    return _to_e164(text)


def _whole_number(text: str) -> str | None:
    """A number with its country code in E.164, None for any other text."""
    number = read_international(text)
    if number is not None:
        return number.e164
    # Loaded on use, as in `service.phone_numbers`.
    import phonenumbers

    try:
        parsed = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
