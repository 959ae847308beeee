"""
The sockets that a receiver listens on: its own, or those that it is given, by systemd or a process
that started it.
"""

import os
import socket
import sys
from collections.abc import MutableMapping, Sequence
from typing import Final

# Connections that the kernel holds while the process is busy. It is cut to `net.core.somaxconn`.
BACKLOG: Final = 2048
FAILED: Final = 1
# The first file descriptor that systemd passes on.
# https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
FIRST_FD: Final = 3


class NotListening(Exception):
    """Raised when a file descriptor is no socket that could be listened on."""


def systemd_fds(environ: MutableMapping[str, str]) -> tuple[int, ...]:
    """
    The sockets that systemd has passed to this process. Takes the variables that name them out of
    the environment, so that no process that this one starts takes them for its own.
    """
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return ()
    return tuple(range(FIRST_FD, FIRST_FD + int(count)))


def adopt(fds: Sequence[int]) -> list[socket.socket]:
    """The sockets of file descriptors, listening. Raises `NotListening`."""
    return [_adopt(fd) for fd in fds]


def _adopt(fd: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=fd)
    except OSError as err:
        raise NotListening(f"file descriptor {fd} is no socket") from err
    if listener.type != socket.SOCK_STREAM or listener.family == socket.AF_UNIX:
        # Not closed: it belongs to whoever opened it.
        listener.detach()
        raise NotListening(f"file descriptor {fd} is no TCP socket")
    listener.setblocking(False)
    # Not passed on to what is started from here, unless it is named.
    listener.set_inheritable(False)
    try:
        listener.listen(BACKLOG)
    except OSError as err:
        listener.detach()
        raise NotListening(f"file descriptor {fd} cannot listen: {err.strerror}") from err
    return listener


def hosts_of(sockets: Sequence[socket.socket]) -> tuple[str, ...]:
    """The addresses on which sockets are reached."""
    return tuple(str(listener.getsockname()[0]) for listener in sockets)


def listen(host: str, port: int, *, settings: str = "HOST and PORT") -> socket.socket:
    """
    A socket that listens on an address. Ends the process with status 1 and one line on stderr that
    names the `settings` to change if it cannot.
    """
    family = socket.AF_INET
    if ":" in host:
        family = socket.AF_INET6
    try:
        # Bound before uvicorn starts, so that an address in use is one clear line, and not a
        # traceback after "started".
        return socket.create_server(
            (host, port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as err:
        # Python adds the address to the system's words.
        reason = (err.strerror or str(err)).partition(" (")[0]
        sys.stderr.write(
            f"buildr-calls: cannot listen on {host} port {port}: {reason}. "
            f"Choose another with {settings}.\n"
        )
        sys.exit(FAILED)
