"""
Logging in to the console and out of it.
"""

import hashlib
import math
from http import HTTPStatus

import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.logs.events import LogEvent
from service.store.console import ConsoleAction
from workers.console.answering import SMALL_BODY, read_form
from workers.console.gate import Gate
from workers.console.pages import PREFIX, redirect
from workers.console.parts import Visit, audit, page_url
from workers.console.sessions import COOKIE, LASTS, VISITOR_COOKIE

WRONG = "This is neither CONSOLE_TOKEN nor CONSOLE_READ_TOKEN."

log = structlog.get_logger(__name__)


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
            return self.gate.login_page(request)
        return redirect(self._first_page())

    async def _enter(self, request: Request) -> Response:
        parts = self.gate.parts
        form = await read_form(request, SMALL_BODY)
        self.gate.check_form(request, form, browser_id=request.cookies.get(VISITOR_COOKIE, ""))
        target = form.get("target", [""])[0]
        token = form.get("token", [""])[0].strip()
        digest = hashlib.sha256(token.encode()).digest()
        address = parts.address_of(request)
        wait_s = parts.guard.wait_s(address, digest)
        if wait_s > 0:
            log.warning(LogEvent.CONSOLE_REFUSED, client=address, reason="too many wrong tokens")
            seconds = math.ceil(wait_s)
            return self.gate.login_page(
                request,
                target=target,
                fault=f"Too many wrong tokens came from your address. Wait for {seconds} s.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                headers={"Retry-After": str(seconds)},
            )
        match = parts.sessions.role_of(token)
        if match is None:
            parts.guard.note_failure(address)
            log.warning(LogEvent.CONSOLE_REFUSED, client=address, reason="a wrong token")
            return self.gate.login_page(
                request, target=target, fault=WRONG, status=HTTPStatus.UNAUTHORIZED
            )
        parts.guard.note_success(address, digest)
        session, cookie = parts.sessions.open(*match, utc_now())
        await audit(
            parts.first_account.store,
            ConsoleAction(
                at=utc_now(),
                action="log in",
                role=session.role.value,
                session=session.shown_id,
                address=address,
            ),
        )
        if not target.startswith(f"{PREFIX}/"):
            target = self._first_page()
        response = redirect(target)
        self.gate.set_cookie(
            request, response, COOKIE, cookie, max_age_s=int(LASTS.total_seconds())
        )
        return response
