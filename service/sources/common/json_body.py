"""
JSON bodies, read as strictly as RFC 8259 and I-JSON (RFC 7493) allow.

`read_json_object` and `read_json_object_with_long_ids` are for `request.body_as`, which parses a
body once.
"""

import json
import math
from typing import Final, NoReturn

import msgspec

from service.errors import MalformedPayload

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
MAX_INTEGER_DIGITS: Final = 18
# Of an unproved body. Genuine ones hold some hundreds.
MOST_VALUES: Final = 5000
# A quotation mark that is written so is written in another way by the encoder.
QUOTE_ESCAPE: Final = rb"\u0022"
QUOTE: Final = b'"'
# Makes one digit of all digits.
ALIKE: Final = bytes.maketrans(b"123456789", b"000000000")
LONG: Final = b"0" * (MAX_INTEGER_DIGITS + 1)
# What is before an integer in JSON without blanks; in a text it may be too.
BEFORE_INTEGER: Final = b":,[-"


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
    """
    JSON of a value in UTF-8 without blanks, its names in the order in which they came; byte for
    byte what vendors hash.
    """
    return COMPACT.encode(value).encode()


def stored_json(value: JsonValue) -> bytes:
    """JSON of a value in UTF-8, as it is stored: the same value when it is read again."""
    return ENCODER.encode(value)


def sorted_json(value: JsonValue) -> bytes:
    """JSON of a value, the same in whatever order the names in it came."""
    return SORTED.encode(value)


def _read_object(body: bytes, checked: json.JSONDecoder) -> dict[str, JsonValue]:
    value = _read_quickly(body)
    if value is None:
        value = _read_strictly(body, checked)
    if not isinstance(value, dict):
        raise MalformedPayload("the body must be one JSON object")
    return value


def _read_quickly(body: bytes) -> JsonValue:
    """
    The value in a body, as `_read_strictly` reads it in several times the time. None where the body
    is not JSON, or may hold something that is to be refused.
    """
    try:
        value: JsonValue = DECODER.decode(body)
        compact = ENCODER.encode(value)
    except (ValueError, RecursionError):
        return None
    if compact != body and _may_repeat_names(body, compact):
        return None
    if _may_hold_long_integers(compact):
        return None
    return value


def _may_repeat_names(body: bytes, compact: bytes) -> bool:
    # Of a repeated name the decoder drops all values but the last, and the quotation marks of the
    # name with them. Without that escape nothing else makes their number less.
    return QUOTE_ESCAPE in body or compact.count(QUOTE) != body.count(QUOTE)


def _may_hold_long_integers(compact: bytes) -> bool:
    # A parser that calls a function of ours for each integer takes much longer.
    alike = compact.translate(ALIKE)
    place = alike.find(LONG)
    while place > 0:
        if alike[place - 1] in BEFORE_INTEGER:
            return True
        place = alike.find(LONG, place + len(LONG))
    return False


def _read_strictly(body: bytes, checked: json.JSONDecoder) -> JsonValue:
    try:
        value: JsonValue = checked.decode(body.decode("utf-8"))
        # A lone surrogate can be written with \u but is not Unicode text; it would fail later,
        # when the event is stored.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except MalformedPayload:
        raise
    except (ValueError, RecursionError) as err:
        raise MalformedPayload("the body is not JSON in UTF-8, or is nested too deeply") from err
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
CHECKED_NUMBERS: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_short_integer,
)
COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
DECODER: Final = msgspec.json.Decoder()
ENCODER: Final = msgspec.json.Encoder()
SORTED: Final = msgspec.json.Encoder(order="sorted")
LONG_INTEGERS_AS_TEXT: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_finite_float,
    parse_int=_integer_or_text,
)
