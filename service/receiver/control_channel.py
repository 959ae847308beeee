"""
The channel between the master of several receiver processes and each of them: the process reports
that it is ready, or what is wrong; when the master is gone, the process ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Sequence
from typing import Final, Self

from msgspec import Struct

# One report; a list of faults may be long.
MAX_BYTES: Final = 64 * 1024


class ControlChannel:
    """The end of the process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    @classmethod
    def of(cls, fd: int) -> Self:
        """The channel of a file descriptor that the master has passed on."""
        channel = socket.socket(fileno=fd)
        channel.set_inheritable(False)
        return cls(channel)

    def end_with_master(self) -> None:
        """
        End this process in order when the master is gone. A hang-up of its terminal, or a signal
        for the master that reaches all of them, is nothing to this process.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

        def watch() -> None:
            with contextlib.suppress(OSError):
                while self._channel.recv(1):
                    pass
            os.kill(os.getpid(), signal.SIGTERM)

        # A thread, since a read blocks. As a daemon it does not keep the process alive.
        threading.Thread(target=watch, name="master", daemon=True).start()

    def report_ready(self) -> None:
        """Requests are answered from now on."""
        self._send({"ready": True})

    def report_faults(self, faults: Sequence[str]) -> None:
        """The process does not start: what is wrong with its settings."""
        self._send({"faults": list(faults)})

    def _send(self, report: dict[str, object]) -> None:
        # Without a master nobody wants to know.
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(report).encode() + b"\n")


class Report(Struct, frozen=True):
    """What a process has reported at its start: it is ready if there are no faults."""

    faults: tuple[str, ...] = ()


class MasterChannel:
    """The end of the master."""

    def __init__(self) -> None:
        self._channel, self._far_end = socket.socketpair()
        self._channel.setblocking(False)

    @property
    def far_fd(self) -> int:
        """The file descriptor for the process."""
        return self._far_end.fileno()

    def close_far_end(self) -> None:
        """Close this process's copy of the other end, once the process has its own."""
        self._far_end.close()

    async def report(self) -> Report | None:
        """What the process reports; None if it ended without a word."""
        loop = asyncio.get_running_loop()
        data = b""
        while not data.endswith(b"\n") and len(data) < MAX_BYTES:
            try:
                part = await loop.sock_recv(self._channel, MAX_BYTES)
            except OSError:
                return None
            if not part:
                return None
            data += part
        return _read_report(data)

    def close(self) -> None:
        """Close the channel; a process at the other end would end."""
        self._channel.close()


def _read_report(data: bytes) -> Report | None:
    try:
        report = json.loads(data)
    except ValueError:
        return None
    return Report(tuple(str(fault) for fault in report.get("faults", ())))
