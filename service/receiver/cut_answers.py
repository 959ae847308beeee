"""
The answers to what is refused before a request is complete.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from service.receiver.connection_table import Cut


def _answer(status: HTTPStatus) -> bytes:
    body = f'{{"type": "about:blank", "title": "{status.phrase}", "status": {status.value}}}'
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")


ANSWERS: Final[Mapping[Cut, bytes]] = {
    Cut.BAD_REQUEST: _answer(HTTPStatus.BAD_REQUEST),
    Cut.LARGE_HEAD: _answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    Cut.SLOW_HEAD: _answer(HTTPStatus.REQUEST_TIMEOUT),
    Cut.SLOW_BODY: _answer(HTTPStatus.REQUEST_TIMEOUT),
}
