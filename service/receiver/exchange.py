"""
A request and its answer without an ASGI cycle: the answer of an ordinary webhook is written at
once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import unquote

import httptools
import structlog
from starlette.responses import Response
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from service.errors import QueueUnavailable
from service.logs.events import LogEvent
from service.receiver.problems import ADVICE, CLOSING, problem, unavailable

STOPPING: Final = "the receiver stops"
BROKEN: Final = 500

log = structlog.get_logger(__name__)


class Connection(Protocol):
    """What an exchange needs of its connection."""

    transport: asyncio.Transport
    server_state: ServerState

    def on_response_complete(self) -> None:
        """Go on with the next request."""

    def pass_on(self, exchange: "Exchange", body: bytes) -> None:
        """Have an ASGI application answer a request in place of its exchange."""


class _NobodyWaits:
    """In place of the event that wakes an ASGI application."""

    def set(self) -> None:
        """Do nothing."""


class Exchange:
    """
    One request that is answered without an ASGI application, in place of uvicorn's cycle for it,
    whose names it has. `on_end` is called before the answer is written; `hurry`, as long as nobody
    has looked at the request, has somebody do so now.
    """

    __slots__ = (
        "_connection",
        "disconnected",
        "hurry",
        "keep_alive",
        "message_event",
        "on_end",
        "response_complete",
        "response_started",
    )

    def __init__(self, connection: Connection, *, keep_alive: bool) -> None:
        self._connection = connection
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.message_event = NOBODY_WAITS
        self.on_end: Callable[[], None] | None = None
        self.hurry: Callable[[], None] | None = None

    def send(self, response: Response) -> None:
        """Write the answer, unless the sender has gone."""
        if self.on_end is not None:
            self.on_end()
        transport = self._connection.transport
        if self.disconnected or transport.is_closing():
            return
        self.response_started = True
        default_headers = tuple(self._connection.server_state.default_headers)
        data, keep_alive = answer_of(response, default_headers, self.keep_alive)
        self.keep_alive = keep_alive
        # One write: head and body leave in one packet.
        transport.write(data)
        self.response_complete = True
        if not keep_alive:
            transport.close()
        self._connection.on_response_complete()

    def pass_on(self, body: bytes) -> None:
        """Leave the request, whose body is this, to the application."""
        if self.on_end is not None:
            self.on_end()
        self._connection.pass_on(self, body)

    def drop(self) -> None:
        """Give no answer, since the sender has gone."""
        if self.on_end is not None:
            self.on_end()

    def fail(self) -> None:
        """End the connection of a request that cannot be answered."""
        self._connection.transport.close()

    def send_later(self, answer: Coroutine[None, None, Response]) -> None:
        """Write the answer that a coroutine returns, in a task of the server."""
        tasks = self._connection.server_state.tasks
        task = asyncio.create_task(self._send_later(answer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _send_later(self, answer: Coroutine[None, None, Response]) -> None:
        try:
            response = await answer
        except asyncio.CancelledError:
            # Only the server cancels a request, at the end of the time that it has for stopping.
            response = unavailable(QueueUnavailable(STOPPING))
            response.headers.update(CLOSING)
        except Exception:
            log.exception(LogEvent.REQUEST_BROKEN, method="POST", status_code=BROKEN)
            response = broken()
        self.send(response)


NOBODY_WAITS: Final = _NobodyWaits()


def broken() -> Response:
    """The answer to a request that a bug has ended."""
    return problem(BROKEN, detail=ADVICE[BROKEN])


# Nearly all answers of a second are the same few objects, see `replies.py`. Bounded, since others
# are not.
@lru_cache(maxsize=64)
def answer_of(
    response: Response, default_headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool
) -> tuple[bytes, bool]:
    """
    An answer as uvicorn writes it, with the headers that all have at the moment, and whether the
    connection stays open. The length of its body is among its headers, as Starlette sets it.
    """
    closes = False
    lines = [STATUS_LINE[response.status_code]]
    for name, value in (*default_headers, *response.raw_headers):
        closes = closes or (name == b"connection" and value.lower() == b"close")
        lines += (name, b": ", value, b"\r\n")
    # As uvicorn does: an answer that says so ends the connection.
    if not (keep_alive or closes):
        lines.append(b"connection: close\r\n")
    lines += (b"\r\n", bytes(response.body))
    return b"".join(lines), keep_alive and not closes


def complete_scope(scope: HTTPScope, url: bytes) -> None:
    """
    Add path and query of a POST to a scope, as uvicorn does. Raises httptools' error for an address
    that is none.
    """
    path, raw_path, query = read_target(url)
    root_path = scope["root_path"]
    scope["method"] = "POST"
    scope["path"] = root_path + path
    scope["raw_path"] = root_path.encode("ascii") + raw_path
    scope["query_string"] = query


# Most senders use one address for all calls. Bounded, since others name the call in it.
@lru_cache(maxsize=64)
def read_target(url: bytes) -> tuple[str, bytes, bytes]:
    """The path of a request's address, as it was sent too, and its query."""
    parsed_url = httptools.parse_url(url)
    path = parsed_url.path.decode("ascii")
    if "%" in path:
        path = unquote(path)
    return path, parsed_url.path, parsed_url.query or b""
