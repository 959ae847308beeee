"""
Ids of calls: a source's own, and those of Buildr that come back in a URL, an echoed text or a note.
"""

import base64
import binascii
import re
from typing import Final

from service.buildr_ids import MAX_DIGITS, is_buildr_call_id
from service.errors import MalformedPayload
from service.sources.common.forms import query_value
from service.sources.common.json_body import read_json_object
from service.sources.request import WebhookRequest

BUILDR_CALL_ID: Final = "buildr_call_id"
MAX_ID_LENGTH: Final = 200
MAX_ECHO: Final = 4096
# The id of the call in Buildr, as an agent may write it into a note.
NOTED_ID: Final = re.compile(
    rf"\b{BUILDR_CALL_ID}\s?[=:]\s?([1-9]\d{{0,{MAX_DIGITS - 1}}})\b", re.ASCII
)


def buildr_call_id(value: str | None) -> str | None:
    """
    A Buildr call id, checked: digits, no zero first; None for None and an empty text. Raises
    `MalformedPayload` for anything else.
    """
    if not value:
        return None
    if not is_buildr_call_id(value):
        raise MalformedPayload(
            "buildr_call_id must be a string of at most 20 digits, none of them a leading zero"
        )
    return value


def queried_buildr_call_id(request: WebhookRequest) -> tuple[str | None, str | None]:
    """
    The Buildr call id in a URL, and what is wrong with it; either is None, or both are.

    An invalid id must not cost the event: the call then waits for a link, and the fault is
    reported.
    """
    try:
        return buildr_call_id(query_value(request, BUILDR_CALL_ID)), None
    except MalformedPayload as err:
        return None, str(err)


def call_id(value: str | None, *, name: str) -> str:
    """
    The source's id of a call or leg, checked: present, printable, at most 200 characters. Raises
    `MalformedPayload` that names the field.
    """
    if not value or len(value) > MAX_ID_LENGTH or not value.isprintable():
        raise MalformedPayload(
            f"{name} is missing, or not a printable text of at most {MAX_ID_LENGTH} characters"
        )
    return value


def echoed_id(value: str | None) -> tuple[str | None, str | None]:
    """
    The Buildr call id in a text that a vendor sends back to us, and what is wrong with it; either
    is None, or both are.

    The text is a JSON object like `{"buildr_call_id": "110"}`, or the same in base64. A text that
    is neither, or holds no such name, belongs to another application and is not a fault.
    """
    if not value or len(value) > MAX_ECHO:
        return None, None
    plain_text = _decoded_if_base64(value)
    if BUILDR_CALL_ID not in plain_text:
        return None, None
    try:
        id_value = read_json_object(plain_text.encode("utf-8", "replace")).get(BUILDR_CALL_ID)
    except MalformedPayload:
        return None, None
    if isinstance(id_value, int) and not isinstance(id_value, bool):
        id_value = str(id_value)
    if id_value is not None and not isinstance(id_value, str):
        return None, f'{BUILDR_CALL_ID} must be a text, like {{"{BUILDR_CALL_ID}": "110"}}'
    try:
        return buildr_call_id(id_value), None
    except MalformedPayload as err:
        return None, str(err)


def noted_ids(*notes: str | None) -> tuple[str, ...]:
    """
    The Buildr call ids that agents wrote into any of these notes, like `buildr_call_id=110`: each
    once, in order.
    """
    noted = [
        call_id_digits for note in filter(None, notes) for call_id_digits in NOTED_ID.findall(note)
    ]
    return tuple(dict.fromkeys(noted))


def _decoded_if_base64(value: str) -> str:
    if value.lstrip().startswith("{"):
        return value
    try:
        return base64.b64decode(value.encode("ascii"), validate=True).decode("utf-8")
    except (UnicodeError, binascii.Error):
        return ""
