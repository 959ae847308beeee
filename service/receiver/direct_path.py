"""
The short way of webhooks: from the server to their endpoint, without Starlette's router.

Starlette tries its routes one after the other, inside three layers that catch errors; for most
requests that takes longer than their proof.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from service.receiver.direct_webhooks import DirectWebhooks
from service.receiver.exchange import Exchange

PREFIX: Final = "/webhooks/"
# Before the token.
MARKER: Final = "t"
# The parts of `WEBHOOK_PATHS`, by their number.
SHAPES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("source",),
    2: ("account", "source"),
    3: ("source", MARKER, "token"),
    4: ("account", "source", MARKER, "token"),
}


class ReceiverApp(Starlette):
    """
    The application, with a short way for webhooks of known sources; everything else goes through
    the router, which leads to the same endpoint.
    """

    webhooks: ASGIApp
    direct_webhooks: DirectWebhooks
    slugs: frozenset[str]

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """
        Take a request that has arrived as a whole, to be answered by `exchange`; False if it is to
        be handled by a call of this application.
        """
        if scope.get("root_path"):
            return False
        path_params = _read_webhook_path(scope["path"], self.slugs)
        if path_params is None:
            return False
        scope["app"] = self
        scope["path_params"] = path_params
        return self.direct_webhooks.begin(scope, body, exchange)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the lifespan."""
        if scope["type"] == "http" and not scope.get("root_path"):
            path_params = read_webhook_path(scope["path"], self.slugs)
            if path_params is not None:
                scope["app"] = self
                scope["path_params"] = path_params
                await self.webhooks(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


@lru_cache(maxsize=64)
def _read_webhook_path(path: str, slugs: frozenset[str]) -> Mapping[str, str] | None:
    """The same, of few different paths; do not change what is returned."""
    return read_webhook_path(path, slugs)


def read_webhook_path(path: str, slugs: Collection[str]) -> Mapping[str, str] | None:
    """
    The parts of a path by their names in `WEBHOOK_PATHS`; None for one that the router has to look
    at.
    """
    if not path.startswith(PREFIX):
        return None
    parts = path[len(PREFIX) :].removesuffix("/").split("/")
    path_params = dict(zip(SHAPES.get(len(parts), ()), parts, strict=False))
    if path_params.get("source") not in slugs or path_params.pop(MARKER, MARKER) != MARKER:
        return None
    if not all(parts):
        return None
    return path_params
