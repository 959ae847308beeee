"""
Form bodies and query parameters, each parsed once per request.

`request.body_as(read_form)` and `query_pairs(request)` return shared lists: do not change them.
"""

from urllib.parse import parse_qsl

from service.errors import MalformedPayload
from service.sources.request import WebhookRequest


def read_form(body: bytes) -> list[tuple[str, str]]:
    """
    The fields of a form as (name, value), blank values and repeated names kept, in order.

    For `request.body_as`. Raises `MalformedPayload` if it is not UTF-8 or has absurdly many fields.
    """
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=1000,
        )
    except ValueError as err:
        raise MalformedPayload("the form cannot be decoded") from err


def read_query(query: str) -> list[tuple[str, str]]:
    """
    The parameters of a raw query as (name, value), decoded, in order; bytes that are not UTF-8
    become replacement characters. For `request.query_as`.
    """
    return parse_qsl(query, keep_blank_values=True)


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
