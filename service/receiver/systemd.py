"""
The state of this process, reported to systemd where it asks for it (`Type=notify`).

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

VARIABLE: Final = "NOTIFY_SOCKET"


class Notifier:
    """Sends states to systemd; without an address it sends nothing."""

    def __init__(self, address: str = "") -> None:
        self._address = address

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """
        That of this process. Its address is taken out of the environment: it is for no other one.
        """
        return cls(environ.pop(VARIABLE, ""))

    def ready(self) -> None:
        """It serves."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        address = self._address
        if not address:
            return
        if address.startswith("@"):
            # An abstract address, which begins with a zero byte.
            address = "\0" + address[1:]
        # systemd may be gone or busy, which is no reason to end.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | os.O_CLOEXEC) as channel,
        ):
            channel.connect(address)
            channel.send(state.encode())
