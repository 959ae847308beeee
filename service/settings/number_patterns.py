"""
Telephone numbers in the rules of `buildr-calls.toml`: E.164, where `*` is any number of digits.
"""

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator

from service.settings.toml_values import Words
from service.sources.common.phone_numbers import to_e164

E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
# At least one digit: a pattern without would hold for every number.
WITH_STAR: Final = re.compile(r"(?=.*[0-9])(?:\+|\*)[0-9*]{1,16}")
STAR: Final = "*"
STARS: Final = re.compile(r"\*+")


def is_any_of(number: str | None, patterns: tuple[str, ...]) -> bool:
    """
    Whether a number fits one of the patterns; never one that is not known or is no telephone
    number, such as `client:ana`.
    """
    return number is not None and _pattern(patterns).fullmatch(number) is not None


@lru_cache(maxsize=256)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    choices = "|".join(map(_as_regex, patterns))
    return re.compile(rf"(?=\+[0-9]{{1,20}}\Z)(?:{choices})")


def _as_regex(pattern: str) -> str:
    # A star at the beginning also takes the place of the plus.
    return r"\+?[0-9]*".join(map(re.escape, STARS.split(pattern)))


def _check(patterns: tuple[str, ...]) -> tuple[str, ...]:
    faults = [_fault(pattern) for pattern in patterns if not _is_pattern(pattern)]
    if faults:
        raise ValueError("; ".join(faults))
    return patterns


def _is_pattern(text: str) -> bool:
    if STAR in text:
        return WITH_STAR.fullmatch(text) is not None
    return E164.fullmatch(text) is not None


def _fault(text: str) -> str:
    """Why a text is refused, and what to write in its place."""
    number = to_e164(text)
    if STAR not in text and number is not None and E164.fullmatch(number):
        return f"{text!r} is not E.164: write {number}"
    if STAR in text:
        return f"{text!r} is no pattern: write + and digits with * for any others, like +1500*"
    return f"{text!r} is not E.164: write + and the country code before it, like +15005550006"


def _check_address(text: str) -> str:
    # What has a scheme or a name in it is an address, like `client:ana`.
    if E164.fullmatch(text) or any(character.isalpha() for character in text):
        return text
    raise ValueError(_fault(text))


NumberPatterns = Annotated[Words, AfterValidator(_check)]
# One number, or another address of a call.
PhoneAddress = Annotated[str, AfterValidator(_check_address)]
