"""
What the readers of all vendors' call logs share: fields of an answer, bodies of messages.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from service.sources.common.fields import Fields, text
from service.sources.common.json_body import JsonValue
from workers.subscriptions.errors import VendorUnavailable

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def items(title: str, fields: Fields, name: str) -> list[dict[str, JsonValue]]:
    """
    The objects of a list. Raises `VendorUnavailable` for anything else: a page that cannot be read
    is no empty one.
    """
    values = fields.get(name)
    if not isinstance(values, list):
        raise VendorUnavailable(f"{title} answered without a list of {name}")
    objects = [value for value in values if isinstance(value, dict)]
    if len(objects) != len(values):
        raise VendorUnavailable(f"{title} answered without a list of {name}")
    return objects


def chosen(fields: Fields, names: Iterable[str]) -> dict[str, JsonValue]:
    """The fields with these names, as far as they are there: what a message needs."""
    return {name: fields[name] for name in names if fields.get(name) is not None}


def chosen_texts(fields: Fields, names: Mapping[str, str]) -> dict[str, str]:
    """The texts of fields under other names, which are the keys; what is empty is left out."""
    values = {name: text(fields, field_name) for name, field_name in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def is_safe_id(value: str) -> bool:
    """Whether an id can stand in a path."""
    return _ID.fullmatch(value) is not None


def json_body(value: Mapping[str, object]) -> bytes:
    """A JSON body that is the same whenever its values are: keys sorted, no blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def iso_z(moment: datetime) -> str:
    """A time as vendors want it: `2026-11-02T10:00:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
