"""
What the sandbox says when it refuses a request, in the shapes that Buildr documents, or else that
it may well have.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import JSONResponse

BETA_MESSAGE: Final = "Too many requests for this account."


def errors(status: int, messages: Sequence[str]) -> JSONResponse:
    """A refusal; Buildr documents no body for these, so that this one is made up."""
    return JSONResponse({"errors": list(messages)}, status_code=status)


def unauthorized() -> JSONResponse:
    """The answer to a request without a valid token."""
    return JSONResponse(
        {"error": "invalid_token"},
        status_code=HTTPStatus.UNAUTHORIZED,
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )


def rate_limit_answer(
    wait_s: int, *, bucket: str, limit: int | None, is_beta: bool, says_wait: bool
) -> JSONResponse:
    """
    The answer to a request over the limit: https://buildr.dev/introduction/rate-limiting.

    The beta version also names the bucket. Without `says_wait` the header that tells the seconds is
    missing.
    """
    body: dict[str, object] = {"error": "rate_limit_exceeded"}
    if is_beta:
        body |= {"bucket": bucket, "message": BETA_MESSAGE, "limit": limit}
    headers = {"X-Rate-Limited-For": str(wait_s)} if says_wait else {}
    return JSONResponse(body, status_code=HTTPStatus.TOO_MANY_REQUESTS, headers=headers)
