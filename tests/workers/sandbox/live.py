"""
A sandbox behind a real server on a free port of this machine, and one without any network.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from workers.sandbox import SandboxConfig, create_sandbox, make_server

READY = {"Authorization": "Bearer sandbox-token"}
START_NS = 1_800_000_000 * 10**9


@dataclass
class Clock:
    """A clock that is fixed until it is moved."""

    now_ns: int = START_NS

    def __call__(self) -> int:
        """Nanoseconds since 1970."""
        return self.now_ns

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 10**9)


async def wait_until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, for 20 seconds at most."""
    async with asyncio.timeout(20):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.005)


def running(config: SandboxConfig) -> AbstractAsyncContextManager[str]:
    """A sandbox that listens; gives its URL."""
    return serve_on_loopback(make_server(config))


@asynccontextmanager
async def serve_on_loopback(server: uvicorn.Server) -> AsyncIterator[str]:
    """Let a server listen on a free port; gives its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def is_up() -> bool:
        return server.started or serving.done()

    await wait_until(is_up)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
        # What still waits to be sent is for nobody, and would outlive the event loop.
        for protocol in list(server.server_state.connections):
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)


def inside(
    config: SandboxConfig,
    clock: Callable[[], int],
    *,
    peer: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> httpx.AsyncClient:
    """A client that speaks to a sandbox in this process."""
    transport = httpx.ASGITransport(create_sandbox(config, clock=clock), client=(peer, 40_000))
    return httpx.AsyncClient(
        transport=transport,
        base_url="http://sandbox.test",
        headers=READY if headers is None else headers,
    )
