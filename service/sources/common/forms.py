"""
Reading form bodies and query parameters.
"""

from urllib.parse import parse_qsl

from service.errors import MalformedPayload
from service.sources.request import WebhookRequest


def read_form(body: bytes) -> list[tuple[str, str]]:
    """
    Read a form, blank values and repeated names kept, in order.

    Raises `MalformedPayload` if it is not UTF-8 or has absurdly many fields.
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


def query_value(request: WebhookRequest, name: str) -> str | None:
    """
    The one value of a query parameter; None if absent or empty. Raises `MalformedPayload` if it
    comes with two values.
    """
    values = queried_values(request, name)
    if len(values) > 1:
        raise MalformedPayload(f"the query names {name} {len(values)} times with different values")
    return next(iter(values), None)


def queried_values(request: WebhookRequest, name: str) -> frozenset[str]:
    """All values of a query parameter that are not empty."""
    query = request.query
    # Most addresses have no such parameter; a name may be written in another way, but not without
    # these.
    if name not in query and "%" not in query and "+" not in query:
        return frozenset()
    return frozenset(
        value for key, value in parse_qsl(query, keep_blank_values=True) if key == name and value
    )
