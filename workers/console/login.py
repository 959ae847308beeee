"""
Logging in to the console and out of it.
"""

from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.store.console import ConsoleAction
from workers.console.gate import Gate
from workers.console.pages import PREFIX, redirect
from workers.console.parts import Visit, audit, page_url
from workers.console.sessions import COOKIE, LASTS

WRONG: Final = "This is neither CONSOLE_TOKEN nor CONSOLE_READ_TOKEN."


class Login(Struct, frozen=True):
    """The endpoints of the log-in."""

    gate: Gate

    async def start(self, request: Request) -> Response:
        """`GET /console`: the first page, or the log-in."""
        return await self.gate.answering.at_once(request, lambda: self._start(request))

    async def enter(self, request: Request) -> Response:
        """`POST /console/login`: open a session, if the token is right."""
        return await self.gate.answering.at_once(request, lambda: self._enter(request))

    async def leave(self, visit: Visit) -> Response:
        """End the session."""
        keep_s = max(1, int((visit.session.ends_at - utc_now()).total_seconds()))
        records = visit.parts.first_account.store.console
        await records.end_session(visit.session.session_id, keep_s=keep_s)
        await visit.audit("log out")
        response = redirect(PREFIX)
        response.delete_cookie(COOKIE, path=PREFIX)
        return response

    def _first_page(self) -> str:
        return page_url(self.gate.parts.first_account.settings.account, "overview")

    async def _start(self, request: Request) -> Response:
        if await self.gate.session_of(request) is None:
            return self.gate.login_form.show(request)
        return redirect(self._first_page())

    async def _enter(self, request: Request) -> Response:
        login_form = self.gate.login_form
        attempt = await login_form.read(request)
        wait_page = login_form.wait(request, attempt)
        if wait_page is not None:
            return wait_page
        parts = self.gate.parts
        match = parts.sessions.role_of(attempt.token)
        if match is None:
            return login_form.refuse(request, attempt, fault=WRONG)
        login_form.accept(attempt)
        session, cookie = parts.sessions.open(*match, utc_now())
        await audit(
            parts.first_account.store,
            ConsoleAction(
                at=utc_now(),
                action="log in",
                role=session.role.value,
                session=session.shown_id,
                address=attempt.address,
            ),
        )
        target = attempt.target
        if not target.startswith(f"{PREFIX}/"):
            target = self._first_page()
        response = redirect(target)
        login_form.set_cookie(
            request, response, COOKIE, cookie, max_age_s=int(LASTS.total_seconds())
        )
        return response
