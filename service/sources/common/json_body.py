"""
Reading signatures and checked JSON strictly: what every source that signs needs, and no vendor's
habits.
"""

import json
import math
import re
from typing import Final, NoReturn

from service.errors import MalformedPayload

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
MAX_INTEGER_DIGITS: Final = 18
ESCAPE: Final = rb"\u"
# What may be a number too large, or only looks like one in a text; all other numbers need not be
# looked at one by one. The digits are counted from the first one only, which is three times as
# fast.
BIG_NUMBER: Final = re.compile(rb"[0-9](?:[eE]|(?<![0-9]{2})[0-9]{18})")


def read_json_object(body: bytes, *, long_integers_as_text: bool = False) -> dict[str, JsonValue]:
    """
    Read one JSON object, as strictly as RFC 8259 and I-JSON allow.

    Raises `MalformedPayload` for a name that comes twice, NaN or infinity, a number too large, text
    that is no Unicode, or anything that is no object. With `long_integers_as_text` an integer that
    is too large is given as its digits, for a vendor whose ids are as long.
    """
    try:
        wary = WARY_WITH_TEXT if long_integers_as_text else WARY
        value: JsonValue = (wary if BIG_NUMBER.search(body) else PLAIN).decode(body.decode("utf-8"))
        # Half of a surrogate pair can be written with \u but is no text; it would break later,
        # where the event is stored.
        if ESCAPE in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedPayload:
        raise
    except (ValueError, RecursionError) as err:
        raise MalformedPayload("the body is not JSON in UTF-8, or is nested too deeply") from err
    if not isinstance(value, dict):
        raise MalformedPayload("the body must be one JSON object")
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedPayload("the JSON holds a name twice; which value counts cannot be known")
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise MalformedPayload(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedPayload("the JSON holds a number that is too large")
    return number


def _short(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise MalformedPayload("the JSON holds a number that is too large")
    return int(text)


def _short_or_text(text: str) -> int | str:
    return text if len(text) > MAX_INTEGER_DIGITS else int(text)


PLAIN: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
WARY: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_short,
)
WARY_WITH_TEXT: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_short_or_text,
)
