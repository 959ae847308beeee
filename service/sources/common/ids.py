"""
Ids of calls: a source's own, and those of Buildr that come back in an address, an echoed text or a
note.
"""

import base64
import binascii
import re
from typing import Final

from service.buildr_ids import MAX_DIGITS, is_buildr_id
from service.errors import MalformedPayload
from service.sources.common.forms import query_value
from service.sources.common.json_body import read_json_object
from service.sources.request import WebhookRequest

BUILDR_CALL_ID: Final = "buildr_call_id"

MAX_ID_LENGTH: Final = 200


def buildr_call_id(value: str | None) -> str | None:
    """
    Check a Buildr call id: digits only. Raises `MalformedPayload` for anything else; None and empty
    stay None.
    """
    if not value:
        return None
    if not is_buildr_id(value):
        raise MalformedPayload(
            "buildr_call_id must be a string of at most 20 digits, as in Buildr's own URL of the call"
        )
    return value


def queried_buildr_call_id(request: WebhookRequest) -> tuple[str | None, str | None]:
    """
    The Buildr call id that a signed URL names, or None, and what is wrong with it, if anything is.

    A wrong id must not cost the event: the call then waits for a link, and the fault is reported.
    """
    try:
        return buildr_call_id(query_value(request, BUILDR_CALL_ID)), None
    except MalformedPayload as err:
        return None, str(err)


def call_id(value: str | None, *, name: str) -> str:
    """
    Check a source's id of a call: present, printable, at most 200 characters. Raises
    `MalformedPayload`.
    """
    if not value or len(value) > MAX_ID_LENGTH or not value.isprintable():
        raise MalformedPayload(
            f"{name} is missing, or not a printable text of at most {MAX_ID_LENGTH} characters"
        )
    return value


MAX_ECHO: Final = 4096


# The id of the call in Buildr, as it may stand in what people write about a call.
NOTED_ID: Final = re.compile(rf"\b{BUILDR_CALL_ID}\s?[=:]\s?(\d{{1,{MAX_DIGITS}}})\b", re.ASCII)


def echoed_id(value: str | None) -> tuple[str | None, str | None]:
    """
    The Buildr call id in a text that a vendor gives back to us, and what is wrong with it, if
    anything is.

    The text is a JSON object like `{"buildr_call_id": "110"}`, or the same in base64. A text that
    is neither, or names no id, belongs to somebody else and is no fault.
    """
    if not value or len(value) > MAX_ECHO or BUILDR_CALL_ID not in (plain := _plain(value)):
        return None, None
    try:
        found = read_json_object(plain.encode("utf-8", "replace")).get(BUILDR_CALL_ID)
    except MalformedPayload:
        return None, None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if found is not None and not isinstance(found, str):
        return None, f'{BUILDR_CALL_ID} must be a text, like {{"{BUILDR_CALL_ID}": "110"}}'
    try:
        return buildr_call_id(found), None
    except MalformedPayload as err:
        return None, str(err)


def noted_ids(*values: str | None) -> tuple[str, ...]:
    """
    The Buildr call ids that people wrote into any of these texts, like `buildr_call_id=110`: each
    once, in their order.
    """
    return tuple(
        dict.fromkeys(
            found for value in values if value is not None for found in NOTED_ID.findall(value)
        )
    )


def _plain(value: str) -> str:
    if value.lstrip().startswith("{"):
        return value
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8")
    except (UnicodeError, binascii.Error):
        return ""
