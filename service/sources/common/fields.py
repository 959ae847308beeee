"""
Reading the fields of a JSON message: each reader gives what it was asked for, or None, whatever
type the vendor put there.

A field that is absent, null or of a type that was not to be expected is the same to all of them: a
message is worth more than any one of its fields.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from service.errors import MalformedPayload
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.request import WebhookRequest

Fields = Mapping[str, JsonValue]
EMPTY: Final[Fields] = {}
MOST_SECONDS_DIGITS: Final = 9
MOST_SECONDS: Final = 10**MOST_SECONDS_DIGITS


def text(fields: Fields, *names: str) -> str | None:
    """
    The first of the fields that holds a text or a number, as text without blanks at its ends; None
    if none does.
    """
    for name in names:
        value = fields.get(name)
        if (
            isinstance(value, str | int | float)
            and not isinstance(value, bool)
            and (found := str(value).strip())
        ):
            return found
    return None


def flag(fields: Fields, name: str) -> bool | None:
    """A field that is true or false; None if it is anything else."""
    value = fields.get(name)
    return value if isinstance(value, bool) else None


def child(fields: Fields, *path: str) -> Fields:
    """The object at the end of a path of names; empty if it is not there."""
    for name in path:
        value = fields.get(name)
        if not isinstance(value, dict):
            return EMPTY
        fields = value
    return fields


def children(fields: Fields, name: str) -> tuple[Fields, ...]:
    """
    The objects in a list; one object counts as a list of it, and what is no object is left out.
    """
    value = fields.get(name)
    found = value if isinstance(value, list) else [value]
    return tuple(each for each in found if isinstance(each, dict))


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """The texts in a list, or the one text that stands in its place."""
    value = fields.get(name)
    found = value if isinstance(value, list) else [value]
    return tuple(each.strip() for each in found if isinstance(each, str) and each.strip())


def whole_seconds(fields: Fields, name: str, *, per_second: int = 1) -> int | None:
    """
    A duration in whole seconds, rounded; `per_second` is 1000 for one that is given in
    milliseconds. None if it is no duration.
    """
    value = fields.get(name)
    try:
        number = (
            float(value)
            if isinstance(value, int | float | str) and not isinstance(value, bool)
            else -1.0
        )
    except (ValueError, OverflowError):
        return None
    seconds = number / per_second
    # Not a number, too, is not between these.
    return round(seconds) if 0 <= seconds < MOST_SECONDS else None


def iso_moment(value: str | None) -> datetime | None:
    """
    A moment (UTC) from ISO 8601; one without an offset is taken to be in UTC. None if it is no
    moment.
    """
    try:
        moment = datetime.fromisoformat(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def epoch_moment(fields: Fields, name: str, *, per_second: int = 1) -> datetime | None:
    """
    A moment (UTC) from seconds since 1970, or milliseconds with `per_second=1000`. None if it is
    absent, 0 or no moment.
    """
    value = fields.get(name)
    try:
        number = (
            float(value)
            if isinstance(value, int | float | str) and not isinstance(value, bool)
            else 0.0
        )
        return datetime.fromtimestamp(number / per_second, UTC) if number > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def walk(value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """
    Every field at any depth, with its name, in the order in which they are written; however deep
    the message is nested.
    """
    waiting: list[tuple[str | None, JsonValue]] = [(None, value)]
    while waiting:
        name, each = waiting.pop()
        if name is not None:
            yield name, each
        if isinstance(each, dict):
            waiting.extend(reversed(each.items()))
        elif isinstance(each, list):
            waiting.extend((None, item) for item in reversed(each))


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
    body = json.dumps(kept_fields, ensure_ascii=False, separators=(",", ":")).encode()
    return request.with_body(body, parse=read_json_object, parsed=kept_fields)


def seconds(value: str | None) -> int | None:
    """Whole seconds from a vendor's text; None if it is absent or no number of seconds."""
    if value is None or not (
        value.isascii() and value.isdigit() and len(value) <= MOST_SECONDS_DIGITS
    ):
        return None
    return int(value)
