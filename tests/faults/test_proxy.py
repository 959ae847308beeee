"""
The proxy of the fault trials does to connections what each of its modes says.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.faults.http_client import Ending, HttpClient
from tests.faults.parts import ports
from tests.faults.proxy import Mode, Proxy

ANSWER = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy before a server that answers every request with 204."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    free = ports()
    server = await asyncio.start_server(serve, "127.0.0.1", next(free))
    made = Proxy(next(free), [server.sockets[0].getsockname()[1]])
    await made.start()
    yield made
    await made.close()
    server.close()
    await asyncio.sleep(0)


async def attempt(proxy: Proxy) -> Ending:
    answer = await HttpClient(proxy.port).request("GET", "/", timeout_s=0.3)
    return answer.ending


async def first_byte(reader: asyncio.StreamReader) -> Ending:
    try:
        async with asyncio.timeout(0.3):
            await reader.readexactly(1)
    except TimeoutError:
        return Ending.TOO_LATE
    except (OSError, EOFError):
        return Ending.BROKEN
    return Ending.ACKNOWLEDGED


async def test_modes(proxy: Proxy) -> None:
    """Each mode as a sender sees it, and that it ends."""
    expected = {
        Mode.PASS: Ending.ACKNOWLEDGED,
        Mode.REFUSE: Ending.NOT_CONNECTED,
        Mode.HANG: Ending.TOO_LATE,
        Mode.LOSE_ANSWERS: Ending.BROKEN,
    }
    for mode, ending in expected.items():
        await proxy.set_mode(mode)
        assert ending is await attempt(proxy), mode
        await proxy.set_mode(Mode.PASS)
        assert Ending.ACKNOWLEDGED is await attempt(proxy), mode


async def test_next_target_is_tried_where_nobody_listens(proxy: Proxy) -> None:
    """As a balancer does."""
    proxy.targets.insert(0, next(ports()))
    assert Ending.ACKNOWLEDGED is await attempt(proxy)


async def test_connections_are_cut_and_silenced(proxy: Proxy) -> None:
    """A connection that is cut is reset; one that is silenced stays open and says nothing."""
    for act, ending in ((Proxy.cut, Ending.BROKEN), (Proxy.silence, Ending.TOO_LATE)):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with asyncio.timeout(10):
            while not proxy.connections:
                await attempt(proxy)
        act(proxy)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert ending is await first_byte(reader)
        writer.transport.abort()
