"""
How a receiver stops: what has been sent is answered.
"""

import threading

import pytest
from structlog.testing import capture_logs

from service.receiver.receiver_server import StopTimes
from tests.doubles.served_app import read_all, read_answer, served

ECHO = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na"
HELD = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"\r\nconnection: close\r\n"


def test_what_arrives_while_it_stops_is_answered() -> None:
    """
    An idle connection, one with a part of a head, one that was just opened and a new one are still
    answered, each for the last time; what is worked on is too.
    """
    with served(times=StopTimes(linger_s=30, grace_s=30)) as app:
        idle, partial, fresh, working = (app.connect() for _ in range(4))
        idle.sendall(ECHO)
        assert CLOSE not in read_answer(idle)
        partial.sendall(ECHO[:20])
        working.sendall(HELD)
        app.begin_stop()
        # It stops once this connection is answered for the last time.
        with app.connect() as connection:
            while True:
                connection.sendall(ECHO)
                if CLOSE in read_answer(connection):
                    break
        for connection, data in ((idle, ECHO), (partial, ECHO[20:]), (fresh, ECHO)):
            connection.sendall(data)
            assert CLOSE in read_all(connection)
        with app.connect() as newcomer:
            newcomer.sendall(ECHO)
            assert CLOSE in read_all(newcomer)
        app.release()
        answer = read_all(working)
        assert CLOSE in answer
        assert answer.endswith(b"released")
        for connection in (idle, partial, fresh, working):
            connection.close()


def test_everything_goes_on_while_it_drains() -> None:
    """A connection stays open for further requests, until the time for draining is over."""
    has_begun = threading.Event()
    times = StopTimes(drain_s=60, linger_s=0, grace_s=5)
    with served(times=times, on_drain=has_begun.set) as app:
        app.begin_stop()
        assert has_begun.wait(20)
        with app.connect() as connection:
            for _ in range(2):
                connection.sendall(ECHO)
                assert CLOSE not in read_answer(connection)
        app.hurry()


def test_idle_connections_are_closed_after_a_while() -> None:
    """A stop does not wait for those that send nothing."""
    times = StopTimes(linger_s=0.05, grace_s=30)
    with served(times=times) as app, app.connect() as fresh, app.connect() as idle:
        idle.sendall(ECHO)
        read_answer(idle)
        app.begin_stop()
        assert b"" == read_all(fresh)
        assert b"" == read_all(idle)


def test_request_that_takes_longer_than_the_grace_is_answered_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its sender is asked to send it again, and the log has one line, without a traceback."""
    with (
        capture_logs() as lines,
        served(times=StopTimes(linger_s=0, grace_s=0.05)) as app,
        app.connect() as working,
    ):
        working.sendall(HELD)
        app.arrived.acquire()
        app.begin_stop()
        answer = read_all(working)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: " in answer
    assert [("service.stopped_in_haste", 1)] == [
        (line["event"], line["requests"]) for line in lines
    ]
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]
