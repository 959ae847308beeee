"""
Who is at the dial page: logging in with a personal token, the session, and out again.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self

import structlog
from msgspec import Struct
from msgspec import field as struct_field
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.settings import Settings
from service.store.connection import Store
from service.store.dial_tokens import DialToken
from workers.console.answering import SMALL_BODY, Answering, Form, read_form
from workers.console.login_form import LoginForm
from workers.console.pages import redirect
from workers.dial.pages import PREFIX, fault_page, page

COOKIE: Final = "buildr_calls_dial"
# Of a browser that has not logged in yet, so that the log-in form has a token too.
VISITOR_COOKIE: Final = "buildr_calls_dial_visitor"
# A rep logs in once a month; who leaves is revoked at once.
LASTS_S: Final = 30 * 24 * 3600
WRONG: Final = "This is no personal token, or it was withdrawn. Ask for a new link."

log = structlog.get_logger(__name__)


class DialForms(Struct, frozen=True):
    """The tokens of forms: nobody can make one who does not have the browser's cookie."""

    def form_token(self, browser_id: str) -> str:
        """What the forms of a session, or of a browser that has none yet, hold."""
        return hashlib.sha256(b"buildr-calls dial form\0" + browser_id.encode()).hexdigest()

    def is_form_token(self, browser_id: str, token: str) -> bool:
        """Whether a form is one of a browser's."""
        return hmac.compare_digest(self.form_token(browser_id).encode(), token.encode())


FORMS: Final = DialForms()


class DialAccount(Struct, frozen=True):
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
        shared = {
            "title": title,
            "person": self.person,
            "form_token": FORMS.form_token(self.secret),
        }
        return page(template, {**shared, **context}, status=status)


Endpoint = Callable[[DialVisit], Awaitable[Response]]


class Visits(Struct, frozen=True, kw_only=True):
    """Lets people in. `accounts` by name are those with a dialler."""

    accounts: Mapping[str, DialAccount]
    login_form: LoginForm
    answering: Answering = struct_field(default_factory=lambda: Answering(fault_page))

    @classmethod
    def of(cls, accounts: Mapping[str, DialAccount], *, guard: AdminGuard, is_secure: bool) -> Self:
        """`guard` slows down who guesses tokens; `is_secure` keeps cookies off plain http."""
        login_form = LoginForm(
            prefix=PREFIX,
            page=page,
            tokens=FORMS,
            guard=guard,
            visitor_cookie=VISITOR_COOKIE,
            # Not strict: the bookmark opens this page from a page of Buildr. A form of another
            # site is sent without it all the same.
            same_site="lax",
            is_secure=lambda _: is_secure,
            refused=LogEvent.DIAL_REFUSED,
        )
        return cls(accounts=accounts, login_form=login_form)

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint for those who are logged in; the others are led to the log-in."""

        async def enter(request: Request) -> Response:
            return await self.answering.at_once(request, lambda: self._visit(request, endpoint))

        return enter

    async def start(self, request: Request) -> Response:
        """`GET /dial/login`: the log-in, where a personal link leads to."""
        return self.login_form.show(request)

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
            return self.login_form.show(request, target=_target_of(request))
        form: Form = {}
        if request.method == "POST":
            form = await read_form(request, SMALL_BODY)
            self.login_form.check(request, form, browser_id=secret)
        visit = DialVisit(account=account, person=person, secret=secret, request=request, form=form)
        return await endpoint(visit)

    async def _enter(self, request: Request) -> Response:
        attempt = await self.login_form.read(request)
        # Somebody may paste the whole link.
        attempt = replace(attempt, token=attempt.token.rpartition("#token=")[2])
        wait_page = self.login_form.wait(request, attempt)
        if wait_page is not None:
            return wait_page
        name, _, secret = attempt.token.partition(".")
        account = self.accounts.get(name)
        person = None
        if account is not None:
            person = await account.store.dial_tokens.find(secret)
        if account is None or person is None:
            return self.login_form.refuse(request, attempt, fault=WRONG)
        self.login_form.accept(attempt)
        session = await account.store.dial_tokens.open_session(
            person, now=utc_now(), keep_s=LASTS_S
        )
        log.info(LogEvent.DIAL_LOG_IN, account=name, token=person.token_id, client=attempt.address)
        target = attempt.target
        if not target.startswith(f"{PREFIX}?"):
            target = PREFIX
        response = redirect(target)
        self.login_form.set_cookie(
            request, response, COOKIE, f"{name}.{session}", max_age_s=LASTS_S
        )
        return response


def _target_of(request: Request) -> str:
    if request.method == "GET" and request.url.path == PREFIX and request.url.query:
        return f"{PREFIX}?{request.url.query}"
    return ""
