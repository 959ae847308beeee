"""
How much one receiver process works on at a time: requests, and bytes of their bodies.

What is beyond is answered 503 with Retry-After at once, so that memory and waiting times stay
bounded and what is accepted is answered in time.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Overloaded, QueueUnavailable
from service.receiver.exchange import STOPPING, Exchange
from service.receiver.problems import CLOSING, unavailable

# A supervisor that is answered 503 would restart a process that only has much to do.
ALWAYS_ANSWERED: Final = frozenset({"/healthz", "/readyz"})
# Bodies up to this size are read beyond the limit, up to twice the limit: large ones that are never
# completed do not shut out webhooks, which are small.
SMALL_BYTES: Final = 16 * 1024


# Handles a request that has arrived as a whole, or returns False.
DirectWay = Callable[[Scope, bytes, Exchange], bool]


class OverloadLimits(Struct, frozen=True, kw_only=True):
    """Requests at a time, not counting those whose body is arriving; bytes of all bodies."""

    requests: int
    body_bytes: int


class OverloadGuard:
    """
    An ASGI application around the receiver. `on_refused` is called for each request that is
    refused. Counted are those that are `running`, those of them that are `reading` their body, and
    `body_bytes` of all bodies.
    """

    def __init__(
        self, app: ASGIApp, limits: OverloadLimits, *, on_refused: Callable[[], None]
    ) -> None:
        self._app = app
        self._limits = limits
        self._on_refused = on_refused
        self.running = 0
        self.reading = 0
        self.body_bytes = 0
        self._begin: DirectWay | None = getattr(app, "begin", None)

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """
        Pass a request on that has arrived as a whole, to be answered by `exchange`; False if it has
        to be passed on, or refused, by the other way.
        """
        limits = self._limits
        count = len(body)
        is_too_much = (
            self.running - self.reading >= limits.requests
            or self.body_bytes + count > limits.body_bytes
        )
        # Refused on the other way, which reads no further.
        if self._begin is None or is_too_much:
            return False

        def end() -> None:
            self.running -= 1
            self.body_bytes -= count

        self.running += 1
        self.body_bytes += count
        exchange.on_end = end
        if self._begin(scope, body, exchange):
            return True
        end()
        return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        # Those that wait for their body cost a connection only, and are limited with those.
        if self.running - self.reading >= self._limits.requests:
            self._on_refused()
            await _refuse(Overloaded("too many requests at a time"), scope, receive, send)
            return
        request = _Request(self, receive)
        self.running += 1
        try:
            await self._app(scope, request.receive, send)
        except (Overloaded, asyncio.CancelledError) as err:
            # Only the server cancels a request, at the end of the time that it has for stopping.
            refusal = QueueUnavailable(STOPPING)
            if isinstance(err, Overloaded):
                refusal = err
            try:
                await _refuse(refusal, scope, receive, send)
            except RuntimeError:
                # The answer has begun.
                raise err from None
        finally:
            self.running -= 1
            self.body_bytes -= request.body_bytes

    def add_bytes(self, count: int, *, total: int) -> None:
        """Count bytes of a body that has `total` by now. Raises `Overloaded` beyond the limit."""
        self.body_bytes += count
        limit = self._limits.body_bytes
        if total <= SMALL_BYTES:
            limit *= 2
        if self.body_bytes > limit:
            self._on_refused()
            raise Overloaded("too many bytes of bodies at a time")


class _Request:
    """One request whose body is counted while it arrives."""

    __slots__ = ("_guard", "_receive", "body_bytes")

    def __init__(self, guard: OverloadGuard, receive: Receive) -> None:
        self._guard = guard
        self._receive = receive
        self.body_bytes = 0

    async def receive(self) -> Message:
        """The next part of the body. Raises `Overloaded`."""
        guard = self._guard
        guard.reading += 1
        try:
            message = await self._receive()
        finally:
            guard.reading -= 1
        body = message.get("body")
        if body:
            count = len(body)
            self.body_bytes += count
            guard.add_bytes(count, total=self.body_bytes)
        return message


async def _refuse(err: QueueUnavailable, scope: Scope, receive: Receive, send: Send) -> None:
    response = unavailable(err)
    # The body is not read: the next request would have to wait for its end.
    response.headers.update(CLOSING)
    await response(scope, receive, send)
