"""
The console put together: its accounts, its routes, and its end.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Self

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.receiver.admin_guard import AdminGuard
from service.receiver.app import Addition
from service.receiver.public_url import PublicUrlResolver
from service.settings import Installation
from service.store.connection import open_store
from workers.console import call_page, calls, overview, refused, replays, rules, work_lists
from workers.console.gate import Endpoint, Gate, fault_page
from workers.console.login import Login
from workers.console.pages import PREFIX, asset, redirect
from workers.console.parts import ConsoleAccount, ConsoleParts
from workers.console.sessions import Sessions

# Method, path below the account, and endpoint.
PAGES: Sequence[tuple[str, str, Endpoint]] = (
    ("GET", "overview", overview.show),
    ("GET", "calls", calls.show),
    ("GET", "call", call_page.show),
    ("POST", "call/reveal", call_page.reveal),
    ("POST", "call/export", call_page.export),
    ("POST", "call/link", call_page.link),
    ("POST", "calls/replay", replays.replay_calls),
    ("GET", "failed", work_lists.failed),
    ("POST", "failed/replay", replays.replay_failed),
    ("POST", "failed/discard", work_lists.discard),
    ("GET", "unmatched", work_lists.unmatched),
    ("GET", "stalled", work_lists.stalled),
    ("GET", "refused", refused.show),
    ("GET", "rules", rules.show),
    ("POST", "rules/preview", rules.preview),
    ("POST", "rules/install", rules.install_map),
    ("GET", "actions", work_lists.actions),
)


class Console(Struct, frozen=True):
    """The console of an installation, to be mounted on an application."""

    parts: ConsoleParts
    has_own_port: bool = False

    @classmethod
    def of(cls, installation: Installation) -> Self:
        """
        Open it for every account; Redis is connected on first use, by connections that the receiver
        does not share.
        """
        settings = installation.default
        accounts = {
            account.account: ConsoleAccount(account, open_store(account, role="cli"))
            for account in installation.accounts
        }
        public_url = PublicUrlResolver.of(settings)
        parts = ConsoleParts(
            accounts=accounts,
            sessions=Sessions.of(settings),
            guard=AdminGuard(trusted=public_url.trusted),
            is_secure=settings.base_url.startswith("https:") and settings.console_port is None,
            toml_file=installation.toml_file,
        )
        return cls(parts, settings.console_port is not None)

    def addition(self) -> Addition:
        """What it adds to the receiver: its routes there, or at a port of its own."""
        if not self.has_own_port:
            return Addition(self.routes(), self.close)
        side_routes = [Route("/", _to_console, methods=["GET"]), *self.routes()]
        return Addition(close=self.close, side_routes=side_routes)

    def routes(self) -> list[BaseRoute]:
        """Its routes, all below `/console`."""
        gate = Gate.of(self.parts)
        login = Login(gate)
        return [
            Route(PREFIX, login.start, methods=["GET"]),
            Route(f"{PREFIX}/", login.start, methods=["GET"]),
            Route(f"{PREFIX}/login", login.start, methods=["GET"]),
            Route(f"{PREFIX}/login", login.enter, methods=["POST"]),
            Route(f"{PREFIX}/assets/{{name}}", _send_asset, methods=["GET"]),
            *(
                Route(f"{PREFIX}/{{account}}/{path}", gate.guarded(endpoint), methods=[method])
                for method, path, endpoint in (*PAGES, ("POST", "logout", login.leave))
            ),
            Route(f"{PREFIX}/{{path:path}}", _no_such_page),
        ]

    async def close(self) -> None:
        """Close its connections."""
        for account in self.parts.accounts.values():
            await account.store.close()


async def _to_console(_: Request) -> Response:
    return redirect(PREFIX)


async def _send_asset(request: Request) -> Response:
    response = asset(str(request.path_params["name"]))
    if response is None:
        return await _no_such_page(request)
    return response


async def _no_such_page(_: Request) -> Response:
    return fault_page(HTTPStatus.NOT_FOUND, "There is no such page.")
