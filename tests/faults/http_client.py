"""
A small HTTP client that behaves as a vendor's does and says exactly how an attempt ended.

One connection for each request, or connections that are kept. A connection that the server has
closed while it was idle is never used again; one that breaks while a request is on it counts as
failed, since a vendor does not know whether its message arrived.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_HEAD: Final = 64 * 1024
CLOSING: Final = b"connection: close"
NO_BODY: Final = (204, 304)


class Ending(StrEnum):
    """How one attempt ended."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED_4XX = "4xx"
    REFUSED_5XX = "5xx"
    NOT_CONNECTED = "not connected"
    BROKEN = "connection broken"
    TOO_LATE = "too late"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status 0 where there was none."""

    ending: Ending
    status: int = 0
    body: bytes = b""


@dataclass(slots=True)
class Connection:
    """One TCP connection with its two ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def is_usable(self) -> bool:
        """Whether the server has not closed it as far as this side knows."""
        return not self.reader.at_eof() and not self.writer.is_closing()

    def drop(self) -> None:
        """Close it without waiting for anything."""
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.transport.abort()


@dataclass(slots=True)
class HttpClient:
    """Requests to one address; with `keeps` the connections are used again."""

    port: int
    keeps: bool = False
    _idle: list[Connection] = field(default_factory=list, init=False)

    async def request(  # what an HTTP request consists of
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float = 10,
    ) -> Answer:
        """Send one request and wait for its whole answer; what the network does is no exception."""
        text = _encode(method, path, {**(headers or {}), **self._connection_header()}, body)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._connection()
                answer, is_reusable = await _exchange(connection, text)
        except TimeoutError:
            _drop(connection)
            return Answer(Ending.TOO_LATE)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            _drop(connection)
            if connection is None:
                return Answer(Ending.NOT_CONNECTED)
            return Answer(Ending.BROKEN)
        except asyncio.CancelledError:
            _drop(connection)
            raise
        if self.keeps and is_reusable:
            self._idle.append(connection)
        else:
            connection.drop()
        return answer

    def close(self) -> None:
        """Drop the idle connections."""
        while self._idle:
            self._idle.pop().drop()

    def _connection_header(self) -> dict[str, str]:
        if self.keeps:
            return {}
        return {"connection": "close"}

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.drop()
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port, limit=MAX_HEAD))


def _drop(connection: Connection | None) -> None:
    if connection is not None:
        connection.drop()


def _encode(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: hooks.example.test"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _exchange(connection: Connection, text: bytes) -> tuple[Answer, bool]:
    connection.writer.write(text)
    await connection.writer.drain()
    head = await connection.reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    lowered = head.lower()
    body = b""
    if status not in NO_BODY:
        body = await connection.reader.readexactly(_length(lowered))
    return Answer(_ending(status), status, body), CLOSING not in lowered


def _length(head: bytes) -> int:
    _, _, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0] or b"0")


def _ending(status: int) -> Ending:
    if 200 <= status < 300:
        return Ending.ACKNOWLEDGED
    if status >= 500:
        return Ending.REFUSED_5XX
    return Ending.REFUSED_4XX
