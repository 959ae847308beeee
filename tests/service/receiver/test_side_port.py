"""
The console at a port of its own.
"""

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from service.receiver.exchange import Exchange
from service.receiver.listening import listen
from service.receiver.server import all_sockets
from service.receiver.side_port import ByPort, side_app
from service.settings import Settings

CONSOLE_TOKEN = "operator-token-of-the-tests"


async def _name(request: Request) -> Response:
    return PlainTextResponse(request.url.path)


async def test_each_port_has_its_own_pages() -> None:
    """Over real sockets; a Host header of the other port changes nothing."""
    main = socket.create_server(("127.0.0.1", 0))
    side = socket.create_server(("127.0.0.1", 0))
    port = int(side.getsockname()[1])
    app = ByPort(side_app([Route("/main", _name)]), side_app([Route("/side", _name)]), port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[main, side]))
    statuses = []
    async with httpx.AsyncClient() as client:
        for listener in (main, side):
            for path in ("/main", "/side"):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
                response = await client.get(url, headers={"Host": f"127.0.0.1:{port}"})
                statuses.append(response.status_code)
    server.should_exit = True
    await serving
    assert [HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.NOT_FOUND, HTTPStatus.OK] == statuses


class _Direct(Starlette):
    """An application that takes whole requests."""

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """Take each."""
        return True


def test_whole_requests_take_the_direct_way_of_the_main_port_only() -> None:
    """As they would without a port beside it."""
    exchange = cast("Exchange", None)
    ways = [
        ByPort(app, side_app([]), 9000).begin({"server": ("127.0.0.1", port)}, b"", exchange)
        for app in (_Direct(), side_app([]))
        for port in (8000, 9000)
    ]
    assert [True, False, False, False] == ways


def test_the_port_is_listened_on_once(make_settings: Callable[..., Settings]) -> None:
    """Beside sockets that are given, unless it is one of them; and only for a console."""
    with listen("127.0.0.1", 0) as given, listen("127.0.0.1", 0) as free:
        port = str(free.getsockname()[1])
        free.close()
        settings = make_settings(CONSOLE_TOKEN=CONSOLE_TOKEN, CONSOLE_PORT=port)
        sockets = all_sockets(settings, [given])
        assert [given, sockets[-1]] == sockets
        assert sockets == all_sockets(settings, sockets)
        sockets[-1].close()
        assert [given] == all_sockets(make_settings(CONSOLE_PORT=port), [given])
        assert [given] == all_sockets(make_settings(CONSOLE_TOKEN=CONSOLE_TOKEN), [given])


def test_a_port_that_is_taken_is_named_by_its_setting(
    make_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    with listen("127.0.0.1", 0) as given, listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        settings = make_settings(CONSOLE_TOKEN=CONSOLE_TOKEN, CONSOLE_PORT=port)
        with pytest.raises(SystemExit):
            all_sockets(settings, [given])
    assert "Choose another with CONSOLE_HOST and CONSOLE_PORT." in capsys.readouterr().err
