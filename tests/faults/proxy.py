"""
A TCP proxy between two parts, for everything that a network does to connections.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CHUNK: Final = 64 * 1024
HOST: Final = "127.0.0.1"


class Mode(StrEnum):
    """What becomes of bytes and of new connections."""

    PASS = "pass"
    # Nobody listens: new connections are refused, and those that are there are reset.
    REFUSE = "refuse"
    # Connections are taken and bytes are held back until the mode changes; nothing is lost.
    HANG = "hang"
    # Requests arrive, answers do not; both sides are reset when the mode changes.
    LOSE_ANSWERS = "lose answers"


@dataclass(slots=True, eq=False)
class Link:
    """One connection through the proxy."""

    writers: list[asyncio.StreamWriter]
    is_dead: bool = False

    def reset(self) -> None:
        """Break it off on both sides."""
        for writer in self.writers:
            with contextlib.suppress(OSError, RuntimeError):
                writer.transport.abort()


@dataclass(slots=True)
class Proxy:
    """
    Listens on `port` and connects to the first of `targets` that takes a connection.

    `delay_s` holds each piece of an answer back for so long.
    """

    port: int
    targets: list[int]
    mode: Mode = Mode.PASS
    delay_s: float = 0.0
    _server: asyncio.Server | None = field(default=None, init=False)
    _links: set[Link] = field(default_factory=set, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=2048)

    async def set_mode(self, mode: Mode) -> None:
        """Change what happens from now on."""
        previous = self.mode
        self.mode = mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode is Mode.REFUSE:
            await self._stop_listening()
            self.cut()
        elif previous is Mode.REFUSE:
            await self.start()
        elif previous is Mode.LOSE_ANSWERS:
            self.cut()

    @property
    def connections(self) -> int:
        """How many connections there are now."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every connection that there is."""
        for link in list(self._links):
            link.reset()

    def silence(self) -> None:
        """
        Pass nothing on any more on the connections that there are, without closing them: to both
        sides the other one seems to think. New connections work.
        """
        for link in self._links:
            link.is_dead = True

    async def close(self) -> None:
        """End it."""
        await self._stop_listening()
        self.cut()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link([writer])
        self._links.add(link)
        try:
            await self._wait_while_hanging()
            target_reader, target_writer = await self._connect()
            link.writers.append(target_writer)
            tasks = (
                asyncio.create_task(self._pump(reader, target_writer, link, is_answer=False)),
                asyncio.create_task(self._pump(target_reader, writer, link, is_answer=True)),
            )
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        except OSError:
            pass
        finally:
            self._links.discard(link)
            link.reset()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in self.targets[:-1]:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(HOST, port)
        return await asyncio.open_connection(HOST, self.targets[-1])

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._wait_while_hanging()
                if link.is_dead or (is_answer and self.mode is Mode.LOSE_ANSWERS):
                    continue
                if is_answer and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()

    async def _wait_while_hanging(self) -> None:
        while self.mode is Mode.HANG:
            await self._changed.wait()
