"""
What hides telephone numbers and notes in what pages show of a call.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from service.events import CallEvent
from service.logs.masking import mask, mask_text
from service.logs.phone_masking import mask_number
from service.logs.secret_masking import HIDDEN
from service.phone_numbers import LEAST_DIGITS

# How the names of fields end in which vendors write telephone numbers.
PHONE_FIELD: Final = re.compile(
    r"(?:number|num|digits|phone|mobile|msisdn|from|to|caller|callee|called|caller_?id)$",
    re.IGNORECASE,
)
# A whole value, grouped or not; and bare digits in a text.
PHONE: Final = re.compile(r"\+?[\d\s().\-/]{7,30}", re.ASCII)
RUN: Final = re.compile(r"(?<!\d)\d{7,18}(?!\d)", re.ASCII)
NO_DIGIT: Final = re.compile(r"\D")
TRUNK: Final = "0"
# Of one page: a body that is a list of numbers must not take the time of webhooks.
MOST_NUMBERS: Final = 200


class Masker(Struct, frozen=True):
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
        return RUN.sub(self._mask_run, shown)

    def _mask_run(self, match: re.Match[str]) -> str:
        """Digits that are a number of the call without its country, or with a trunk prefix."""
        digits = match[0].lstrip(TRUNK)
        if len(digits) < LEAST_DIGITS:
            return match[0]
        for number in self.numbers:
            if number.endswith(digits) or digits.endswith(number.lstrip(TRUNK)):
                return mask_number(match[0])
        return match[0]

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
    numbers = (number for event in events for number in (event.from_number, event.to_number))
    return _masker((number or "" for number in numbers), is_revealed=is_revealed)


def with_numbers_of(masker: Masker, bodies: Iterable[bytes]) -> Masker:
    """The same that hides the numbers too which fields of these bodies hold."""
    numbers = (number for body in bodies for number in _phones_in(body))
    some = islice(numbers, MOST_NUMBERS)
    return _masker((*masker.numbers, *some), is_revealed=masker.is_revealed)


def _masker(numbers: Iterable[str], *, is_revealed: bool) -> Masker:
    texts = {NO_DIGIT.sub("", number) for number in numbers if PHONE.fullmatch(number)}
    digits = (text for text in texts if len(text) >= LEAST_DIGITS)
    # The longest first, so that one number inside of another is not hidden in part.
    return Masker(tuple(sorted(digits, key=len, reverse=True)), is_revealed)


def _phones_in(body: bytes) -> Iterator[str]:
    text = body.decode("utf-8", "replace")
    try:
        values: list[tuple[str, object]] = [("", json.loads(text))]
    # RecursionError: a body may be nested as deep as its length allows.
    except (ValueError, RecursionError):
        values = list(parse_qsl(text))
    # A list of what is left and no recursion, for the same reason.
    while values:
        name, value = values.pop()
        if isinstance(value, Mapping):
            values.extend(value.items())
        elif isinstance(value, list):
            values.extend((name, item) for item in value)
        elif isinstance(value, str | int) and PHONE_FIELD.search(name):
            yield str(value)
