"""
Masking: a value as it may stand in a log, an answer or a terminal.

Keys that hold secrets or content are hidden whole; text is searched for telephone numbers,
credentials and query strings. Ids of ours stay, so that a message can be followed from receipt to
PATCH.
"""

import math
import re
import traceback
from collections.abc import Collection, Mapping
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Final
from uuid import UUID

from service.logs.phone_masking import mask_numbers

HIDDEN: Final = "[hidden]"
MAX_TEXT: Final = 8_000
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 6

# Exact ids, measures and times of ours: digits that are no telephone numbers. A source's own id of
# a call is not among them.
KEPT_KEYS: Final = frozenset(
    {
        *(
            "timestamp",
            "level",
            "logger",
            "message_id",
            "event_id",
            "buildr_call_id",
            "company_id",
            "contact_id",
            "project_id",
        ),
        *("call_outcome_id", "worker_id", "pid", "port", "status_code", "attempt", "body_bytes"),
    }
)
_MEASURES: Final = ("_at", "_bytes", "_count", "_ms", "_s")
_SECRET_WORDS: Final = (
    "apikey",
    "api_key",
    "authorization",
    "cookie",
    "credential",
    "password",
    "passwd",
    "secret",
    "signature",
    "token",
)
_CONTENT_WORDS: Final = frozenset(
    {
        *(
            "auth",
            "body",
            "content",
            "form",
            "headers",
            "note",
            "notes",
            "params",
            "payload",
            "pwd",
            "query",
            "raw",
        ),
        *("transcript", "transcription"),
    }
)
_NUMBER_KEYS: Final = frozenset(
    {"from", "to", "from_number", "to_number", "number", "phone", "caller", "called", "msisdn"}
)
_CONFIDENTIAL_NAME: Final = r"(?:authorization|api[_-]?key|credentials?|passw(?:or)?d|pwd|secrets?|signature|token)[\w-]{0,40}"
_CONTENT_NAME: Final = r"\b(?:body|content|notes?|payload|raw|transcript(?:ion)?)"
_IS: Final = r"\\{0,3}['\"]?\s?[=:]\s?"
# A quoted value; inside of quoted text it ends at a quote with as many backslashes. One that was
# cut off goes to the end.
_QUOTED: Final = r"""(?:
    (?P<e>\\+)' (?:(?!(?<!\\)(?P=e)').)* (?:(?P=e)'|\Z)
  | (?P<f>\\+)" (?:(?!(?<!\\)(?P=f)").)* (?:(?P=f)"|\Z)
  | b?' (?:[^'\\]|\\.)* (?:'|\\?\Z)
  | b?" (?:[^"\\]|\\.)* (?:"|\\?\Z)
)"""
_FLAGS: Final = re.IGNORECASE | re.VERBOSE | re.DOTALL
_SUBSTITUTIONS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Credentials in a URL, then its whole query: some senders put tokens there, and Twilio numbers.
    (re.compile(r"(://)[^\s/'\"<>]{0,1000}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(://[^\s?#'\"<>]{0,1000})\?[^\s#'\"<>]*"), rf"\1?{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[\w+/=.~:-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    # pydantic quotes what it was given.
    (re.compile(r"input_value=.*(?=, input_type=)|input_value=.*"), f"input_value={HIDDEN}"),
    (re.compile(rf"({_CONTENT_NAME}{_IS}){_QUOTED}", _FLAGS), rf"\1{HIDDEN}"),
    (re.compile(rf"({_CONFIDENTIAL_NAME}{_IS}){_QUOTED}", _FLAGS), rf"\1{HIDDEN}"),
    (
        re.compile(
            rf"(\b(?:authorization|cookie|[\w-]{{0,30}}-{_CONFIDENTIAL_NAME}):\s?)[^\r\n'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(rf"({_CONFIDENTIAL_NAME}=)(?!\[hidden\])[^\s'\"&,;]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)
# One word, such as most values are: no number can stand in it, and no name before a value.
_WORD: Final = re.compile(r"(?!whsec_)[A-Za-z][\w.-]{0,80}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def mask(value: object, *, key: str = "", depth: int = 0) -> object:
    """
    A value as it may be logged: numbers masked, secrets and content hidden, plain JSON types only.

    An object of a type that is not known to be harmless becomes the name of its type, so that no
    `repr` is ever trusted.
    """
    name = key.lower().replace("-", "_")
    if name in KEPT_KEYS and isinstance(value, str | int):
        return mask_controls(value) if isinstance(value, str) else value
    if (
        value is None
        or isinstance(value, bool | float)
        or (isinstance(value, int) and name.endswith(_MEASURES))
    ):
        return value if value is None or math.isfinite(value) else str(value)
    if _is_hidden(name):
        return HIDDEN
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _mask_many(value, name, depth) if depth < MAX_DEPTH else "..."
    return _mask_one(value.value if isinstance(value, Enum) else value, name)


def mask_text(text: str) -> str:
    """
    Text without telephone numbers, credentials, query strings and control characters; cut off when
    it is very long.
    """
    if _WORD.fullmatch(text):
        return text
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text)} characters)"
    for pattern, replacement in _SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    return mask_controls(mask_numbers(text))


def mask_controls(text: str) -> str:
    """Text that a terminal shows and does not obey."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _is_hidden(name: str) -> bool:
    return not _CONTENT_WORDS.isdisjoint((name, name.rpartition("_")[2])) or any(
        word in name for word in _SECRET_WORDS
    )


def _mask_many(
    value: Mapping[object, object] | Collection[object], name: str, depth: int
) -> object:
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MAX_ITEMS]
        return {
            mask_text(key_name(key)): mask(each, key=key_name(key), depth=depth + 1)
            for key, each in pairs
        }
    # A pair of a list of pairs, such as a list of headers, is hidden by its name as well.
    match value:
        case (str() | bytes() as key, each) if isinstance(value, tuple):
            return [mask_text(key_name(key)), mask(each, key=key_name(key), depth=depth + 1)]
    return [mask(each, key=name, depth=depth + 1) for each in list(value)[:MAX_ITEMS]]


def key_name(key: object) -> str:
    """The key of a mapping as text."""
    if isinstance(key, bytes):
        return key.decode("latin-1")
    return (
        key
        if isinstance(key, str)
        else str(key)
        if isinstance(key, int | float | bool | None)
        else type(key).__name__
    )


def _mask_one(value: object, name: str) -> str | int:
    if isinstance(value, str | int) and name in _NUMBER_KEYS:
        # A number that stands alone is told from other figures by its name only.
        return mask_text(f"{name}={value}").partition("=")[2]
    if isinstance(value, int):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return mask_text(in_one_line(value))
    if isinstance(value, str | date | timedelta | UUID | PurePath):
        return mask_text(str(value))
    return f"<{type(value).__qualname__}>"


def in_one_line(err: BaseException) -> str:
    """An exception in one line: its type and what it says, not masked."""
    return "".join(
        traceback.TracebackException(type(err), err, None).format_exception_only()
    ).strip()
