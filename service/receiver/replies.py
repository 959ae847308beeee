"""
A source's reply as an answer over HTTP.
"""

from starlette.responses import Response

from service.sources.request import Reply


def response_to(reply: Reply) -> Response:
    """The answer that a source's server gets."""
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=reply.content_type,
        headers=dict(reply.headers),
    )
