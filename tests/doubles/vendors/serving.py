"""
A vendor's API on a free port of this machine: what was received of it, faults to come, and the way
to the receiver.
"""

import asyncio
import base64
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.workers.sandbox.live import serve_on_loopback

Reach = Callable[[str, Mapping[str, str], bytes], Awaitable[httpx.Response]]


@dataclass
class Fault:
    """
    How requests are answered in place of what was received; `match` is a part of method and path.

    Where it `is_done`, what was received is done all the same: the answer is lost on its way.
    """

    match: str = ""
    status: int = 500
    body: bytes = b"{}"
    delay_s: float = 0
    times: int = 1
    is_done: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ReceivedRequest:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes

    @property
    def line(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


@dataclass
class StandIn:
    """What all stand-ins share; `reach` sends to the receiver as the vendor would."""

    reach: Reach | None = None
    faults: list[Fault] = field(default_factory=list)
    received: list[ReceivedRequest] = field(default_factory=list)
    delay_s: float = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        body = await request.body()
        requests = ReceivedRequest(
            request.method, request.url.path, dict(request.query_params), body
        )
        self.received.append(requests)
        fault = next(
            (item for item in self.faults if item.times > 0 and item.match in requests.line), None
        )
        response = None
        if fault is None or fault.is_done:
            await asyncio.sleep(self.delay_s)
            response = await self.answer(requests, request.headers)
        if fault is not None:
            fault.times -= 1
            await asyncio.sleep(fault.delay_s)
            response = Response(
                fault.body,
                status_code=fault.status,
                headers={"location": "http://127.0.0.1:9/", **fault.headers},
            )
        assert response is not None
        await response(scope, receive, send)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """What the vendor answers."""
        raise NotImplementedError

    @property
    def changes(self) -> list[str]:
        """The requests that changed something, tokens left out."""
        return [
            item.line for item in self.received if item.method != "GET" and "token" not in item.path
        ]


def is_basic(headers: Mapping[str, str], user: str, password: str) -> bool:
    """Whether a request has these credentials."""
    return (
        headers.get("authorization")
        == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    )


def refuse(status: int, body: object) -> Response:
    """An error as JSON."""
    return JSONResponse(body, status_code=status)


def running(
    app: ASGIApp, *, lifespan: Literal["on", "off"] = "off"
) -> AbstractAsyncContextManager[str]:
    """A stand-in that listens; gives its URL."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan=lifespan, timeout_graceful_shutdown=1
    )
    return serve_on_loopback(uvicorn.Server(config))


@contextmanager
def listening(standin: ASGIApp, *, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """
    A stand-in in a thread of its own, where the event loop is somebody else's, or there is none.
    """
    ready = threading.Event()
    ended = threading.Event()
    urls = [""]

    async def serve() -> None:
        async with running(standin, lifespan=lifespan) as urls[0]:
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield urls[0]
    finally:
        ended.set()
        thread.join()
