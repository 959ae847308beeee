"""
uvicorn's server with an end that loses no request.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog
import uvicorn
from msgspec import Struct

from service.logs.events import LogEvent
from service.receiver.connection_table import ConnectionTable, Phase, Rank

# How often is looked whether everybody has gone.
POLL_S: Final = 0.02
# How long requests have that were cancelled, to answer.
CANCEL_S: Final = 1.0

log = structlog.get_logger(__name__)


def _nothing() -> None:
    """Do nothing."""


class StopTimes(Struct, frozen=True, kw_only=True):
    """
    Seconds of a stop. `drain_s` is how long everything goes on but `/readyz`, which answers 503, so
    that a load balancer sends elsewhere. `linger_s` is how long an idle connection stays open, so
    that a request that is on its way is still answered; `grace_s` how long requests have that are
    under way.
    """

    drain_s: float = 0.0
    linger_s: float = 2.0
    grace_s: float = 10.0


class ServerEvents(Struct, frozen=True, kw_only=True):
    """What is called when the server is ready, as soon as it drains, and as soon as it stops."""

    on_ready: Callable[[], None] = _nothing
    on_drain: Callable[[], None] = _nothing
    on_stop: Callable[[], None] = _nothing


class ReceiverServer(uvicorn.Server):
    """
    A server whose connections are in a table.

    When it stops it accepts for a while longer, since nobody else may, and each answer is the last
    one of its connection. Whoever is connected has `linger_s` for a request that is on its way.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        table: ConnectionTable,
        *,
        times: StopTimes | None = None,
        events: ServerEvents | None = None,
    ) -> None:
        super().__init__(config)
        self.server_state = table
        self._table = table
        self._times = times or StopTimes()
        self._events = events or ServerEvents()
        self._watch: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept. Ends the process if the application does not start."""
        await super().startup(sockets)
        self._watch = asyncio.create_task(self._table.watch())
        self._events.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no request that has been sent stays without its answer."""
        # Behind a socket that stays open nobody has to send elsewhere.
        if self._times.drain_s:
            self._events.on_drain()
            await self._wait_until(lambda: False, self._times.drain_s)
        self._events.on_stop()
        self._table.is_closing = True
        for connection in self._table:
            connection.shutdown()
        stopped_at = self._table.clock()
        await self._wait_until(self._is_empty, self._times.linger_s)
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        # At least once around the loop: a connection may be accepted and not be in the table yet.
        await asyncio.sleep(POLL_S)

        def has_ended() -> bool:
            self._close_idle(stopped_at)
            return self._is_empty()

        await self._wait_until(has_ended, self._times.grace_s)
        await self._end_in_haste()
        if self._watch is not None:
            self._watch.cancel()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _end_in_haste(self) -> None:
        tasks = list(self.server_state.tasks)
        if tasks:
            log.warning(LogEvent.SERVICE_STOPPED_IN_HASTE, requests=len(tasks))
            for task in tasks:
                # `OverloadGuard` answers it 503.
                task.cancel()
            await self._wait_until(lambda: not self.server_state.tasks, CANCEL_S)
        for connection in self._table:
            connection.abort()

    def _close_idle(self, stopped_at: float) -> None:
        """Close the connections that have lingered. One that was accepted late lingers too."""
        latest = self._table.clock() - self._times.linger_s
        for connection in self._table:
            is_idle = connection.rank <= Rank.IDLE and connection.phase is not Phase.HEAD
            if is_idle and max(connection.since, stopped_at) <= latest:
                connection.close()

    def _is_empty(self) -> bool:
        return not self.server_state.connections and not self.server_state.tasks

    async def _wait_until(self, is_done: Callable[[], bool], timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            if is_done() or self.force_exit:
                return
            await asyncio.sleep(POLL_S)
