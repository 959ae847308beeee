"""
How much one receiver process works on at a time: requests, and bytes of their bodies.

What is beyond is answered 503 with Retry-After at once, so that memory and waiting times stay
bounded and what is accepted is answered in time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Overloaded, QueueUnavailable
from service.receiver.problems import CLOSING, unavailable

# A supervisor that is answered 503 would restart a process that only has much to do.
ALWAYS_ANSWERED: Final = frozenset({"/healthz", "/readyz"})
# Bodies up to this size are read beyond the limit, up to twice the limit: large ones that are never
# completed do not shut out webhooks, which are small.
SMALL_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadLimits:
    """Requests at a time, not counting those whose body is arriving; bytes of all bodies."""

    requests: int
    body_bytes: int


class OverloadGuard:
    """
    An ASGI application around the receiver. `on_refused` is called for each request that is refused
    before it is looked at.
    """

    def __init__(
        self, app: ASGIApp, limits: OverloadLimits, *, on_refused: Callable[[], None]
    ) -> None:
        self._app = app
        self._limits = limits
        self._on_refused = on_refused
        self._running = 0
        self._reading = 0
        self._body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        # Those that wait for their body cost a connection only, and are limited with those.
        if self._running - self._reading >= self._limits.requests:
            self._on_refused()
            await _refuse(Overloaded("too many requests at a time"), scope, receive, send)
            return
        request = _Request(self, receive, send)
        self._running += 1
        try:
            await self._app(scope, request.receive, request.send)
        except Overloaded as err:
            if request.has_started:
                raise
            await _refuse(err, scope, receive, send)
        except asyncio.CancelledError:
            # Only the server cancels a request, at the end of the time that it has for stopping.
            if request.has_started:
                raise
            await _refuse(QueueUnavailable("the receiver stops"), scope, receive, send)
        finally:
            self._running -= 1
            self._body_bytes -= request.body_bytes

    async def read(self, receive: Receive) -> Message:
        """What `receive` brings, while the request counts as one that is read."""
        self._reading += 1
        try:
            return await receive()
        finally:
            self._reading -= 1

    def add_bytes(self, count: int, *, total: int) -> None:
        """Count bytes of a body that has `total` by now. Raises `Overloaded` beyond the limit."""
        self._body_bytes += count
        limit = self._limits.body_bytes
        if total <= SMALL_BYTES:
            limit *= 2
        if self._body_bytes > limit:
            self._on_refused()
            raise Overloaded("too many bytes of bodies at a time")


class _Request:
    """One request on its way through: what has arrived of it, and whether it has been answered."""

    __slots__ = ("_guard", "_receive", "_send", "body_bytes", "has_started")

    def __init__(self, guard: OverloadGuard, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._receive = receive
        self._send = send
        self.body_bytes = 0
        self.has_started = False

    async def receive(self) -> Message:
        """The next part of the body. Raises `Overloaded`."""
        message = await self._guard.read(self._receive)
        body = message.get("body")
        if body:
            count = len(body)
            self.body_bytes += count
            self._guard.add_bytes(count, total=self.body_bytes)
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self.has_started = True
        await self._send(message)


async def _refuse(err: QueueUnavailable, scope: Scope, receive: Receive, send: Send) -> None:
    response = unavailable(err)
    # The body is not read: the next request would have to wait for its end.
    response.headers.update(CLOSING)
    await response(scope, receive, send)
