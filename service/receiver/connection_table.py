"""
The open connections of one receiver process: how many there may be, how long each may take, and
which are closed first where they become too many.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum, StrEnum
from typing import Final, Protocol, cast

import structlog
from msgspec import Struct
from uvicorn.server import ServerState

from service.logs.events import LogEvent

# From this share of the limit on, the log says how near it is.
NEAR: Final = 0.8
# Where there are too many, this share of them is closed at once: each search goes through all.
ROOM: Final = 0.02

log = structlog.get_logger(__name__)


class Phase(IntEnum):
    """What a connection is doing."""

    # Opened, nothing has arrived.
    FRESH = 0
    # A part of a head has arrived.
    HEAD = 1
    # The head is complete, its body is not.
    BODY = 2
    # The request is complete: it is worked on, or answered, and the next one may come.
    DONE = 3


class Cut(StrEnum):
    """Why a connection was closed, as it is counted in the log."""

    BAD_REQUEST = "bad_requests"
    LARGE_HEAD = "large_heads"
    SILENT = "silent"
    SLOW_HEAD = "slow_heads"
    SLOW_BODY = "slow_bodies"
    SLOW_READER = "slow_readers"


class ConnectionLimits(Struct, frozen=True, kw_only=True):
    """
    How many connections one process holds, and what each of them may take.

    `body_s` is the last resort: an endpoint that reads a body has a timeout of its own, and answers
    408. `sweep_s` is how often the times are looked at, `report_s` how often the log says the same.
    """

    connections: int
    head_bytes: int = 32 * 1024
    headers: int = 100
    # A body may come in so many parts, and so many requests may be sent before the first answer.
    body_parts: int = 8192
    pipelined: int = 8
    first_byte_s: float = 10
    head_s: float = 10
    body_s: float = 12
    answer_s: float = 10
    sweep_s: float = 1
    report_s: float = 60


class Rank(IntEnum):
    """What a connection is worth where there are too many; the lowest goes first."""

    # No request has ever arrived as a whole head: silent, or slow.
    STRANGER = 0
    # Answered, and waiting for the next request.
    IDLE = 1
    # A body is arriving.
    READING = 2
    # A whole request is worked on: it is never closed.
    WORKING = 3


class Connection(Protocol):
    """What the table knows of a connection. `since` is when its phase began."""

    phase: Phase
    since: float

    @property
    def rank(self) -> Rank:
        """What it is worth at the moment."""

    def sweep(self, now: float) -> None:
        """End it if it has taken too long."""

    def shutdown(self) -> None:
        """Let the answer that is under way be the last one."""

    def close(self) -> None:
        """Close it, with what is written still going out."""

    def abort(self) -> None:
        """Close it at once."""


class ConnectionTable(ServerState):
    """
    The state that uvicorn's protocols share, with limits.

    `now` is the time of the last sweep: precise enough for limits of seconds, and free.
    `is_closing` is True once the process stops: each answer then ends its connection.
    """

    def __init__(
        self, limits: ConnectionLimits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.limits = limits
        self.now = clock()
        self.is_closing = False
        self.clock = clock
        self._cuts: Counter[str] = Counter()
        self._peak = 0
        self._closed_for_room = 0
        self._refused = 0
        self._overloaded = 0
        self._reported_at: dict[LogEvent, float] = {}

    def __iter__(self) -> Iterator[Connection]:
        # A copy: what is done to a connection may take it out of the set.
        return iter(cast("tuple[Connection, ...]", tuple(self.connections)))

    def admit(self, connection: Connection) -> None:
        """Take in a new connection that is in the set already, or close it if there is no room."""
        count = len(self.connections)
        self._peak = max(self._peak, count)
        if count > self.limits.connections and not self._make_room(connection):
            self._refused += 1
            connection.abort()

    def count_cut(self, cut: Cut) -> None:
        """Count a connection that was closed."""
        self._cuts[cut] += 1

    def count_overload(self) -> None:
        """Count a request that was refused since too much was in hand."""
        self._overloaded += 1

    async def watch(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            self.sweep()

    def sweep(self) -> None:
        """End what has taken too long, and write into the log what has become of others."""
        self.now = self.clock()
        for connection in self:
            connection.sweep(self.now)
        self._report()

    def _make_room(self, newcomer: Connection) -> bool:
        """
        Close some connections: those that never sent a request first, of each kind the oldest. So
        silent ones shut nobody out who sends at once. Returns False if all are worked on.
        """
        candidates = [
            connection
            for connection in self
            if connection is not newcomer and connection.rank is not Rank.WORKING
        ]
        candidates.sort(key=lambda connection: (connection.rank, connection.since))
        room = candidates[: max(1, int(self.limits.connections * ROOM))]
        for connection in room:
            connection.abort()
        self._closed_for_room += len(room)
        return bool(room)

    def _report(self) -> None:
        self._peak = max(self._peak, len(self.connections))
        near = NEAR * self.limits.connections
        if self._peak < near:
            self._peak = 0
        elif self._is_due(LogEvent.CONNECTIONS_NEAR_LIMIT):
            log.warning(
                LogEvent.CONNECTIONS_NEAR_LIMIT,
                open=self._peak,
                limit=self.limits.connections,
                closed_for_room=self._closed_for_room,
                refused=self._refused,
            )
            self._peak = 0
            self._closed_for_room = 0
            self._refused = 0
        if self._overloaded and self._is_due(LogEvent.REQUESTS_REFUSED):
            log.warning(LogEvent.REQUESTS_REFUSED, requests=self._overloaded)
            self._overloaded = 0
        if self._cuts and self._is_due(LogEvent.CONNECTIONS_CUT):
            log.info(LogEvent.CONNECTIONS_CUT, **self._cuts)
            self._cuts.clear()

    def _is_due(self, event: LogEvent) -> bool:
        """Whether a line may be written again; the first one is written at once."""
        last = self._reported_at.get(event)
        if last is not None and self.now < last + self.limits.report_s:
            return False
        self._reported_at[event] = self.now
        return True
