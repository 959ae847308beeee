"""
Reading the fields of a payload: each reader returns the value, or None, whatever type the vendor
put there.

An absent field, null and a value of an unexpected type are the same to all of them: a message is
worth more than any one of its fields.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, cast

from service.errors import MalformedPayload
from service.sources.common.json_body import JsonValue, read_json_object, stored_json
from service.sources.request import WebhookRequest

Fields = Mapping[str, JsonValue]
EMPTY: Final[Fields] = {}
NUMBER_TYPES: Final = (int, float)
MOST_SECONDS_DIGITS: Final = 9
# In UTC, as vendors write it. The library that reads all other forms takes several times as long.
MONTH_NAMES: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
MONTHS: Final[Mapping[str, str]] = {
    name: f"{number:02}" for number, name in enumerate(MONTH_NAMES.split(), 1)
}
MAIL_TIME: Final = re.compile(
    rf"[A-Z][a-z]{{2}}, (\d\d) ({'|'.join(MONTHS)}) ([1-9]\d{{3}}) (\d\d:\d\d:\d\d) \+0000",
    re.ASCII,
)
MOST_SECONDS: Final = 10**MOST_SECONDS_DIGITS


def text(fields: Fields, name: str, *other_names: str) -> str | None:
    """
    The first of the fields that holds a text or a number, as text without surrounding blanks; None
    if none does.
    """
    value = fields.get(name)
    # By their exact types, of which JSON has no others: a bool is an int too, and this is the
    # function that sources call most.
    if type(value) is str:
        stripped = value.strip()
        if stripped:
            return stripped
    elif type(value) in NUMBER_TYPES:
        return str(value)
    if other_names:
        return text(fields, *other_names)
    return None


def flag(fields: Fields, name: str) -> bool | None:
    """A field that is true or false; None if it is anything else."""
    value = fields.get(name)
    if isinstance(value, bool):
        return value
    return None


def child(fields: Fields, *path: str) -> Fields:
    """The object at the end of a path of names; empty if it is not there."""
    for name in path:
        value = fields.get(name)
        if not isinstance(value, dict):
            return EMPTY
        fields = value
    return fields


def children(fields: Fields, name: str) -> tuple[Fields, ...]:
    """The objects in a list, other items left out; one object counts as a list of one."""
    return tuple([item for item in _items(fields, name) if isinstance(item, dict)])


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """The texts in a list, without empty ones; one text counts as a list of one."""
    stripped = [item.strip() for item in _items(fields, name) if isinstance(item, str)]
    return tuple(filter(None, stripped))


def whole_seconds(fields: Fields, name: str, *, per_second: int = 1) -> int | None:
    """
    A duration in whole seconds, rounded; `per_second` is 1000 for one in milliseconds. None if it
    is not a duration.
    """
    number = _number(fields, name)
    # NaN is not in the range either.
    if number is None or not 0 <= number / per_second < MOST_SECONDS:
        return None
    return round(number / per_second)


def iso_moment(value: str | None) -> datetime | None:
    """
    A time (UTC) from ISO 8601; one without an offset is taken as UTC. None if it is not a time.
    """
    try:
        return in_utc(datetime.fromisoformat(value or ""))
    except (ValueError, OverflowError):
        return None


def mail_moment(value: str | None) -> datetime | None:
    """A time (UTC) from RFC 2822, as in a mail; one without an offset is taken as UTC."""
    if value is None:
        return None
    parts = MAIL_TIME.fullmatch(value)
    try:
        if parts is None:
            return in_utc(parsedate_to_datetime(value))
        day, month, year, time = parts.groups()
        return datetime.fromisoformat(f"{year}-{MONTHS[month]}-{day} {time}+00:00")
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def in_utc(moment: datetime) -> datetime:
    """The time in UTC; one without an offset is UTC already. Raises OverflowError."""
    if moment.tzinfo is UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def epoch_moment(fields: Fields, name: str, *, per_second: int = 1) -> datetime | None:
    """
    A time (UTC) from seconds since 1970, or milliseconds with `per_second=1000`. None if it is
    absent, 0 or not a time.
    """
    number = _number(fields, name)
    if number is None or not number > 0:
        return None
    try:
        return datetime.fromtimestamp(number / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def walk(value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """
    Every field at any depth as (name, value), in the order in which they are written.

    Uses no recursion, so that a deeply nested message cannot exhaust the stack.
    """
    pending: list[tuple[str | None, JsonValue]] = [(None, value)]
    while pending:
        name, field = pending.pop()
        if name is not None:
            yield name, field
        if isinstance(field, dict):
            pending.extend(reversed(field.items()))
        elif isinstance(field, list):
            pending.extend((None, item) for item in reversed(field))


def without_secret(request: WebhookRequest, name: str) -> WebhookRequest:
    """
    The request with one field of its JSON object replaced by an empty text, the rest written
    compactly; unchanged if the field is absent or empty, or the body is not a JSON object.
    """
    try:
        fields = request.body_as(read_json_object)
    except MalformedPayload:
        return request
    if fields.get(name, "") == "":
        return request
    kept_fields: dict[str, JsonValue] = {**fields, name: ""}
    return request.with_body(stored_json(kept_fields), parse=read_json_object, parsed=kept_fields)


def seconds(value: str | None) -> int | None:
    """Whole seconds from a vendor's text; None if it is absent or not a number of seconds."""
    if value is None or len(value) > MOST_SECONDS_DIGITS:
        return None
    if not (value.isascii() and value.isdigit()):
        return None
    return int(value)


def _items(fields: Fields, name: str) -> list[JsonValue]:
    value = fields.get(name)
    if isinstance(value, list):
        return value
    return [value]


def _number(fields: Fields, name: str) -> float | None:
    value = fields.get(name)
    # By their exact types, as in `text`.
    if type(value) is not str and type(value) not in NUMBER_TYPES:
        return None
    try:
        return float(cast("str", value))
    except (ValueError, OverflowError):
        return None
