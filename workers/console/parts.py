"""
What the pages of the console share: the accounts, who is logged in, and one request.
"""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import structlog
from msgspec import Struct, field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.clock import utc_now
from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.receiver.requests import read_headers
from service.settings import Settings
from service.settings.reading import TomlFile
from service.store.connection import Store
from service.store.console import ConsoleAction
from workers.console.pages import PREFIX, page
from workers.console.sessions import Session, Sessions

# The navigation: the page's name in addresses, and its title.
PAGES: Final[tuple[tuple[str, str], ...]] = (
    ("overview", "Overview"),
    ("calls", "Calls"),
    ("failed", "Failed"),
    ("unmatched", "Unmatched"),
    ("stalled", "Stalled"),
    ("refused", "Refused"),
    ("rules", "Rules"),
    ("actions", "Actions"),
)

log = structlog.get_logger(__name__)


class ConsoleAccount(Struct, frozen=True):
    """One account, with connections to Redis of the console's own."""

    settings: Settings
    store: Store


class ConsoleParts(Struct, frozen=True, kw_only=True):
    """
    What all requests share. `first_account` is the one that a log-in leads to; `is_secure` keeps
    cookies off plain http. `toml_file` is the file that the settings were read from.
    """

    accounts: Mapping[str, ConsoleAccount]
    sessions: Sessions
    guard: AdminGuard
    is_secure: bool
    toml_file: TomlFile | None = None
    # A preview folds thousands of calls: one at a time leaves the processor to webhooks.
    preview_room: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def first_account(self) -> ConsoleAccount:
        """The first of the installation."""
        return next(iter(self.accounts.values()))

    def address_of(self, request: Request) -> str:
        """Where a request comes from."""
        return self.guard.address(request.scope, read_headers(request.scope))


class Visit(Struct, frozen=True, kw_only=True):
    """One request of somebody who is logged in; `form` is what a form sent, each field a list."""

    parts: ConsoleParts
    account: ConsoleAccount
    session: Session
    request: Request
    form: Mapping[str, list[str]]

    @property
    def store(self) -> Store:
        """The records of the account."""
        return self.account.store

    @property
    def settings(self) -> Settings:
        """The settings of the account."""
        return self.account.settings

    def query(self, name: str) -> str:
        """A parameter of the address, without blanks around it; empty if it is not there."""
        return self.request.query_params.get(name, "").strip()

    def field(self, name: str) -> str:
        """A field of the form, without blanks around it; empty if it is not there."""
        return self.form.get(name, [""])[0].strip()

    def url(self, name: str, **parameters: str) -> str:
        """The address of a page of this account, with the parameters that are not empty."""
        return page_url(self.settings.account, name, **parameters)

    def check_operator(self) -> None:
        """Raises 403 if this session may only look."""
        if not self.session.is_operator:
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                "This session may only look. Log in with CONSOLE_TOKEN to change something.",
            )

    async def audit(self, action: str, *, target: str = "", detail: str = "") -> None:
        """Keep an action in the list and in the log. Raises redis-py's errors."""
        address = self.parts.address_of(self.request)
        await audit(
            self.store,
            ConsoleAction(
                at=utc_now(),
                action=action,
                role=self.session.role.value,
                session=self.session.shown_id,
                address=address,
                target=target,
                detail=detail,
            ),
        )

    def page(
        self, name: str, title: str, *, status_code: int = HTTPStatus.OK, **context: object
    ) -> Response:
        """The page of a template, with what is around it; `name` is also its place in the menu."""
        template = str(context.pop("template", f"{name}.html"))
        shared = {
            "title": title,
            "current": name,
            "pages": PAGES,
            "account": self.settings.account,
            "accounts": tuple(self.parts.accounts),
            "session": self.session,
            "form_token": self.parts.sessions.form_token(self.session.session_id),
            "url": self.url,
            "prefix": PREFIX,
            "now": utc_now(),
        }
        return page(template, {**shared, **context}, status=status_code)


async def audit(store: Store, action: ConsoleAction) -> None:
    """Keep an action in the list and in the log. Raises redis-py's errors."""
    log.info(
        LogEvent.CONSOLE_ACTION,
        account=store.account,
        action=action.action,
        role=action.role,
        session=action.session,
        client=action.address,
        target=action.target,
        detail=action.detail,
    )
    await store.console.add(action)


def page_url(account: str, name: str, **parameters: str) -> str:
    """The address of a page of an account, with the parameters that are not empty."""
    path = f"{PREFIX}/{account}/{name}"
    query = urlencode({key: value for key, value in parameters.items() if value})
    if not query:
        return path
    return f"{path}?{query}"
