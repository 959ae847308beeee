"""
A port of its own for pages that are beside the receiver: what arrives there reaches nothing else.
"""

from collections.abc import Sequence

from msgspec import Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.receiver.exchange import Exchange
from service.receiver.overload import DirectWay
from service.receiver.problems import ServerErrorMiddleware, handlers


class ByPort(Struct, frozen=True):
    """An application for what arrives at one port, and another for everything else."""

    app: ASGIApp
    side: ASGIApp
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, by the port at which it arrived."""
        if scope["type"] == "http" and self._is_beside(scope):
            await self.side(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """Pass a request on that has arrived as a whole; False if it has to take the other way."""
        begin: DirectWay | None = getattr(self.app, "begin", None)
        if begin is None or self._is_beside(scope):
            return False
        return begin(scope, body, exchange)

    def _is_beside(self, scope: Scope) -> bool:
        # That of the socket, and not that of the Host header, which the sender chooses.
        server = scope.get("server")
        return server is not None and server[1] == self.port


def side_app(routes: Sequence[BaseRoute]) -> Starlette:
    """The application of a side port; its parts live and end with the receiver's."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(ServerErrorMiddleware)],
        exception_handlers=handlers(),
    )
    app.router.redirect_slashes = False
    return app
