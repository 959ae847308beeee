"""
The direct way of a webhook gives the answers and the log lines of the ordinary one, byte for byte.
"""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest
from redis import Redis
from starlette.types import Scope
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.receiver.app import create_app
from service.receiver.connection_table import ConnectionLimits
from service.receiver.direct_webhooks import TOGETHER, _Webhook
from service.receiver.exchange import Exchange
from service.receiver.overload import OverloadLimits
from service.receiver.protocol import LimitedProtocol
from service.receiver.requests import SENDER_GONE
from service.receiver.server import make_server
from service.settings import Installation, Settings
from service.store.connection import Store
from tests.conftest import STANDARD_SECRET
from tests.doubles.waiting import until
from tests.service.receiver.fake_source import NOW, FakeSource

MakeSettings = Callable[..., Settings]
LIMITS: Final = OverloadLimits(requests=100, body_bytes=1024 * 1024)
SIGNED: Final = (f"x-fake-signature: {STANDARD_SECRET}", "content-type: application/json")
DIRECT: Final = "direct"
NOBODY: Final = "redis://127.0.0.1:1/0"


def _post(
    body: bytes = b"one",
    *,
    path: str = "/webhooks/standard",
    headers: Sequence[str] = SIGNED,
    line: str = "POST {} HTTP/1.1",
) -> bytes:
    lines = (line.format(path), "host: x", *headers, f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# Each with whether it is answered on the direct way.
REQUESTS: Final = {
    "genuine": (_post(), True),
    "genuine again": (_post(), True),
    "slash at the end": (_post(b"two", path="/webhooks/standard/"), True),
    "query": (_post(b"three", path="/webhooks/standard?a=%20b"), True),
    "empty": (_post(b""), True),
    "last": (_post(b"four", headers=(*SIGNED, "connection: close")), True),
    "forged": (_post(b"five", headers=("content-type: application/json",)), True),
    "unreadable": (_post(b"unreadable before proof"), True),
    "type": (_post(b"six", headers=SIGNED[:1]), True),
    "encoded": (_post(b"seven", headers=(*SIGNED, "content-encoding: gzip")), True),
    "off": (_post(b"eight", path="/webhooks/zoom"), True),
    "no such account": (_post(b"nine", path="/webhooks/x/standard"), True),
    "token": (_post(b"ten", path="/webhooks/standard/t/0123"), True),
    "large": (_post(b"x" * 70_000), False),
    "large in chunks": (
        _post(b"", headers=(*SIGNED, "transfer-encoding: chunked")).replace(
            b"content-length: 0\r\n\r\n", b"\r\n11170\r\n" + b"x" * 0x11170 + b"\r\n0\r\n\r\n"
        ),
        False,
    ),
    "chunks": (
        _post(b"", headers=(*SIGNED, "transfer-encoding: chunked")).replace(
            b"content-length: 0\r\n\r\n", b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        ),
        True,
    ),
    "broken chunk": (
        _post(b"", headers=(*SIGNED, "transfer-encoding: chunked")).replace(
            b"content-length: 0\r\n\r\n", b"\r\n3\r\nabc\r\nzz\r\nde\r\n0\r\n\r\n"
        ),
        False,
    ),
    "handshake": (_post(b"handshake"), False),
    "ignored": (_post(b"ignored"), False),
    "malformed": (_post(b"malformed"), False),
    "bug": (_post(b"bug"), False),
    "id not proved": (_post(b"eleven", path="/webhooks/standard?buildr_call_id=1"), False),
    "get": (_post(b"", line="GET {} HTTP/1.1"), False),
    "http/1.0": (_post(b"twelve", line="POST {} HTTP/1.0"), False),
    "expect": (_post(b"thirteen", headers=(*SIGNED, "expect: 100-continue")), False),
    "elsewhere": (_post(b"fourteen", path="/nothing"), False),
}


@dataclass
class _Transport(asyncio.Transport):
    """Keeps what is written."""

    written: bytearray = field(default_factory=bytearray)
    is_closed: bool = False

    def write(self, data: Any) -> None:
        """Keep it."""
        self.written += data

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is known of the other side."""
        return default

    def pause_reading(self) -> None:
        """Everything has arrived."""

    def resume_reading(self) -> None:
        """Everything has arrived."""


@dataclass(frozen=True)
class _Outcome:
    """What a sender sees of one request, and what the log says."""

    answer: bytes
    is_closed: bool
    lines: tuple[tuple[tuple[str, str], ...], ...]


class _Receiver:
    """The application behind the protocol of one connection for each request."""

    def __init__(self, settings: Settings) -> None:
        sources = {slug: FakeSource() for slug in ("standard", "zoom")}
        app = create_app(Installation(settings), now=lambda: NOW, sources=sources)
        self._app = app
        self._server = make_server(
            app, ConnectionLimits(connections=100), overload=LIMITS, keep_alive_s=5
        )
        self._server.config.load()

    async def run(self, requests: Sequence[bytes], *, pieces: int) -> list[tuple[_Outcome, str]]:
        """The outcome of each request, sent in so many pieces, and which way it took."""
        async with self._app.router.lifespan_context(self._app):
            return [await self._one(request, pieces) for request in requests]

    async def run_together(self, requests: Sequence[bytes], *, goes: bool = False) -> list[bytes]:
        """
        The answer to each request, which all arrive in one turn of the loop, in which the sender
        may go.
        """
        async with self._app.router.lifespan_context(self._app):
            connections = [self._connect() for _ in requests]
            for (protocol, _), request in zip(connections, requests, strict=True):
                protocol.data_received(request)
                if goes:
                    protocol.transport.close()
                    protocol.connection_lost(None)
            for protocol, transport in connections:
                await _until_answered(protocol, transport)
            return [bytes(transport.written) for _, transport in connections]

    async def run_pipelined(self, requests: Sequence[bytes]) -> bytes:
        """The answers to requests that arrive at once on one connection."""
        async with self._app.router.lifespan_context(self._app):
            protocol, transport = self._connect()
            protocol.data_received(b"".join(requests))

            async def are_answered() -> bool:
                return transport.written.count(b"HTTP/1.1 ") == len(requests)

            await until(are_answered, goal="all answers")
            return bytes(transport.written)

    async def end(self, requests: bytes, *, is_answered: bool) -> None:
        """
        End a connection whose request was answered, or is not yet, and wait until nothing holds it
        any more, without Python's collector.
        """
        gc.disable()
        try:
            async with self._app.router.lifespan_context(self._app):
                protocol, transport = self._connect()
                protocol.data_received(requests)
                if is_answered:
                    await _until_answered(protocol, transport)
                protocol.connection_lost(None)
                connection = weakref.ref(protocol)
                del protocol

                async def is_gone() -> bool:
                    return connection() is None

                await until(is_gone, goal="the end of the connection")
        finally:
            gc.enable()

    def _connect(self) -> tuple[LimitedProtocol, _Transport]:
        protocol = LimitedProtocol(
            self._server.config, self._server.server_state, {}, asyncio.get_running_loop()
        )
        transport = _Transport()
        protocol.connection_made(transport)
        return protocol, transport

    async def _one(self, request: bytes, pieces: int) -> tuple[_Outcome, str]:
        protocol, transport = self._connect()
        end = len(request) - 2 * (pieces - 1)
        with capture_logs() as lines:
            protocol.data_received(request[:end])
            for start in range(end, len(request), 2):
                protocol.data_received(request[start : start + 2])
            await _until_answered(protocol, transport)
        way = DIRECT if isinstance(cast("object", protocol.cycle), Exchange) else "ordinary"
        assert way == DIRECT or isinstance(protocol.cycle, RequestResponseCycle)
        outcome = _Outcome(bytes(transport.written), transport.is_closed, _without_times(lines))
        protocol.connection_lost(None)
        return outcome, way


async def _until_answered(protocol: LimitedProtocol, transport: _Transport) -> None:
    async def is_answered() -> bool:
        return transport.is_closed or bool(protocol.cycle.response_complete)

    await until(is_answered, goal="an answer")


def _without_times(lines: Sequence[Any]) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(
        tuple((key, str(value)) for key, value in line.items() if key != "duration_ms")
        for line in lines
    )


@pytest.fixture
def run(
    make_settings: MakeSettings, redis_url: str, tmp_path: Path
) -> Callable[..., Awaitable[list[tuple[_Outcome, str]]]]:
    """Run requests over a receiver and a Redis that know none of them."""

    async def run(
        requests: Sequence[bytes], *, pieces: int, **values: str
    ) -> list[tuple[_Outcome, str]]:
        with Redis.from_url(redis_url) as client:
            client.flushall()
        data_dir = tmp_path / str(pieces)
        data_dir.mkdir(exist_ok=True)
        settings = make_settings(**{"REDIS_URL": redis_url, "DATA_DIR": str(data_dir)} | values)
        return await _Receiver(settings).run(requests, pieces=pieces)

    return run


async def test_both_ways_answer_and_log_the_same(
    run: Callable[..., Awaitable[list[tuple[_Outcome, str]]]],
) -> None:
    """A request that arrives as a whole is answered and logged as one that arrives in pieces."""
    requests = [request for request, _ in REQUESTS.values()]
    whole = await run(requests, pieces=1)
    in_pieces = await run(requests, pieces=2)
    for name, (outcome, _), (other, _) in zip(REQUESTS, whole, in_pieces, strict=True):
        assert (name, other) == (name, outcome)
    assert [name for name, (_, is_direct) in REQUESTS.items() if is_direct] == [
        name for name, (_, way) in zip(REQUESTS, whole, strict=True) if way == DIRECT
    ]
    # The second piece of the empty one ends its head.
    assert ["empty"] == [
        name for name, (_, way) in zip(REQUESTS, in_pieces, strict=True) if way == DIRECT
    ]


async def test_both_ways_count_how_long_senders_of_genuine_messages_waited(
    run: Callable[..., Awaitable[list[tuple[_Outcome, str]]]], store: Store
) -> None:
    """Those who are refused are not counted: they would hide the others."""
    requests = [_post(b"one"), _post(b"two", headers=SIGNED[1:]), _post(b"three")]
    for pieces in (1, 2):
        await run(requests, pieces=pieces)
        histograms = await store.figures.histograms()
        assert [("answer_seconds", "standard")] == list(histograms)
        assert 2 == sum(histograms["answer_seconds", "standard"].counts)


@pytest.mark.parametrize(
    "values",
    [{"REDIS_URL": NOBODY}, {"MAX_PENDING": "1"}],
    ids=["Redis is away", "too many wait"],
)
async def test_what_redis_does_not_keep_goes_on_as_on_the_other_way(
    run: Callable[..., Awaitable[list[tuple[_Outcome, str]]]], values: dict[str, str]
) -> None:
    """A message that Redis does not take is spooled, with the same answer and the same lines."""
    # The first one fills a Redis that takes one only, the last one finds that there is none.
    requests = [_post(b"one"), _post(b"two")]
    whole = await run(requests, pieces=1, **values)
    in_pieces = await run(requests, pieces=2, **values)
    assert [outcome for outcome, _ in in_pieces] == [outcome for outcome, _ in whole]
    assert DIRECT in {way for _, way in whole}
    assert b"HTTP/1.1 202 " == whole[-1][0].answer[:13]
    assert ("event", "message.spooled") in {pair for line in whole[-1][0].lines for pair in line}


@pytest.fixture
def receiver(make_settings: MakeSettings, redis_url: str, tmp_path: Path) -> _Receiver:
    """A receiver over a Redis that knows no message."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
    return _Receiver(make_settings(REDIS_URL=redis_url, DATA_DIR=str(tmp_path)))


async def test_each_of_many_that_arrive_together_has_its_own_answer(receiver: _Receiver) -> None:
    """Whatever its neighbours are, and however many take their steps with it."""
    kinds = {
        "genuine": b"HTTP/1.1 202 ",
        "forged": b"HTTP/1.1 401 ",
        "bug": b"HTTP/1.1 202 ",
        "handshake": b"HTTP/1.1 200 ",
        "type": b"HTTP/1.1 415 ",
        "malformed": b"HTTP/1.1 202 ",
    }
    names = list(kinds) * (TOGETHER // len(kinds) + 2)
    requests = [REQUESTS[name][0] for name in names]
    requests[0] = _post(b"first")
    requests[-1] = _post(b"last")
    names[-1] = "genuine"
    # Captured, since to print so many tracebacks takes longer than Redis is waited for.
    with capture_logs():
        answers = await receiver.run_together(requests)
    assert [kinds[name] for name in names] == [answer[:13] for answer in answers]


@pytest.mark.parametrize("first", ["genuine", "forged", "bug", "last"])
async def test_request_is_answered_before_the_one_behind_it(
    receiver: _Receiver, first: str
) -> None:
    """Two in one packet: the first is begun before the parser forgets it."""
    requests = [REQUESTS[first][0], _post(b"behind", headers=SIGNED[1:])]
    if first == "last":
        requests = requests[:1]
    with capture_logs():
        answers = await receiver.run_pipelined(requests)
    statuses = {"genuine": b"202", "forged": b"401", "bug": b"202", "last": b"202"}
    assert [statuses[first], b"401"][: len(requests)] == [
        part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]
    ]


async def test_sender_that_goes_at_once_is_not_written_to(receiver: _Receiver) -> None:
    """Neither with an answer of the direct way, nor with one of the endpoint; the log says so."""
    with capture_logs() as lines:
        answers = await receiver.run_together(
            [REQUESTS[name][0] for name in ("forged", "bug")], goes=True
        )
    assert [b"", b""] == answers
    assert SENDER_GONE in {line.get("reason") for line in lines}
    assert "request.broken" not in {line["event"] for line in lines}


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "sender gone"])
@pytest.mark.parametrize("names", ["genuine", "forged", "bug", "get", "get get", "genuine get"])
async def test_connection_that_has_ended_leaves_no_garbage(
    receiver: _Receiver, names: str, is_answered: bool
) -> None:
    """Nothing of it waits for Python's collector, which comes by after many connections only."""
    requests = b"".join(REQUESTS[name][0] for name in names.split())
    with capture_logs():
        await receiver.end(requests, is_answered=is_answered)


@pytest.mark.parametrize("is_gone", [True, False], ids=["sender gone", "sender waits"])
def test_bug_of_the_server_ends_one_connection(is_gone: bool) -> None:
    """What can neither be passed on nor noted is logged, and its connection closed."""
    transport = _Transport()
    exchange = Exchange(cast("Any", _Broken(transport)), keep_alive=True)
    exchange.disconnected = is_gone
    with capture_logs() as lines:
        _Webhook({}, b"", exchange, 0.0).leave(cast("Any", _Broken(transport)))
    assert transport.is_closed
    assert ["request.broken"] == [line["event"] for line in lines]


@dataclass
class _Broken:
    """A connection that passes nothing on, or an endpoint that notes nothing."""

    transport: _Transport

    def pass_on(self, exchange: Exchange, body: bytes) -> None:
        """Raise."""
        raise ZeroDivisionError

    def note_sender_gone(self, scope: Scope) -> None:
        """Raise."""
        raise ZeroDivisionError
