"""
A port of its own for pages that are beside the receiver: what arrives there reaches nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.receiver.problems import ServerErrorMiddleware, handlers


@dataclass(frozen=True, slots=True)
class ByPort:
    """An application for what arrives at one port, and another for everything else."""

    app: ASGIApp
    side: ASGIApp
    port: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, by the port at which it arrived."""
        # That of the socket, and not that of the Host header, which the sender chooses.
        server = scope.get("server")
        if scope["type"] == "http" and server is not None and server[1] == self.port:
            await self.side(scope, receive, send)
            return
        await self.app(scope, receive, send)


def side_app(routes: Sequence[BaseRoute]) -> Starlette:
    """The application of a side port; its parts live and end with the receiver's."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(ServerErrorMiddleware)],
        exception_handlers=handlers(),
    )
    app.router.redirect_slashes = False
    return app
