"""
A source's reply as an answer over HTTP.
"""

from functools import lru_cache

from starlette.responses import Response

from service.sources.request import Reply


def response_to(reply: Reply) -> Response:
    """The answer that a source's server gets. Do not change it: many requests may share it."""
    return _response(reply.status, reply.body, reply.content_type, tuple(reply.headers.items()))


# Nearly all answers of a source are the same one. Bounded, since a challenge is answered with what
# its sender chose.
@lru_cache(maxsize=64)
def _response(
    status: int, body: bytes, content_type: str | None, headers: tuple[tuple[str, str], ...]
) -> Response:
    return Response(body, status_code=status, media_type=content_type, headers=dict(headers))
