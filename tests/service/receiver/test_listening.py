"""
Sockets that a receiver is given, and what it reports to systemd.
"""

import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from service.receiver.listening import NotListening, adopt, systemd_fds
from service.receiver.open_files import connection_limit
from service.receiver.systemd import Notifier


@pytest.mark.parametrize(
    ("pid", "count", "fds"),
    [("{pid}", "2", (3, 4)), ("1", "2", ()), ("{pid}", "", ()), ("", "x", ())],
)
def test_sockets_of_systemd_are_those_for_this_process(
    pid: str, count: str, fds: tuple[int, ...]
) -> None:
    """They are counted from 3; the variables are taken away, since they are for no other one."""
    environment = {
        "LISTEN_PID": pid.format(pid=os.getpid()),
        "LISTEN_FDS": count,
        "LISTEN_FDNAMES": "web",
        "A": "b",
    }
    assert fds == systemd_fds(environment)
    assert {"A": "b"} == environment


def test_adopted_socket_listens() -> None:
    """A socket that is only bound is listened on, and one of IPv6 stays one."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        [listener] = adopt([os.dup(bound.fileno())])
        with listener, socket.create_connection(bound.getsockname(), timeout=5):
            assert listener.getsockname() == bound.getsockname()


def test_what_is_no_socket_is_named(tmp_path: Path) -> None:
    """A file, a closed descriptor and a socket of another kind are refused, and stay open."""
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(NotListening, match=f"descriptor {file.fileno()} is no socket"),
    ):
        adopt([file.fileno()])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(NotListening, match="is no TCP socket"):
            adopt([datagrams.fileno()])
        datagrams.getsockname()
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.connect(server.getsockname())
        with pytest.raises(NotListening, match="cannot listen"):
            adopt([client.fileno()])


@pytest.mark.parametrize("address", ["notify", "@buildr-calls-test-{pid}"])
def test_systemd_is_notified_where_it_asks(tmp_path: Path, address: str) -> None:
    """Over a path or an abstract address, which no process that is started from here inherits."""
    address = address.format(pid=os.getpid())
    if not address.startswith("@"):
        address = str(tmp_path / address)
    environment = {"NOTIFY_SOCKET": address}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0"))
        notifier = Notifier.of(environment)
        notifier.ready()
        notifier.status("serving")
        notifier.stopping()
        received = [systemd.recv(100) for _ in range(3)]
    assert [b"READY=1", b"STATUS=serving", b"STOPPING=1"] == received
    assert {} == environment
    # It is gone: nothing happens.
    notifier.ready()
    Notifier.of(environment).ready()


@pytest.mark.parametrize(
    ("soft", "hard", "connections"),
    [
        (1024, 1024, 1024 - 64),
        (1024, 65536, 5000),
        (65536, 65536, 5000),
        (10, 10, 16),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 5000),
        (1024, resource.RLIM_INFINITY, 5000),
    ],
)
def test_connections_follow_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, connections: int
) -> None:
    """It is raised as far as it is needed and allowed, and some files are left for other things."""
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", _recorder(limits))
    assert connections == connection_limit(5000, accounts=1)
    assert limits[-1] in {(soft, hard), (min(5064, hard) if hard > 0 else 5064, hard)}


def _recorder(limits: list[tuple[int, int]]) -> Callable[[int, tuple[int, int]], None]:
    def record(_: int, pair: tuple[int, int]) -> None:
        limits.append(pair)

    return record
