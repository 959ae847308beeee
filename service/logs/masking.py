"""
Masking: a value as it may be shown in a log, an answer or a terminal.

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
from functools import lru_cache
from pathlib import PurePath
from typing import Final
from uuid import UUID

from msgspec import Struct

from service.logs.control_characters import escape_controls
from service.logs.phone_masking import mask_numbers
from service.logs.secret_masking import HIDDEN, mask_secrets

# For one traceback. It also bounds the time that the searches below take for one line.
MAX_TEXT: Final = 8_000
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 6

# Exact ids, measures and times of ours: digits that are no telephone numbers. A source's own id of
# a call is not among them.
KEPT_KEYS: Final = frozenset(
    {
        "attempt",
        "body_bytes",
        "buildr_call_id",
        "call_outcome_id",
        "company_id",
        "contact_id",
        "event_id",
        "level",
        "logger",
        "message_id",
        "pid",
        "port",
        "project_id",
        "status_code",
        "timestamp",
        "worker_id",
    }
)
# Endings of names that hold a time, a size or a count: long figures that are no telephone numbers.
_MEASURES: Final = ("_at", "_bytes", "_count", "_ms", "_s")
# Hidden wherever they are in a key: `twilio_auth_token`, `x-hook-signature-v2`.
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
# Hidden as the whole key or its last part only: `raw_body` is content, `body_bytes` is not.
_CONTENT_WORDS: Final = frozenset(
    {
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
        "transcript",
        "transcription",
    }
)
_NUMBER_KEYS: Final = frozenset(
    {"from", "to", "from_number", "to_number", "number", "phone", "caller", "called", "msisdn"}
)
# A single word, such as most values are, skips all searches: it begins with a letter and has no
# blank, colon or equals sign, so that it holds neither a telephone number nor a name with a value.
_WORD: Final = re.compile(r"(?!whsec_)[A-Za-z][\w.-]{0,80}", re.ASCII)
_FLOAT_OR_BOOL: Final = (float, bool)
# Longer texts are hardly ever the same twice.
REMEMBERED_LENGTH: Final = 200


def mask(value: object, *, key: str = "", depth: int = 0) -> object:
    """
    A value as it may be logged: numbers masked, secrets and content hidden, plain JSON types only.

    An object of a type that is not known to be harmless becomes the name of its type, so that no
    `repr` is ever trusted.
    """
    if isinstance(value, str):
        return _mask_string(value, key)
    if value is None or isinstance(value, _FLOAT_OR_BOOL):
        return _finite(value)
    rule = _rule_of(key)
    if isinstance(value, int) and rule.is_figure:
        return value
    # Before the type is asked: a secret in a mapping or a list is hidden with all of it.
    if rule.is_hidden:
        return HIDDEN
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _mask_many(value, key, depth)
    if isinstance(value, Enum):
        value = value.value
    return _mask_one(value, rule)


def mask_text(text: str) -> str:
    """
    Text without telephone numbers, credentials, query strings and control characters; cut off when
    it is very long.
    """
    if _WORD.fullmatch(text):
        return text
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}... ({len(text)} characters)"
    return escape_controls(mask_numbers(mask_secrets(text)), has_lines=True)


def _finite(value: float | None) -> float | str | None:
    # JSON has no NaN and no infinity.
    if value is None or math.isfinite(value):
        return value
    return str(value)


class _Rule(Struct, frozen=True, kw_only=True):
    """
    What the name of a value says about it. `number` is the name if bare digits under it are a
    telephone number, else empty. Text under a plain name is masked by what is in it alone.
    """

    is_kept: bool
    is_figure: bool
    is_hidden: bool
    is_plain: bool
    number: str


# Names are few, and each is in many lines. Bounded, since some are a sender's.
@lru_cache(maxsize=512)
def _rule_of(key: str) -> _Rule:
    name = key.lower().replace("-", "_")
    last_part = name.rpartition("_")[2]
    is_kept = name in KEPT_KEYS
    is_content = name in _CONTENT_WORDS or last_part in _CONTENT_WORDS
    is_hidden = is_content or any(secret in name for secret in _SECRET_WORDS)
    is_number = name in _NUMBER_KEYS
    return _Rule(
        is_kept=is_kept,
        is_figure=is_kept or name.endswith(_MEASURES),
        is_hidden=is_hidden,
        is_plain=not (is_hidden or is_number),
        number=name * is_number,
    )


def _mask_string(value: str, key: str) -> str:
    rule = _rule_of(key)
    # Ids and single words, which are most of all texts: they take no search.
    if rule.is_kept:
        return escape_controls(str(value), has_lines=True)
    if rule.is_plain and _WORD.fullmatch(value):
        return str(value)
    if len(value) <= REMEMBERED_LENGTH:
        return _mask_short(value, key)
    return _mask_word(value, rule)


# The lines of one job have most of their fields in common, and each field takes nine searches.
@lru_cache(maxsize=512)
def _mask_short(value: str, key: str) -> str:
    return _mask_word(value, _rule_of(key))


def _mask_word(value: str, rule: _Rule) -> str:
    # Not as a member of an enum, which JSON does not know.
    text = str(value)
    # Ids are not searched for telephone numbers: one of eleven digits would be masked, and the call
    # could not be followed any more.
    if rule.is_kept:
        return escape_controls(text, has_lines=True)
    if rule.is_hidden:
        return HIDDEN
    if rule.number:
        # Bare digits count as a telephone number only with such a name before them.
        return mask_text(f"{rule.number}={text}").partition("=")[2]
    return mask_text(text)


def _mask_many(
    value: Mapping[object, object] | Collection[object], name: str, depth: int
) -> object:
    # A limit on depth ends a structure that holds itself, too.
    if depth >= MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MAX_ITEMS]
        return {
            mask_text(key_name(key)): mask(item, key=key_name(key), depth=depth + 1)
            for key, item in pairs
        }
    # A pair of a list of pairs, such as a list of headers, is hidden by its name as well.
    match value:
        case (str() | bytes() as key, item) if isinstance(value, tuple):
            return [mask_text(key_name(key)), mask(item, key=key_name(key), depth=depth + 1)]
    return [mask(item, key=name, depth=depth + 1) for item in list(value)[:MAX_ITEMS]]


def key_name(key: object) -> str:
    """The key of a mapping as text."""
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key.decode("latin-1")
    if isinstance(key, int | float | bool | None):
        return str(key)
    return type(key).__name__


def _mask_one(value: object, rule: _Rule) -> str | int:
    if isinstance(value, int) and not rule.number:
        return value
    if isinstance(value, str | int):
        return _mask_word(str(value), rule)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return mask_text(in_one_line(value))
    if isinstance(value, date | timedelta | UUID | PurePath):
        return mask_text(str(value))
    return f"<{type(value).__qualname__}>"


def in_one_line(err: BaseException) -> str:
    """An exception in one line: its type and its message, not masked."""
    return "".join(
        traceback.TracebackException(type(err), err, None).format_exception_only()
    ).strip()
