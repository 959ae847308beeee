"""
A small ASGI application on the receiver's own server, over loopback, with limits that a test sets.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from service.receiver.connection_table import ConnectionLimits
from service.receiver.overload import OverloadLimits
from service.receiver.receiver_server import ReceiverServer, ServerEvents, StopTimes
from service.receiver.server import make_server

TIMEOUT_S = 10


@dataclass
class ServedApp:
    """
    The application, and what it has seen.

    `/echo` answers the length of its body, `/early` answers without reading it, `/held` answers
    when `release` is called, `/large` answers more than the kernel buffers.
    """

    port: int = 0
    headers: list[dict[bytes, bytes]] = field(default_factory=list)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    server: ReceiverServer | None = None
    _release: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.headers.append(dict(scope["headers"]))
        self.arrived.release()
        body = b"early"
        if scope["path"] == "/echo":
            body = str(len(await _read(receive))).encode()
        elif scope["path"] == "/large":
            body = bytes(64 * 1024 * 1024)
        elif scope["path"] == "/held" and self._release is not None:
            await self._release.wait()
            body = b"released"
        length = str(len(body)).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
        )
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        self._release = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def release(self) -> None:
        """Let requests to `/held` be answered."""
        assert self._loop is not None
        assert self._release is not None
        self._loop.call_soon_threadsafe(self._release.set)

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)

    def begin_stop(self) -> None:
        """Stop it as a signal would."""
        assert self.server is not None
        self.server.should_exit = True

    def hurry(self) -> None:
        """Have it end at once, as a second signal does."""
        assert self.server is not None
        self.server.force_exit = True


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


@contextmanager
def served(
    *,
    times: StopTimes | None = None,
    overload: OverloadLimits | None = None,
    keep_alive_s: int = 75,
    on_drain: Callable[[], None] = lambda: None,
    **limits: float,
) -> Iterator[ServedApp]:
    """Serve one in a thread, until the block ends."""
    app = ServedApp()
    is_ready = threading.Event()
    values: Mapping[str, float] = {"connections": 100, "sweep_s": 0.01, **limits}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app.port = listener.getsockname()[1]
        server = make_server(
            app,
            ConnectionLimits(**values),  # type: ignore[arg-type]
            overload=overload or OverloadLimits(requests=100, body_bytes=1024 * 1024),
            keep_alive_s=keep_alive_s,
            times=times or StopTimes(linger_s=0, grace_s=5),
            events=ServerEvents(on_ready=is_ready.set, on_drain=on_drain),
        )
        app.server = server
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert is_ready.wait(TIMEOUT_S)
        try:
            yield app
        finally:
            server.should_exit = True
            app.release()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def read_all(connection: socket.socket) -> bytes:
    """What arrives until the other side closes the connection, or resets it."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    if not part:
        raise AssertionError("the connection was closed before the answer was complete")
    return part
