"""
The body of an update, held strictly to the published reference:
https://buildr.dev/api-reference/call/update-call.

Stricter than Buildr may be: what the reference does not list is refused, so that a mistake shows
here first.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

from service.buildr_ids import is_buildr_id

MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
JSON_TYPE: Final = "application/json"


class Refused(Exception):
    """
    Raised when a request is not as the contract has it; `status` and `messages` make the answer.
    """

    def __init__(self, status: HTTPStatus, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.status = status
        self.messages = messages


def _id(value: object) -> str | None:
    return None if isinstance(value, str) and is_buildr_id(value) else "must be a string of digits"


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    return (
        None
        if value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
        else "holds half a character"
    )


def _moment(value: object) -> str | None:
    if isinstance(value, str) and MOMENT.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return "is no date that exists"
        return None
    return "must be a time in UTC like 2023-07-28T12:00:00Z"


FIELDS: Final[Mapping[str, Callable[[object], str | None]]] = {
    "call_outcome_id": _id,
    "company_id": _id,
    "contact_id": _id,
    "notes": _text,
    "project_id": _id,
    "recorded_at": _moment,
}


def read_json(body: bytes, content_type: str) -> object:
    """The body's JSON values. Raises `Refused` with 415 or 400."""
    if content_type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {JSON_TYPE}")
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError) as err:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no JSON") from err
    return parsed


def read_update(parsed: object) -> Mapping[str, object]:
    """
    The fields under `call`, whatever they hold. Raises `Refused` with 400 if the body has another
    form.
    """
    if (
        not isinstance(parsed, dict)
        or set(parsed) != {"call"}
        or not isinstance(parsed["call"], dict)
    ):
        raise Refused(HTTPStatus.BAD_REQUEST, 'the body must be {"call": {...}} and nothing else')
    fields: Mapping[str, object] = parsed["call"]
    return fields


def check_fields(
    fields: Mapping[str, object], *, outcome_ids: Collection[str], may_be_null: bool = False
) -> dict[str, str | None]:
    """The fields, all of them right. Raises `Refused` with 422 and every fault at once."""
    faults: list[str] = []
    checked: dict[str, str | None] = {}
    for name, value in fields.items():
        if name not in FIELDS:
            faults.append(f"{name[:100]!a}: unknown field")
        elif value is None and may_be_null:
            checked[name] = None
        elif (fault := FIELDS[name](value)) is not None:
            faults.append(f"{name} {fault}")
        # 422 is assumed: Buildr does not document what it answers to an unknown outcome.
        elif name == "call_outcome_id" and value not in outcome_ids:
            faults.append(f"call_outcome_id: there is no call outcome {value}")
        else:
            checked[name] = str(value)
    if faults:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, *faults)
    return checked
