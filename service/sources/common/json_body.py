"""
JSON bodies, read as strictly as RFC 8259 and I-JSON (RFC 7493) allow.

`read_json_object` and `read_json_object_with_long_ids` are for `request.body_as`, which parses a
body once.
"""

import json
import math
from typing import Final, NoReturn

from service.errors import MalformedPayload

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
MAX_INTEGER_DIGITS: Final = 18
# Of an unproved body. Genuine ones hold some hundreds.
MOST_VALUES: Final = 5000
ESCAPE: Final = rb"\u"
# Makes one digit of all digits: where no text and no number is that long, integers need no check,
# for which the parser would call a function of ours for each.
ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
LONG_INTEGER: Final = b"0" * (MAX_INTEGER_DIGITS + 1)


def check_unproved(body: bytes) -> None:
    """
    Raises `MalformedPayload` for a body of more values than may be read before a proof: the time
    that JSON takes goes by their number, which is bounded here by that of the signs before them.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise MalformedPayload(f"more than {MOST_VALUES} values in an unproved body")


def read_json_object(body: bytes) -> dict[str, JsonValue]:
    """
    The one JSON object that a body holds.

    Raises `MalformedPayload` for a repeated name, NaN or infinity, an integer of more than 18
    digits, a float out of range, text that is not Unicode, or any value that is not an object.
    """
    return _read_object(body, CHECKED_NUMBERS)


def read_json_object_with_long_ids(body: bytes) -> dict[str, JsonValue]:
    """
    As `read_json_object`, but an integer of more than 18 digits is returned as text, its digits
    unchanged: some vendors have ids as long.
    """
    return _read_object(body, LONG_INTEGERS_AS_TEXT)


def check_names(body: bytes) -> None:
    """
    Raises `MalformedPayload` if a JSON object in a body holds a name twice: which value counts
    differs between parsers. What is no JSON at all is left to the parser.
    """
    try:
        PLAIN.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return


def compact_json(value: JsonValue) -> bytes:
    """JSON of a value in UTF-8 without blanks, its names in the order in which they came."""
    return COMPACT.encode(value).encode()


def sorted_json(value: JsonValue) -> str:
    """JSON of a value, the same in whatever order the names in it came."""
    return SORTED.encode(value)


def _read_object(body: bytes, checked: json.JSONDecoder) -> dict[str, JsonValue]:
    try:
        decoder = CHECKED_FLOATS
        if LONG_INTEGER in body.translate(ALIKE):
            decoder = checked
        value: JsonValue = decoder.decode(body.decode("utf-8"))
        # A lone surrogate can be written with \u but is not Unicode text; it would fail later,
        # when the event is stored.
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
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise MalformedPayload("the JSON holds a name twice; which value counts cannot be known")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedPayload(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedPayload("the JSON holds a number that is too large")
    return number


def _short_integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise MalformedPayload("the JSON holds a number that is too large")
    return int(digits)


def _integer_or_text(digits: str) -> int | str:
    return digits if len(digits) > MAX_INTEGER_DIGITS else int(digits)


PLAIN: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
CHECKED_FLOATS: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite_float
)
CHECKED_NUMBERS: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_short_integer,
)
COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SORTED: Final = json.JSONEncoder(sort_keys=True)
LONG_INTEGERS_AS_TEXT: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_integer_or_text,
)
