"""
Errors as the sender sees them: RFC 9457 `application/problem+json` that says what to do and gives
nothing away.

What an answer says is read off the error's class. The reasons, which may help an attacker, go to
the log only.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import structlog
from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from service.errors import (
    IgnoredEvent,
    InvalidSignature,
    MalformedPayload,
    MessageError,
    PayloadTooLarge,
    QueueUnavailable,
    ReadTimeout,
    UnknownSource,
    UnsupportedContentType,
    WrongMethod,
)
from service.logs.events import LogEvent

MEDIA_TYPE: Final = "application/problem+json"
# A URN: RFC 9457 allows a type that cannot be opened, and a URL would have to be kept alive.
TYPES: Final = "urn:buildr-calls:problem:"
BLANK: Final = "about:blank"

# The rest of such a request is not worth waiting for.
CLOSING: Final[Mapping[str, str]] = {"Connection": "close"}


class Problem(Struct, frozen=True, kw_only=True):
    """
    What a sender is answered beside status and title: `slug` ends the URN of the problem's type,
    `advice` is what the sender is to do.
    """

    slug: str
    advice: str
    headers: Mapping[str, str] = field(default_factory=dict)


KEPT: Final = "Nothing: the message is kept for the operator to look at."
PROBLEMS: Final[Mapping[type[MessageError], Problem]] = {
    UnknownSource: Problem(
        slug="unknown-source",
        advice="Check the URL. A source is on as soon as its secret is set; "
        "its operator's page names the setting.",
    ),
    WrongMethod: Problem(
        slug="wrong-method",
        advice="Set the webhook's method to POST at the sender.",
        headers={"Allow": "POST"},
    ),
    ReadTimeout: Problem(
        slug="read-timeout",
        advice="Send the whole request at once, then send it again.",
        headers=CLOSING,
    ),
    PayloadTooLarge: Problem(
        slug="payload-too-large",
        advice="Send a smaller body, or raise MAX_BODY_BYTES of this service.",
    ),
    UnsupportedContentType: Problem(
        slug="unsupported-content-type",
        advice="Send the content type that the source's page names, without Content-Encoding.",
    ),
    InvalidSignature: Problem(
        slug="invalid-signature",
        advice="Sign with the secret that this service is set to, over the public URL; "
        "its log says more.",
        # RFC 9110 wants a 401 to name a scheme.
        headers={"WWW-Authenticate": 'Signature realm="webhooks"'},
    ),
    IgnoredEvent: Problem(
        slug="ignored-event", advice="Nothing: messages of this kind are not used."
    ),
    MalformedPayload: Problem(slug="malformed-payload", advice=KEPT),
}
# For a class that is added and not listed: it gives nothing away.
UNLISTED: Final = Problem(slug="message-error", advice="Look into the log of this service.")
# By status: what replaces Starlette's own phrase.
ADVICE: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: "Nothing is here. Webhooks go to /webhooks/SOURCE.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Use one of the methods that the Allow header names.",
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "Send the request again. The log of this service says what went wrong."
    ),
}
# Titles by RFC 9110: before Python 3.13 `HTTPStatus` has those of an older one.
TITLES: Final[Mapping[int, str]] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}

log = structlog.get_logger(__name__)


def problem(
    status: int,
    *,
    detail: str,
    title: str | None = None,
    type_: str = BLANK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer in problem+json; without a title it has that of its status."""
    content = {
        "type": type_,
        "title": title or TITLES.get(status) or HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }
    return Response(
        json.dumps(content, ensure_ascii=False),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


# The text of the error is not used: it may say how far a forged message has come.
def problem_of(err: MessageError, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a message that was refused, by the class of the error alone."""
    row = PROBLEMS.get(type(err), UNLISTED)
    return problem(
        err.http_status,
        title=err.title,
        detail=row.advice,
        type_=TYPES + row.slug,
        headers={**row.headers, **(headers or {})},
    )


def unavailable(
    err: QueueUnavailable, *, title: str | None = None, detail: str | None = None
) -> Response:
    """The answer while Redis cannot take a message: 503, with the seconds to wait."""
    return problem(
        err.http_status,
        title=title or err.title,
        detail=detail or f"Send the request again in {err.retry_after_s} seconds.",
        type_=TYPES + "unavailable",
        headers={"Retry-After": str(err.retry_after_s)},
    )


def handlers() -> dict[type[Exception], ExceptionHandler]:
    """What Starlette does with the errors that an endpoint lets through, and with its own."""
    return {HTTPException: _on_http, MessageError: _on_message, QueueUnavailable: _on_queue}


class ServerErrorMiddleware:
    """
    The outermost middleware: an error that nothing else handles is logged once, with its traceback,
    and answered 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; answer it if what is inside could not."""
        has_started = False

        async def observe(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, observe)
        except Exception:
            # An error of the lifespan is for uvicorn, which ends the process.
            if scope["type"] != "http":
                raise
            log.exception(
                LogEvent.REQUEST_BROKEN,
                method=scope["method"],
                status_code=int(HTTPStatus.INTERNAL_SERVER_ERROR),
            )
            # After the first byte nothing else can be answered: the sender sees a response that is
            # cut off.
            if not has_started:
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                await problem(status, detail=ADVICE[status])(scope, receive, send)


async def _on_http(_: Request, err: Exception) -> Response:
    # For mypy: Starlette types its handlers for any exception.
    if not isinstance(err, HTTPException):
        raise err
    detail = err.detail
    if detail == HTTPStatus(err.status_code).phrase:
        # An error of Starlette's own: it has the phrase of its status as detail.
        detail = ADVICE.get(err.status_code, detail)
    return problem(err.status_code, detail=detail, headers=err.headers)


async def _on_message(_: Request, err: Exception) -> Response:
    if not isinstance(err, MessageError):
        raise err
    return problem_of(err)


async def _on_queue(_: Request, err: Exception) -> Response:
    if not isinstance(err, QueueUnavailable):
        raise err
    return unavailable(err)
