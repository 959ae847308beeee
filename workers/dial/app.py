"""
The dial page put together: its accounts, its routes, and its end.
"""

from http import HTTPStatus
from typing import Self

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.receiver.admin_guard import AdminGuard
from service.receiver.public_url import PublicUrlResolver
from service.settings import Installation
from service.store.connection import open_store
from workers.dial import calls
from workers.dial.pages import PREFIX, asset_of, fault_page
from workers.dial.visits import DialAccount, Visits


class DialPage(Struct, frozen=True):
    """The dial page of an installation, to be mounted on an application."""

    visits: Visits

    @classmethod
    def of(cls, installation: Installation) -> Self:
        """Open it for every account with a dialler; Redis is connected on first use."""
        settings = installation.default
        accounts = {
            account.account: DialAccount(account, open_store(account, role="cli"))
            for account in installation.accounts
            if account.dialler is not None
        }
        visits = Visits.of(
            accounts,
            guard=AdminGuard(trusted=PublicUrlResolver.of(settings).trusted),
            is_secure=settings.base_url.startswith("https:"),
        )
        return cls(visits)

    def routes(self) -> list[BaseRoute]:
        """Its routes, all below `/dial`; none if no account has a dialler."""
        if not self.visits.accounts:
            return []
        guarded = self.visits.guarded
        return [
            Route(PREFIX, guarded(calls.show), methods=["GET"]),
            Route(f"{PREFIX}/call", guarded(calls.call), methods=["POST"]),
            Route(f"{PREFIX}/bookmark", guarded(calls.bookmark), methods=["GET"]),
            Route(f"{PREFIX}/login", self.visits.start, methods=["GET"]),
            Route(f"{PREFIX}/login", self.visits.enter, methods=["POST"]),
            Route(f"{PREFIX}/logout", guarded(self.visits.leave), methods=["POST"]),
            Route(f"{PREFIX}/assets/{{name}}", _send_asset, methods=["GET"]),
            Route(f"{PREFIX}/{{path:path}}", _no_such_page),
        ]

    async def close(self) -> None:
        """Close its connections."""
        for account in self.visits.accounts.values():
            await account.store.close()


async def _send_asset(request: Request) -> Response:
    response = asset_of(str(request.path_params["name"]))
    if response is None:
        return await _no_such_page(request)
    return response


async def _no_such_page(_: Request) -> Response:
    return fault_page(HTTPStatus.NOT_FOUND, "There is no such page.")
