"""
The short way of webhooks leads where the router would.
"""

import pytest
from starlette.responses import Response
from starlette.routing import Match, Route

from service.receiver.app import WEBHOOK_PATHS
from service.receiver.direct_path import read_webhook_path

SLUGS = frozenset({"standard", "t"})
ROUTES = [Route(path + slash, Response()) for path in WEBHOOK_PATHS for slash in ("", "/")]
PATHS = (
    "/webhooks/standard",
    "/webhooks/standard/",
    "/webhooks/standard/t/0123",
    "/webhooks/standard/t/0123/",
    "/webhooks/sales/standard",
    "/webhooks/sales/standard/",
    "/webhooks/sales/standard/t/0123",
    "/webhooks/t/t",
    "/webhooks/t/t/t",
    "/webhooks/t/t/t/t/",
    "/webhooks/t/standard",
    "/webhooks/standard/t/",
    "/webhooks/a b/standard",
)
OTHERS = (
    "/",
    "/webhooks",
    "/webhooks/",
    "/webhooks//",
    "/webhooks//standard",
    "/webhooks/standard//",
    "/webhooks/standard/u/0123",
    "/webhooks/buildr",
    "/webhooks/sales/buildr",
    "/webhooks/buildr/t/0123",
    "/webhooks/sales/x/standard/t",
    "/x/webhooks/standard",
    "/links/standard",
)


@pytest.mark.parametrize("path", PATHS)
def test_parts_of_a_path_are_those_of_the_router(path: str) -> None:
    """A path of a known source gives the same account, source and token both ways."""
    assert _by_router(path) == read_webhook_path(path, SLUGS)


@pytest.mark.parametrize("path", OTHERS)
def test_router_looks_at_everything_else(path: str) -> None:
    """No path of another kind, or of a source that is not known, takes the short way."""
    assert read_webhook_path(path, SLUGS) is None


def _by_router(path: str) -> dict[str, str] | None:
    scope = {"type": "http", "path": path, "method": "POST"}
    for route in ROUTES:
        match, child = route.matches(scope)
        if match is Match.FULL:
            path_params: dict[str, str] = child["path_params"]
            return path_params
    return None
