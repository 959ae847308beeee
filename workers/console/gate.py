"""
What every request of the console passes: room for it, a session, the form's token, and what is
answered where something is wrong.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from workers.console.answering import Answering, Form, is_of_another_site, read_form
from workers.console.pages import PREFIX, page
from workers.console.parts import ConsoleAccount, ConsoleParts, Visit
from workers.console.sessions import COOKIE, VISITOR_COOKIE, Session

NOT_OURS: Final = "This form is not from this console, or it is too old. Load its page again."
VISITOR_ID: Final = re.compile("[0-9a-f]{32}")

Endpoint = Callable[[Visit], Awaitable[Response]]


def fault_page(status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A page that says what is wrong."""
    context = {
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "prefix": PREFIX,
    }
    return page("fault.html", context, status=status, headers=headers)


class Gate(Struct, frozen=True):
    """Lets requests in to their endpoint."""

    parts: ConsoleParts
    answering: Answering = field(default_factory=lambda: Answering(fault_page))

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are logged in; the others are led to the log-in."""

        async def enter(request: Request) -> Response:
            return await self.answering.in_turn(request, lambda: self._visit(request, endpoint))

        return enter

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
        if is_of_another_site(request):
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
        visitor_id = request.cookies.get(VISITOR_COOKIE, "")
        # Only what was made here: nobody else's text goes into a cookie.
        if VISITOR_ID.fullmatch(visitor_id) is None:
            visitor_id = secrets.token_hex(16)
        context = {
            "title": "Log in",
            "prefix": PREFIX,
            "target": target,
            "fault": fault,
            "form_token": self.parts.sessions.form_token(visitor_id),
        }
        response = page("login.html", context, status=status, headers=headers)
        self.set_cookie(request, response, VISITOR_COOKIE, visitor_id)
        return response

    def set_cookie(
        self,
        request: Request,
        response: Response,
        name: str,
        value: str,
        *,
        max_age_s: int | None = None,
    ) -> None:
        """Set a cookie of the console."""
        # At a port of its own it may be reached by plain http, through a tunnel. Whoever makes up
        # the header has a cookie that is safer than it needs to be.
        is_https = request.headers.get("x-forwarded-proto") == "https"
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=PREFIX,
            secure=self.parts.is_secure or is_https,
            httponly=True,
            samesite="strict",
        )
