"""
Pages of a list, with the `link` header: https://buildr.dev/introduction/pagination.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import URL

from workers.sandbox.validation import Refused

DEFAULT_PER_PAGE: Final = 25
MOST_PER_PAGE: Final = 100


def page_of(
    items: Sequence[dict[str, object]], url: URL
) -> tuple[list[dict[str, object]], dict[str, str]]:
    """
    The items of the page that `?page=` asks for, and the headers that lead to the others. Raises
    `Refused` with 422.
    """
    query = dict(parse_qsl(url.query))
    page = _number(query, "page", default=1)
    per_page = min(MOST_PER_PAGE, _number(query, "per_page", default=DEFAULT_PER_PAGE))
    last = max(1, -(-len(items) // per_page))
    places = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
    links = ", ".join(
        f'<{_at(url, query, place)}>; rel="{rel}"'
        for rel, place in places.items()
        if 1 <= place <= last
    )
    return list(items[(page - 1) * per_page : page * per_page]), {"link": links}


def _number(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name, str(default))
    if not (
        text.isascii() and text.isdigit() and 1 <= len(text) <= len("100000") and int(text) > 0
    ):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} must be a number from 1 on")
    return int(text)


def _at(url: URL, query: Mapping[str, str], page: int) -> str:
    return str(url.replace_query_params(**{**query, "page": str(page)}))
