"""
What hides telephone numbers and notes in what pages show of a call.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from service.events import CallEvent
from service.logs.masking import HIDDEN, mask, mask_text
from service.logs.phone_masking import mask_number

LEAST_DIGITS: Final = 7


@dataclass(frozen=True, slots=True)
class Masker:
    """
    Hides telephone numbers, notes and query strings in what a page shows, unless they are revealed.

    Secrets are taken out of a message before it is stored.
    """

    numbers: tuple[str, ...] = ()
    is_revealed: bool = False

    def text(self, text: object) -> str:
        """A text with what is confidential in it hidden."""
        shown = str(text)
        if self.is_revealed:
            return shown
        shown = mask_text(shown)
        # Vendors write numbers in fields of any name, which no pattern tells from an id.
        for number in self.numbers:
            shown = shown.replace(number, mask_number(number))
        return shown

    def field(self, name: str, value: object) -> str:
        """A text under a name, hidden whole where the name is one of notes or of secrets."""
        if not self.is_revealed and mask(str(value), key=name) == HIDDEN:
            return HIDDEN
        return self.text(value)

    def value(self, value: object) -> object:
        """A value of JSON with every text in it hidden; keys and figures stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def number(self, number: str | None) -> str:
        """A number, hidden but for its beginning and its end."""
        if number is None:
            return ""
        if self.is_revealed:
            return number
        return mask_number(number)


def masker_of(events: Iterable[CallEvent], *, is_revealed: bool) -> Masker:
    """What hides the numbers of a call, in every form in which its events hold them."""
    numbers: set[str] = set()
    for event in events:
        for number in (event.from_number, event.to_number):
            digits = (number or "").lstrip("+")
            if digits.isdecimal() and len(digits) >= LEAST_DIGITS:
                numbers.add(digits)
    # The longest first, so that one number inside of another is not hidden in part.
    return Masker(tuple(sorted(numbers, key=len, reverse=True)), is_revealed)
