"""
What every request of the console passes: room for it, a session, the form's token, and what is
answered where something is wrong.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Self

from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.logs.events import LogEvent
from workers.console.answering import Answering, Form, read_form
from workers.console.login_form import LoginForm
from workers.console.pages import PREFIX, page
from workers.console.parts import ConsoleAccount, ConsoleParts, Visit
from workers.console.sessions import COOKIE, VISITOR_COOKIE, Session

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
    login_form: LoginForm
    answering: Answering = field(default_factory=lambda: Answering(fault_page))

    @classmethod
    def of(cls, parts: ConsoleParts) -> Self:
        """The gate of a console."""

        def is_secure(request: Request) -> bool:
            # At a port of its own it may be reached by plain http, through a tunnel. Whoever makes
            # up the header has a cookie that is safer than it needs to be.
            return parts.is_secure or request.headers.get("x-forwarded-proto") == "https"

        login_form = LoginForm(
            prefix=PREFIX,
            page=page,
            tokens=parts.sessions,
            guard=parts.guard,
            visitor_cookie=VISITOR_COOKIE,
            same_site="strict",
            is_secure=is_secure,
            refused=LogEvent.CONSOLE_REFUSED,
        )
        return cls(parts, login_form)

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are logged in; the others are led to the log-in."""

        async def enter(request: Request) -> Response:
            return await self.answering.in_turn(request, lambda: self._visit(request, endpoint))

        return enter

    async def session_of(self, request: Request) -> Session | None:
        """The session of a request, unless it is over. Raises redis-py's errors."""
        session = self.parts.sessions.read(request.cookies.get(COOKIE, ""), utc_now())
        if session is None:
            return None
        if await self.parts.first_account.store.console.is_ended(session.session_id):
            return None
        return session

    async def _visit(self, request: Request, endpoint: Endpoint) -> Response:
        session = await self.session_of(request)
        if session is None:
            return self.login_form.show(request, target=_target_of(request))
        account = self._account(request)
        form: Form = {}
        if request.method == "POST":
            form = await read_form(request)
            self.login_form.check(request, form, browser_id=session.session_id)
        visit = Visit(
            parts=self.parts, account=account, session=session, request=request, form=form
        )
        return await endpoint(visit)

    def _account(self, request: Request) -> ConsoleAccount:
        account = self.parts.accounts.get(str(request.path_params["account"]))
        if account is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such account.")
        return account


def _target_of(request: Request) -> str:
    """Where a log-in leads to: the path and query of a page of ours, and so to no other site."""
    if request.method != "GET":
        return ""
    if not request.url.query:
        return request.url.path
    return f"{request.url.path}?{request.url.query}"
