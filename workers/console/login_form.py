"""
The log-in form that the console and the dial page share: the cookie of a browser that has not
logged in yet, the token of each form, and who guesses has to wait.
"""

import hashlib
import math
import re
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal, Protocol

import structlog
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.receiver.requests import read_headers
from workers.console.answering import SMALL_BODY, Form, is_of_another_site, read_form

NOT_OURS: Final = "This form is not from this page, or it is too old. Load its page again."
TEMPLATE: Final = "login.html"
VISITOR_ID: Final = re.compile("[0-9a-f]{32}")

log = structlog.get_logger(__name__)


class Page(Protocol):
    """Makes an HTML page of a template."""

    def __call__(
        self,
        template: str,
        context: Mapping[str, object],
        *,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The page."""
        ...


class FormTokens(Protocol):
    """
    Makes the token that each form holds, so that no other site can send one. `browser_id` is what
    only this browser has: its session, or what its cookie holds before there is one.
    """

    def form_token(self, browser_id: str) -> str:
        """The token of the forms of a browser."""
        ...

    def is_form_token(self, browser_id: str, token: str) -> bool:
        """Whether a token is one of a browser's forms, compared in constant time."""
        ...


class Attempt(Struct, frozen=True, kw_only=True):
    """One log-in that is tried: the token, where it leads to, and the address that it came from."""

    token: str
    target: str
    address: str

    @property
    def digest(self) -> bytes:
        """What the guard remembers of the token."""
        return hashlib.sha256(self.token.encode()).digest()


class LoginForm(Struct, frozen=True, kw_only=True):
    """
    The log-in form of the pages below `prefix`.

    `page` makes them, `tokens` those of their forms. `visitor_cookie` names a browser that has not
    logged in, `same_site` says when a browser sends the cookies, `is_secure` whether they are kept
    off plain http. `refused` is logged for a wrong token.
    """

    prefix: str
    page: Page
    tokens: FormTokens
    guard: AdminGuard
    visitor_cookie: str
    same_site: Literal["strict", "lax"]
    is_secure: Callable[[Request], bool]
    refused: LogEvent

    def show(
        self,
        request: Request,
        *,
        target: str = "",
        fault: str = "",
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The form, which leads to `target`, and the cookie that its token belongs to."""
        # What somebody else has put there is not used.
        visitor_id = self._visitor_id(request) or secrets.token_hex(16)
        context = {
            "title": "Log in",
            "prefix": self.prefix,
            "target": target,
            "fault": fault,
            "form_token": self.tokens.form_token(visitor_id),
        }
        response = self.page(TEMPLATE, context, status=status, headers=headers)
        self.set_cookie(request, response, self.visitor_cookie, visitor_id)
        return response

    async def read(self, request: Request) -> Attempt:
        """
        What the form holds. Raises 400 or 403 unless it is ours, and what `read_body` raises.
        """
        form = await read_form(request, SMALL_BODY)
        self.check(request, form, browser_id=self._visitor_id(request))
        return Attempt(
            token=form.get("token", [""])[0].strip(),
            target=form.get("target", [""])[0],
            address=self.guard.address(request.scope, read_headers(request.scope)),
        )

    def check(self, request: Request, form: Form, *, browser_id: str) -> None:
        """Raises 403 unless a form is one of ours, sent from a page of ours."""
        token = form.get("form_token", [""])[0]
        is_ours = bool(browser_id) and self.tokens.is_form_token(browser_id, token)
        if not is_ours or is_of_another_site(request):
            raise HTTPException(HTTPStatus.FORBIDDEN, NOT_OURS)

    def wait(self, request: Request, attempt: Attempt) -> Response | None:
        """The form again, if the address has to wait before a token of it is looked at."""
        wait_s = self.guard.wait_s(attempt.address, attempt.digest)
        if wait_s <= 0:
            return None
        log.warning(self.refused, client=attempt.address, reason="too many wrong tokens")
        seconds = math.ceil(wait_s)
        return self.show(
            request,
            target=attempt.target,
            fault=f"Too many wrong tokens came from your address. Wait for {seconds} s.",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            headers={"Retry-After": str(seconds)},
        )

    def refuse(self, request: Request, attempt: Attempt, *, fault: str) -> Response:
        """The form again, for a token that is none; counted, and logged without it."""
        self.guard.note_failure(attempt.address)
        log.warning(self.refused, client=attempt.address, reason="a wrong token")
        return self.show(
            request, target=attempt.target, fault=fault, status=HTTPStatus.UNAUTHORIZED
        )

    def accept(self, attempt: Attempt) -> None:
        """Remember that the token was right: nobody at its address can lock it out."""
        self.guard.note_success(attempt.address, attempt.digest)

    def set_cookie(
        self,
        request: Request,
        response: Response,
        name: str,
        value: str,
        *,
        max_age_s: int | None = None,
    ) -> None:
        """Set a cookie that no script reads."""
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=self.prefix,
            secure=self.is_secure(request),
            httponly=True,
            samesite=self.same_site,
        )

    def _visitor_id(self, request: Request) -> str:
        """What the browser is called, if it was called so here; else empty."""
        visitor_id = request.cookies.get(self.visitor_cookie, "")
        if VISITOR_ID.fullmatch(visitor_id) is None:
            return ""
        return visitor_id
