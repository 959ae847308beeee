"""
Telephone numbers made comparable: however a number is written, one E.164 form of it, its extension
kept apart.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

MAX_LENGTH: Final = 60
# Shorter ones are extensions and service numbers, which say nothing about a caller.
LEAST_DIGITS: Final = 7
EXTENSION_PREFIX: Final = ";ext="
LONGEST_EXTENSION: Final = 6
ANY: Final = "*"
SOFTPHONE: Final = "client:"
SIP: Final = ("sip", "sips")
# RFC 3966, and the form in which vendors write a number of WhatsApp.
NUMBER_SCHEMES: Final = ("tel", "whatsapp")
PHONE_CONTEXT: Final = ";phone-context="
# The user of a SIP address where it is a telephone number: RFC 3261, section 19.1.6.
SIP_NUMBER: Final = re.compile(r"\+?[0-9][0-9.()-]{5,}(?:;.*)?", re.ASCII)
PUNCTUATION: Final = str.maketrans("", "", " ().-")
# How most countries dial abroad; E.164 writes a plus instead.
INTERNATIONAL_PREFIX: Final = "00"


class Number(Struct, frozen=True):
    """
    A telephone number in E.164 (`+15005550006`), and the extension behind it, if one was named.
    """

    e164: str
    extension: str | None = None

    @property
    def text(self) -> str:
        """The number as it is shown; `read_number` reads it back."""
        if self.extension is None:
            return self.e164
        return f"{self.e164}{EXTENSION_PREFIX}{self.extension}"


def read_number(address: str, *, region: str) -> Number | None:
    """
    Read a telephone number; None if it is none.

    It may be an address: `tel:` and `whatsapp:` of a number, and `sip:` or `sips:` of a user that
    is one. One without a country code is taken to be of `region` (two letters), one that begins
    with 00 to be international. A number that can only be dialled within a town is none, and
    neither is a name such as `client:ana`.
    """
    text = telephone_text(address)
    if text is None or len(text) > MAX_LENGTH:
        return None
    number = _parse(text, region)
    if number is None and text.startswith(INTERNATIONAL_PREFIX):
        return read_international(text)
    return number


def telephone_text(address: str) -> str | None:
    """
    What in an address may be a telephone number, without blanks around it: the user of a SIP
    address, if it is made of digits; all of an address without a scheme; None if there is none.
    """
    text = address.strip()
    scheme, colon, rest = text.partition(":")
    if not colon:
        return text
    scheme = scheme.lower()
    if scheme in SIP:
        return _sip_number(rest)
    if scheme not in NUMBER_SCHEMES or ":" in rest:
        return None
    if PHONE_CONTEXT in rest:
        # It completes the number, which the library does behind this scheme only.
        return f"tel:{rest}"
    return rest.strip()


def read_international(text: str) -> Number | None:
    """
    Read a number that begins with 00 and its country code; None for any other text.

    Some countries dial abroad by longer prefixes that begin so, like 0011: a number of which the
    library would have to leave out a digit is not read.
    """
    if not text.startswith(INTERNATIONAL_PREFIX):
        return None
    plus_form = f"+{text.removeprefix(INTERNATIONAL_PREFIX)}"
    number = _parse(plus_form, None)
    if number is None or not plus_form.translate(PUNCTUATION).startswith(number.e164):
        return None
    return number


def _sip_number(rest: str) -> str | None:
    """The user of a SIP address behind its scheme, if it is a telephone number."""
    user, at, _ = rest.partition("@")
    if not at:
        user = rest.partition(";")[0]
    user = unquote(user)
    if SIP_NUMBER.fullmatch(user) is None:
        return None
    return user


# One call names the same numbers in each of its messages, and a company's own are in all calls.
@lru_cache(maxsize=2048)
def _parse(text: str, region: str | None) -> Number | None:
    # Loaded on use: what needs no number must not wait for all plans of numbers.
    import phonenumbers
    from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    return Number(
        phonenumbers.format_number(parsed, PhoneNumberFormat.E164), parsed.extension or None
    )


class OwnNumbers(Struct, frozen=True):
    """
    The telephone numbers of one's own company: each exact, or a prefix with a star (`+1500555*`);
    falsy if none are set.

    Other addresses may be listed too, such as `sip:*@pbx.example.com` or the extension `101`.
    """

    patterns: tuple[str, ...]
    region: str

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def has(self, address: str) -> bool:
        """Whether an address is listed."""
        number = read_number(address, region=self.region)
        texts = {address.strip().lower()}
        if number is not None:
            texts.add(number.e164)
        return any(self._fits(pattern, texts) for pattern in self.patterns)

    def is_ours(self, address: str) -> bool:
        """
        Whether an address belongs to one of our own people.

        That is one that is listed, a softphone (`client:`), an extension of two to six digits, and
        a SIP address whose user is listed or an extension.
        """
        text = address.strip().lower()
        if text.startswith(SOFTPHONE):
            return True
        scheme, _, rest = text.partition(":")
        if rest and scheme in SIP:
            user = rest.partition("@")[0].partition(";")[0]
            return self.has(text) or self.has(user) or self._is_extension(user)
        return self.has(text) or self._is_extension(text)

    def _fits(self, pattern: str, texts: Iterable[str]) -> bool:
        head, star, tail = pattern.strip().lower().partition(ANY)
        if star:
            return any(
                text.startswith(head) and text.endswith(tail) and len(text) >= len(head) + len(tail)
                for text in texts
            )
        number = read_number(pattern, region=self.region)
        return head in texts or (number is not None and number.e164 in texts)

    def _is_extension(self, text: str) -> bool:
        if not (text.isascii() and text.isdigit() and 1 < len(text) <= LONGEST_EXTENSION):
            return False
        from phonenumbers import is_emergency_number

        return not is_emergency_number(text, self.region)
