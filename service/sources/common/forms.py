"""
Form bodies and query parameters, each parsed once per request.

`request.body_as(read_form)` and `query_pairs(request)` return shared lists: do not change them.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from service.errors import MalformedPayload
from service.sources.request import WebhookRequest

MOST_FIELDS: Final = 1000
# `&` and `=`.
ENCODED_SIGN: Final = re.compile(rb"%(?:26|3[dD])")


def read_form(body: bytes) -> list[tuple[str, str]]:
    """
    The fields of a form as (name, value), blank values and repeated names kept, in order.

    For `request.body_as`. Raises `MalformedPayload` if it is not UTF-8 or has absurdly many fields.
    """
    if body.count(b"&") >= MOST_FIELDS:
        raise MalformedPayload(f"the form has more than {MOST_FIELDS} fields")
    try:
        return _pairs(body, errors="strict")
    except UnicodeDecodeError as err:
        raise MalformedPayload("the form cannot be decoded") from err


def read_query(query: str) -> list[tuple[str, str]]:
    """
    The parameters of a raw query as (name, value), decoded, in order; bytes that are not UTF-8
    become replacement characters. For `request.query_as`.
    """
    return _pairs(_raw(query), errors="replace")


def read_query_strictly(query: str) -> list[tuple[str, str]]:
    """The same, but raises `MalformedPayload` as `read_form` does."""
    return read_form(_raw(query))


def query_pairs(request: WebhookRequest) -> list[tuple[str, str]]:
    """The parameters in a request's query as (name, value), decoded, in order."""
    return request.query_as(read_query)


def query_value(request: WebhookRequest, name: str) -> str | None:
    """
    The one value of a query parameter; None if absent or empty. Raises `MalformedPayload` if it
    has two different values.
    """
    values = query_values(request, name)
    if len(values) > 1:
        raise MalformedPayload(f"the query names {name} {len(values)} times with different values")
    return next(iter(values), None)


def query_values(request: WebhookRequest, name: str) -> frozenset[str]:
    """The different values of a query parameter, without empty ones."""
    query = request.query
    # Most URLs lack the parameter, and need not be parsed: an encoded name has one of these signs.
    if name not in query and "%" not in query and "+" not in query:
        return frozenset()
    return frozenset(
        value for pair_name, value in query_pairs(request) if value and pair_name == name
    )


def values_by_name(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """
    The values that are not empty, by their names; of a repeated name the least one.

    For vendors that sign a form with its fields sorted: of a repeated name the signature then fixes
    the values but not their order, so that the order must not decide anything.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        pairs = sorted(pairs, reverse=True)
        return {name: value for name, value in pairs if value}
    for name in [name for name, value in values.items() if not value]:
        del values[name]
    return values


def check_first_name(ordered_pairs: Sequence[tuple[str, str]]) -> None:
    """
    Raises `MalformedPayload` if a form does not begin with a letter, as all genuine ones do.

    For vendors that sign URL and form without a certain border between them: else the last digits
    of a call id in the URL could be moved into the form, and the message would name another call.
    """
    if not ordered_pairs:
        return
    first_character = ordered_pairs[0][0][:1]
    if not (first_character.isascii() and first_character.isalpha()):
        raise MalformedPayload("the first field of the form does not begin with a letter")


def _raw(query: str) -> bytes:
    """The bytes of a query, which was read as latin-1."""
    return query.encode("latin-1", "replace")


def _pairs(text: bytes, *, errors: str) -> list[tuple[str, str]]:
    # As `parse_qsl` reads them, but from bytes: of a text with raw letters outside of ASCII it
    # decodes each piece between them by itself, which takes ten times as long.
    text = text.replace(b"+", b" ")
    if ENCODED_SIGN.search(text):
        parts = [field.partition(b"=") for field in text.split(b"&") if field]
        return [(_decoded(name, errors), _decoded(value, errors)) for name, _, value in parts]
    # No sign that parts the fields is encoded in it, so that the whole can be decoded at once.
    fields = [field.partition("=") for field in _decoded(text, errors).split("&") if field]
    return [(name, value) for name, _, value in fields]


def _decoded(text: bytes, errors: str) -> str:
    if b"%" in text:
        text = unquote_to_bytes(text)
    return text.decode(errors=errors)
