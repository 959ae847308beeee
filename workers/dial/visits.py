"""
Who is at the dial page: logging in with a personal token, the session, and out again.
"""

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.receiver.requests import read_headers
from service.settings import Settings
from service.store.connection import Store
from service.store.dial_tokens import DialToken
from workers.console.answering import (
    SMALL_BODY,
    Answering,
    Form,
    is_of_another_site,
    read_form,
)
from workers.console.pages import redirect
from workers.dial.pages import PREFIX, fault_page, page

COOKIE: Final = "buildr_calls_dial"
# Of a browser that has not logged in yet, so that the log-in form has a token too.
VISITOR_COOKIE: Final = "buildr_calls_dial_visitor"
VISITOR_ID: Final = re.compile("[0-9a-f]{32}")
# A rep logs in once a month; who leaves is revoked at once.
LASTS_S: Final = 30 * 24 * 3600
NOT_OURS: Final = "This form is not from this page, or it is too old. Load its page again."
WRONG: Final = "This is no personal token, or it was withdrawn. Ask for a new link."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DialAccount:
    """One account that has a dialler, with connections to Redis of its own."""

    settings: Settings
    store: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class DialVisit:
    """One request of a rep who is logged in; `form` is what a form sent, each field a list."""

    account: DialAccount
    person: DialToken
    secret: str = field(repr=False)
    request: Request
    form: Form

    def sent(self, name: str) -> str:
        """A field of the form, without blanks around it; empty if it is not there."""
        return self.form.get(name, [""])[0].strip()

    def page(
        self, template: str, title: str, *, status: int = HTTPStatus.OK, **context: object
    ) -> Response:
        """A page of a template."""
        shared = {"title": title, "person": self.person, "form_token": _form_token(self.secret)}
        return page(template, {**shared, **context}, status=status)


Endpoint = Callable[[DialVisit], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """
    Lets people in. `accounts` by name are those with a dialler; `is_secure` keeps cookies off plain
    http.
    """

    accounts: Mapping[str, DialAccount]
    guard: AdminGuard
    is_secure: bool
    answering: Answering = field(default_factory=lambda: Answering(fault_page))

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are logged in; the others are led to the log-in."""

        async def enter(request: Request) -> Response:
            return await self.answering.at_once(request, lambda: self._visit(request, endpoint))

        return enter

    async def start(self, request: Request) -> Response:
        """`GET /dial/login`: the log-in, where a personal link leads to."""
        return self._login_page(request)

    async def enter(self, request: Request) -> Response:
        """`POST /dial/login`: open a session, if the token is right."""
        return await self.answering.at_once(request, lambda: self._enter(request))

    async def leave(self, visit: DialVisit) -> Response:
        """End the session."""
        await visit.account.store.dial_tokens.end_session(visit.secret)
        response = redirect(f"{PREFIX}/login")
        response.delete_cookie(COOKIE, path=PREFIX)
        return response

    async def _visit(self, request: Request, endpoint: Endpoint) -> Response:
        name, _, secret = request.cookies.get(COOKIE, "").partition(".")
        account = self.accounts.get(name)
        person = None
        if account is not None:
            person = await account.store.dial_tokens.of_session(secret)
        if account is None or person is None:
            return self._login_page(request, target=_target_of(request))
        form: Form = {}
        if request.method == "POST":
            form = await read_form(request, SMALL_BODY)
            _check_form(request, form, secret=secret)
        visit = DialVisit(account=account, person=person, secret=secret, request=request, form=form)
        return await endpoint(visit)

    async def _enter(self, request: Request) -> Response:
        form = await read_form(request, SMALL_BODY)
        _check_form(request, form, secret=request.cookies.get(VISITOR_COOKIE, ""))
        target = form.get("target", [""])[0]
        token = form.get("token", [""])[0].strip()
        # Somebody may paste the whole link.
        token = token.rpartition("#token=")[2]
        digest = hashlib.sha256(token.encode()).digest()
        address = self.guard.address(request.scope, read_headers(request.scope))
        wait_s = self.guard.wait_s(address, digest)
        if wait_s > 0:
            return self._refuse_for_a_while(request, address, math.ceil(wait_s), target=target)
        name, _, secret = token.partition(".")
        account = self.accounts.get(name)
        person = None
        if account is not None:
            person = await account.store.dial_tokens.find(secret)
        if account is None or person is None:
            self.guard.note_failure(address)
            log.warning(LogEvent.DIAL_REFUSED, client=address, reason="a wrong token")
            return self._login_page(
                request, target=target, fault=WRONG, status=HTTPStatus.UNAUTHORIZED
            )
        self.guard.note_success(address, digest)
        session = await account.store.dial_tokens.open_session(
            person, now=utc_now(), keep_s=LASTS_S
        )
        log.info(LogEvent.DIAL_LOG_IN, account=name, token=person.token_id, client=address)
        if not target.startswith(f"{PREFIX}?"):
            target = PREFIX
        response = redirect(target)
        self._set_cookie(response, COOKIE, f"{name}.{session}", max_age_s=LASTS_S)
        return response

    def _refuse_for_a_while(
        self, request: Request, address: str, seconds: int, *, target: str
    ) -> Response:
        log.warning(LogEvent.DIAL_REFUSED, client=address, reason="too many wrong tokens")
        return self._login_page(
            request,
            target=target,
            fault=f"Too many wrong tokens came from your address. Wait for {seconds} s.",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            headers={"Retry-After": str(seconds)},
        )

    def _login_page(
        self,
        request: Request,
        *,
        target: str = "",
        fault: str = "",
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        visitor_id = request.cookies.get(VISITOR_COOKIE, "")
        if VISITOR_ID.fullmatch(visitor_id) is None:
            visitor_id = secrets.token_hex(16)
        context = {
            "title": "Log in",
            "target": target,
            "fault": fault,
            "form_token": _form_token(visitor_id),
        }
        response = page("login.html", context, status=status, headers=headers)
        self._set_cookie(response, VISITOR_COOKIE, visitor_id)
        return response

    def _set_cookie(
        self, response: Response, name: str, value: str, *, max_age_s: int | None = None
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path=PREFIX,
            secure=self.is_secure,
            httponly=True,
            # Not strict: the bookmark opens this page from a page of Buildr. A form of another
            # site is sent without it all the same.
            samesite="lax",
        )


def _target_of(request: Request) -> str:
    if request.method == "GET" and request.url.path == PREFIX and request.url.query:
        return f"{PREFIX}?{request.url.query}"
    return ""


def _form_token(secret: str) -> str:
    """What the forms of a session hold: nobody can make it who does not have its cookie."""
    return hashlib.sha256(b"buildr-calls dial form\0" + secret.encode()).hexdigest()


def _check_form(request: Request, form: Form, *, secret: str) -> None:
    """Raises 403 unless the form is one of ours, sent from a page of ours."""
    token = form.get("form_token", [""])[0]
    is_ours = hmac.compare_digest(_form_token(secret).encode(), token.encode())
    if not secret or not is_ours or is_of_another_site(request):
        raise HTTPException(HTTPStatus.FORBIDDEN, NOT_OURS)
