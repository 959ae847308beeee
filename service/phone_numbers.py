"""
Telephone numbers made comparable: however a number is written, one E.164 form of it, its extension
kept apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

MAX_LENGTH: Final = 60
EXTENSION_PREFIX: Final = ";ext="
LONGEST_EXTENSION: Final = 6
ANY: Final = "*"
SOFTPHONE: Final = "client:"
SIP: Final = ("sip:", "sips:")


@dataclass(frozen=True, slots=True)
class Number:
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


def read_number(text: str, *, region: str) -> Number | None:
    """
    Read a telephone number; None if it is none.

    One without a country code is taken to be of `region` (two letters). A number that can only be
    dialled within a town is none, and neither is a name such as `client:ana`.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or (":" in text and not text.lower().startswith("tel:")):
        return None
    try:
        parsed = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(parsed) != ValidationResult.IS_POSSIBLE:
        return None
    return Number(
        phonenumbers.format_number(parsed, PhoneNumberFormat.E164), parsed.extension or None
    )


@dataclass(frozen=True, slots=True)
class OwnNumbers:
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
        if text.startswith(SIP):
            user = text.partition(":")[2].partition("@")[0].partition(";")[0]
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
        is_short = text.isascii() and text.isdigit() and 1 < len(text) <= LONGEST_EXTENSION
        return is_short and not phonenumbers.is_emergency_number(text, self.region)
