"""
How pages are answered: few at a time, within bounds of time, and faults as pages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qs

import structlog
from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.errors import PayloadTooLarge, QueueUnavailable, ReadTimeout
from service.logs.events import LogEvent
from service.receiver.requests import (
    BodyLimits,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error

# A changed map of outcomes is the largest thing that is sent.
BODY: Final = BodyLimits(max_bytes=256 * 1024, timeout_s=5)
# What somebody sends who is not logged in yet.
SMALL_BODY: Final = BodyLimits(max_bytes=8 * 1024, timeout_s=5)
MAX_FIELDS: Final = 1000
# Pages that are made at a time in one process: webhooks come first.
MAX_AT_ONCE: Final = 4
ROOM_TIMEOUT_S: Final = 5.0
# Below the receiver's limit for an answer.
PAGE_TIMEOUT_S: Final = 8.0
# What a browser says of a request that another site has made.
OWN_SITES: Final = frozenset({None, "same-origin", "none"})

Form = Mapping[str, list[str]]
Make = Callable[[], Awaitable[Response]]

log = structlog.get_logger(__name__)


class FaultPage(Protocol):
    """Makes the page that says what is wrong."""

    def __call__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The page of a status."""
        ...


class Answering(Struct, frozen=True):
    """Makes pages of one kind; `fault_page` is for what goes wrong."""

    fault_page: FaultPage
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    async def in_turn(self, request: Request, make: Make) -> Response:
        """The page, once there is room for it; for those who are logged in."""
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                await self.room.acquire()
        except TimeoutError:
            return self.fault_page(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are being made.")
        try:
            return await self.at_once(request, make)
        finally:
            self.room.release()

    async def at_once(self, request: Request, make: Make) -> Response:
        """
        The page, whatever else is being made. For those who are not logged in: they must not take
        the room of the others.
        """
        try:
            return await _made_in_time(make)
        except HTTPException as err:
            return self.fault_page(err.status_code, err.detail, headers=err.headers)
        except (PayloadTooLarge, ReadTimeout, SenderGone):
            detail = "The form is too large, or came too slowly."
            return self.fault_page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        except (QueueUnavailable, *REDIS_ERRORS) as err:
            return self._redis_away(err)
        except Exception:
            log.exception(LogEvent.REQUEST_BROKEN, method=request.method, status_code=500)
            detail = "The log of the receiver says what went wrong."
            return self.fault_page(HTTPStatus.INTERNAL_SERVER_ERROR, detail)

    def _redis_away(self, err: BaseException) -> Response:
        reason = str(err)
        if not isinstance(err, QueueUnavailable):
            reason = classify_redis_error(err).text
        detail = f"{reason}. Webhooks are taken all the same, and wait in the spool."
        return self.fault_page(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "5"})


async def _made_in_time(make: Make) -> Response:
    limit = asyncio.timeout(PAGE_TIMEOUT_S)
    try:
        async with limit:
            return await make()
    except TimeoutError as err:
        # A timeout of Redis is one too.
        if not limit.expired():
            raise
        detail = "This page took too long to make."
        raise HTTPException(HTTPStatus.GATEWAY_TIMEOUT, detail) from err


async def read_form(request: Request, limits: BodyLimits = BODY) -> Form:
    """The fields of a form. Raises 400 if it is none, and what `read_body` raises."""
    check_length(read_headers(request.scope), limits)
    body = await read_body(request.receive, limits)
    try:
        return parse_qs(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as err:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The form cannot be read.") from err


def is_of_another_site(request: Request) -> bool:
    """Whether a browser says that another site has made this request."""
    return request.headers.get("sec-fetch-site") not in OWN_SITES
