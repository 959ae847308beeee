"""
What every request of the console passes: room for it, a session, the form's token, and what is
answered where something is wrong.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
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
from workers.console.pages import PREFIX, page
from workers.console.parts import ConsoleAccount, ConsoleParts, Visit
from workers.console.sessions import COOKIE, VISITOR_COOKIE, Session

# A changed map of outcomes is the largest thing that is sent.
BODY: Final = BodyLimits(max_bytes=256 * 1024, timeout_s=10)
MAX_FIELDS: Final = 1000
# Pages that are made at a time in one process: webhooks come first.
MAX_AT_ONCE: Final = 4
ROOM_TIMEOUT_S: Final = 5.0
# Below the receiver's limit for an answer.
PAGE_TIMEOUT_S: Final = 8.0
# What a browser says of a request that another site has made.
OWN_SITES: Final = frozenset({None, "same-origin", "none"})
NOT_OURS: Final = "This form is not from this console, or it is too old. Load its page again."

Endpoint = Callable[[Visit], Awaitable[Response]]
Form = Mapping[str, list[str]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets requests in to their endpoint."""

    parts: ConsoleParts
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE))

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are logged in; the others are led to the log-in."""

        async def enter(request: Request) -> Response:
            return await self.answer(request, lambda: self._visit(request, endpoint))

        return enter

    async def answer(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """What an endpoint answers, within bounds of time; faults become a page."""
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                await self.room.acquire()
        except TimeoutError:
            return fault_page(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are being made.")
        try:
            return await _made_in_time(make)
        except HTTPException as err:
            return fault_page(err.status_code, err.detail, headers=err.headers)
        except (PayloadTooLarge, ReadTimeout, SenderGone):
            return fault_page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too large.")
        except (QueueUnavailable, *REDIS_ERRORS) as err:
            return _redis_away(err)
        except Exception:
            log.exception(LogEvent.REQUEST_BROKEN, method=request.method, status_code=500)
            detail = "The log of the receiver says what went wrong."
            return fault_page(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
        finally:
            self.room.release()

    async def _visit(self, request: Request, endpoint: Endpoint) -> Response:
        session = await self.session_of(request)
        if session is None:
            return self._to_login(request)
        account = self._account(request)
        form: Form = {}
        if request.method == "POST":
            form = await read_form(request)
            self.check_form(request, form, browser_id=session.session_id)
        visit = Visit(
            parts=self.parts, account=account, session=session, request=request, form=form
        )
        return await endpoint(visit)

    async def session_of(self, request: Request) -> Session | None:
        """The session of a request, unless it is over."""
        session = self.parts.sessions.read(request.cookies.get(COOKIE, ""), utc_now())
        if session is None:
            return None
        if await self.parts.first_account.store.console.is_ended(session.session_id):
            return None
        return session

    def check_form(self, request: Request, form: Form, *, browser_id: str) -> None:
        """Raises 403 unless the form is one of ours, sent from a page of ours."""
        token = form.get("form_token", [""])[0]
        if not browser_id or not self.parts.sessions.is_form_token(browser_id, token):
            raise HTTPException(HTTPStatus.FORBIDDEN, NOT_OURS)
        if request.headers.get("sec-fetch-site") not in OWN_SITES:
            raise HTTPException(HTTPStatus.FORBIDDEN, NOT_OURS)

    def _account(self, request: Request) -> ConsoleAccount:
        account = self.parts.accounts.get(str(request.path_params["account"]))
        if account is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such account.")
        return account

    def _to_login(self, request: Request) -> Response:
        # Only the path and query of a page of ours: no address of another site can get in here.
        target = ""
        if request.method == "GET":
            target = request.url.path
            if request.url.query:
                target = f"{target}?{request.url.query}"
        return self.login_page(request, target=target)

    def login_page(
        self,
        request: Request,
        *,
        target: str = "",
        fault: str = "",
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The log-in form, and the cookie that its token belongs to."""
        visitor_id = request.cookies.get(VISITOR_COOKIE) or secrets.token_hex(16)
        context = {
            "title": "Log in",
            "prefix": PREFIX,
            "target": target,
            "fault": fault,
            "form_token": self.parts.sessions.form_token(visitor_id),
        }
        response = page("login.html", context, status=status, headers=headers)
        self.set_cookie(response, VISITOR_COOKIE, visitor_id)
        return response

    def set_cookie(
        self, response: Response, name: str, value: str, *, max_age_s: int | None = None
    ) -> None:
        """Set a cookie of the console."""
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=PREFIX,
            secure=self.parts.is_secure,
            httponly=True,
            samesite="strict",
        )


async def _made_in_time(make: Callable[[], Awaitable[Response]]) -> Response:
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


async def read_form(request: Request) -> Form:
    """The fields of a form. Raises 400 if it is none, and what `read_body` raises."""
    check_length(read_headers(request.scope), BODY)
    body = await read_body(request.receive, BODY)
    try:
        return parse_qs(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except ValueError as err:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The form cannot be read.") from err


def fault_page(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A page that says what is wrong."""
    context = {
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "prefix": PREFIX,
    }
    return page("fault.html", context, status=status, headers=headers)


def _redis_away(err: BaseException) -> Response:
    reason = str(err)
    if not isinstance(err, QueueUnavailable):
        reason = classify_redis_error(err).text
    detail = f"{reason}. Webhooks are taken all the same, and wait in the spool."
    return fault_page(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
