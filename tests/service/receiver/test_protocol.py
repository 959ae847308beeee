"""
The limits of a connection, over loopback.
"""

import hashlib
import inspect
import socket
import struct
from collections.abc import Iterator

import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.receiver.overload import SMALL_BYTES, OverloadLimits
from tests.doubles.served_app import ServedApp, read_all, read_answer, served
from tests.e2e.harness import wait_for

ECHO = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
LARGE_HEAD = b"HTTP/1.1 431 "
TIMEOUT = b"HTTP/1.1 408 "
BAD = b"HTTP/1.1 400 "
# Of uvicorn 0.54.0.
DIGEST = "bee2db3bb97488c7f837dde0fda09bd3377446602d8e1f41a1c113a25eaf85c5"


@pytest.fixture(scope="module")
def app() -> Iterator[ServedApp]:
    """One with the limits of production."""
    with served() as served_app:
        yield served_app


def _exchange(app: ServedApp, data: bytes) -> bytes:
    """What comes back for some bytes until the connection is closed."""
    with app.connect() as connection:
        _send(connection, data)
        return read_all(connection)


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        # It was refused before all was sent.
        return


def test_uvicorn_is_the_one_that_the_protocol_was_written_for() -> None:
    """
    `LimitedProtocol` and `ReceiverServer` override parts of uvicorn that are not its interface. If
    this fails: read what has changed in these classes, correct ours, and put the new digest here.
    """
    sources = [
        inspect.getsource(part)
        for part in (
            HttpToolsProtocol,
            RequestResponseCycle,
            FlowControl,
            ServerState,
            uvicorn.Server,
        )
    ]
    digest = hashlib.sha256("".join(sources).encode()).hexdigest()
    assert DIGEST == digest


def test_requests_within_the_limits_are_answered_on_one_connection(app: ServedApp) -> None:
    """A head and a body of the usual size pass, also in single bytes, and the connection stays."""
    head = ECHO + b"X-Long: " + b"a" * 20_000 + b"\r\nContent-Length: 5\r\n\r\nhello"
    with app.connect() as connection:
        connection.sendall(head)
        assert read_answer(connection).endswith(b"\r\n\r\n5")
        for byte in ECHO + b"Content-Length: 2\r\n\r\nab":
            connection.sendall(bytes([byte]))
        assert read_answer(connection).endswith(b"\r\n\r\n2")
        chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        connection.sendall(ECHO + chunks)
        assert read_answer(connection).endswith(b"\r\n\r\n7")


@pytest.mark.parametrize(
    "data",
    [
        ECHO + b"X-Long: " + b"a" * 40_000,
        ECHO + b"X-Long: " + b"a" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"\r\n" * 20_000,
        ECHO + b"a:b\r\n" * 101,
        ECHO + b"a:b\r\n" * 101 + b"\r\n",
    ],
    ids=["endless value", "long head", "long path", "empty lines", "endless headers", "headers"],
)
def test_head_beyond_the_limits_is_refused(app: ServedApp, data: bytes) -> None:
    """A head of more than 32 KB or 100 headers is answered 431, whether it ends or not."""
    app.headers.clear()
    answer = _exchange(app, data)
    assert answer.startswith(LARGE_HEAD)
    assert b"\r\nconnection: close\r\n" in answer
    assert [] == app.headers


def test_idle_connection_is_closed_after_its_time() -> None:
    """Once answered, a connection is closed when no request has followed for too long."""
    with served(keep_alive_s=0) as app, app.connect() as connection:
        connection.sendall(ECHO + b"Content-Length: 2\r\n\r\nab")
        answer = read_all(connection)
    assert answer.endswith(b"\r\n\r\n2")
    assert b"connection: close" not in answer


def test_trailers_are_no_headers(app: ServedApp) -> None:
    """
    What follows the last chunk is not taken for a header of the request, which a proxy may have
    checked, and is limited like a head.
    """
    start = ECHO + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    with app.connect() as connection:
        connection.sendall(start + b"X-Forwarded-Host: evil\r\n\r\n")
        assert read_answer(connection).endswith(b"\r\n\r\n1")
    assert {b"host": b"x", b"transfer-encoding": b"chunked"} == app.headers[-1]
    assert _exchange(app, start + b"a: " + b"b" * 80_000).startswith(LARGE_HEAD)
    assert _exchange(app, start + b"a:b\r\n" * 102).startswith(LARGE_HEAD)


def test_body_in_too_many_parts_is_refused() -> None:
    """Each part of a body costs time, however small it is."""
    data = ECHO + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 11
    with served(body_parts=10) as app:
        assert _exchange(app, data).startswith(BAD)


def test_requests_sent_before_the_first_answer_are_few() -> None:
    """A sender that does not wait is answered so many requests, then the connection ends."""
    request = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
    with served(pipelined=2) as app, app.connect() as connection:
        connection.sendall(request * 10)
        app.arrived.acquire()
        app.release()
        answer = read_all(connection)
        assert 3 == answer.count(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"released")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ECHO + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["nonsense", "TLS", "HTTP/2", "CONNECT", "path", "address", "lengths", "chunk"],
)
def test_broken_request_is_answered_400_and_leaves_no_line(
    app: ServedApp, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    """What a stranger can send makes a small answer and no line of its own in the log."""
    answer = _exchange(app, data)
    assert answer.startswith(BAD)
    assert len(answer) < 300
    assert b"\r\nconnection: close\r\n" in answer
    assert [] == caplog.records


def test_sender_that_goes_away_leaves_no_line(
    app: ServedApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that is reset in a head, in a body or before its answer is nobody's error."""
    held = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
    for data in (ECHO, ECHO + b"Content-Length: 5\r\n\r\nab", held):
        connection = app.connect()
        connection.sendall(data)
        if data is held:
            app.arrived.acquire()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    app.release()
    assert _exchange(app, ECHO + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert [] == caplog.records


def test_what_was_cut_is_summed_up_in_the_log() -> None:
    """The first one is reported at once, the others together, at most once a minute."""
    with capture_logs() as lines, served() as app:
        for _ in range(3):
            _exchange(app, b"nonsense\r\n\r\n")
        wait_for(lambda: bool(lines), goal="a line")
    events = [line for line in lines if line["event"] == "connections.cut"]
    assert 1 == len(events)
    assert "info" == events[0]["log_level"]
    assert events[0]["bad_requests"] in {1, 2, 3}


def test_upgrade_is_answered_as_a_plain_request(
    app: ServedApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that asks for another protocol, as some do at first, gets its answer in HTTP/1.1."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI"
    answer = _exchange(app, b"GET /echo HTTP/1.1\r\nHost: x\r\n" + upgrade)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n0")
    assert [] == caplog.records


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", b""),
        (ECHO, TIMEOUT),
        (ECHO + b"Content-Length: 5\r\n\r\nab", TIMEOUT),
        (b"POST /early HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", b"HTTP/1.1 200 "),
    ],
    ids=["silent", "head", "body", "body of an answered request"],
)
def test_each_step_has_its_time(data: bytes, answer: bytes) -> None:
    """
    A connection that is silent, a head and a body that do not end are closed after their time; on
    every route, and also where the answer did not wait for the body.
    """
    with served(first_byte_s=0.02, head_s=0.02, body_s=0.02) as app:
        assert _exchange(app, data).startswith(answer)


def test_sender_that_does_not_read_its_answer_is_closed() -> None:
    """An answer that nobody reads is given up after its time."""
    with (
        capture_logs() as lines,
        served(answer_s=0.02, report_s=0) as app,
        app.connect() as connection,
    ):
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: any("slow_readers" in line for line in lines), goal="its end")
        assert 1 == sum(int(line.get("slow_readers", 0)) for line in lines)


def test_silent_connections_shut_nobody_out() -> None:
    """
    At the limit of connections, the oldest silent ones are closed, then idle ones, and one that is
    worked on never; the log says so.
    """
    with (
        capture_logs() as lines,
        served(connections=10) as app,
        app.connect() as working,
        app.connect() as idle,
    ):
        working.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        app.arrived.acquire()
        idle.sendall(ECHO + b"Content-Length: 1\r\n\r\na")
        read_answer(idle)
        silent = [app.connect() for _ in range(8)]
        for _ in range(20):
            assert _exchange(app, ECHO + b"Connection: close\r\nContent-Length: 1\r\n\r\na")
        assert b"" == read_all(silent[0])
        idle.sendall(ECHO + b"Content-Length: 1\r\n\r\na")
        assert read_answer(idle).endswith(b"1")
        app.release()
        assert read_answer(working).endswith(b"released")
        for connection in silent:
            connection.close()
    near = [line for line in lines if line["event"] == "connections.near_limit"]
    assert 10 == near[0]["limit"]
    assert 1 == len(near)


def test_connection_that_finds_only_working_ones_is_refused() -> None:
    """Where each connection is worked on, a new one is closed, and the log says it."""
    with capture_logs() as lines, served(connections=2, report_s=0) as app:
        working = [app.connect() for _ in range(2)]
        for connection in working:
            connection.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            app.arrived.acquire()
        assert b"" == _exchange(app, ECHO)
        app.release()
        for connection in working:
            read_answer(connection)
            connection.close()
    assert 1 == sum(line.get("refused", 0) for line in lines)


def test_too_many_requests_at_a_time_are_answered_503() -> None:
    """What cannot be worked on in time is refused at once, but for the question of a supervisor."""
    limits = OverloadLimits(requests=1, body_bytes=1024 * 1024)
    with capture_logs() as lines, served(overload=limits) as app, app.connect() as working:
        working.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        app.arrived.acquire()
        answer = _exchange(app, ECHO + b"Content-Length: 1\r\n\r\na")
        alive = _exchange(app, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        app.release()
        read_answer(working)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: " in answer
    assert alive.startswith(b"HTTP/1.1 200 ")
    assert [1] == [line["requests"] for line in lines if line["event"] == "requests.refused"]


def test_bytes_of_all_bodies_have_a_limit() -> None:
    """
    Beyond the limit large bodies are refused, and small ones are taken: webhooks are small. The
    bytes of a request count until it is answered.
    """
    limits = OverloadLimits(requests=100, body_bytes=2 * SMALL_BYTES)
    unfinished = ECHO + b"Content-Length: 32768\r\n\r\n" + b"a" * 2 * SMALL_BYTES
    with served(overload=limits) as app:
        with app.connect() as large:
            large.sendall(unfinished[:-9])
            app.arrived.acquire()
            small = _exchange(app, ECHO + b"Connection: close\r\nContent-Length: 1\r\n\r\na")
            other = _exchange(app, unfinished)
        assert small.startswith(b"HTTP/1.1 200 ")
        assert other.startswith(b"HTTP/1.1 503 ")
        last = _exchange(
            app, ECHO + b"Connection: close\r\nContent-Length: 30000\r\n\r\n" + b"a" * 30000
        )
        assert last.startswith(b"HTTP/1.1 200 ")
