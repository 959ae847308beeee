"""
The processes of a trial: started, killed and started again by name, and watched as a supervisor
does.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# As in deploy/systemd: a service that ends is started again.
RESTART_AFTER_S: Final = 1.0
POLL_INTERVAL_S: Final = 0.2
STOP_TIMEOUT_S: Final = 60
INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR")
# Below the ports that the kernel gives to connections, so that none of these takes one.
FIRST_PORT: Final = 12_000
LAST_PORT: Final = 31_000


def ports() -> Iterator[int]:
    """Ports that nothing listens on, beginning anywhere."""
    span = LAST_PORT - FIRST_PORT
    start = os.getpid() * 61 % span
    for place in range(span):
        port = FIRST_PORT + (start + place) % span
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    How a part is started: arguments of `buildr-calls` and settings of its own.

    `listener` is a socket that it inherits. `clock_offset_s` sets its clock ahead. With
    `has_stuck_log` nobody reads its log. `max_files` limits its open files. `tree` is the folder of
    the code, None for this one's.
    """

    arguments: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    listener: socket.socket | None = None
    clock_offset_s: float = 0
    has_stuck_log: bool = False
    max_files: int | None = None
    tree: Path | None = None
    is_watched: bool = True


@dataclass(slots=True)
class Part:
    """One part: its command, its process while it runs, and how often it ended by itself."""

    name: str
    command: Command
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0
    exits: list[int] = field(default_factory=list)
    most_memory_kb: int = 0

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class Parts:
    """All parts of a trial, in one folder and with the same settings."""

    folder: Path
    settings: Mapping[str, str]
    by_name: dict[str, Part] = field(default_factory=dict)
    # Read ends of logs that nobody reads, kept open so that the pipe fills.
    _stuck: list[int] = field(default_factory=list)
    _supervisor: "asyncio.Task[None] | None" = None
    # By part and event: the bytes of its log that were read, and the lines found.
    _read_so_far: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def start(self, name: str, command: Command | None = None) -> None:
        """Start a part, as it was started before if no command is given."""
        part = self.by_name.get(name)
        if part is None:
            if command is None:
                raise ValueError(f"there is no part {name}")
            part = self.by_name[name] = Part(name, command)
        elif command is not None:
            part.command = command
        command = part.command
        part.started_at = time.time()
        inherited_fds: tuple[int, ...] = ()
        if command.listener is not None:
            inherited_fds = (command.listener.fileno(),)
        with self._log(part) as log:
            part.process = subprocess.Popen(
                [*self.program(command), *command.arguments],
                cwd=command.tree,
                env=self.environment(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=inherited_fds,
            )
        if command.max_files is not None:
            limits = (command.max_files, command.max_files)
            resource.prlimit(part.process.pid, resource.RLIMIT_NOFILE, limits)

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a part a signal and leave the rest to it."""
        process = self.by_name[name].process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """End a part that is then down on purpose; returns its exit status."""
        part = self.by_name[name]
        process = part.process
        part.process = None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            return await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait)

    def children(self, name: str) -> list[int]:
        """The ids of the processes that a part has started."""
        process = self.by_name[name].process
        if process is None:
            return []
        path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        return [int(pid) for pid in path.read_text(encoding="ascii").split()]

    def log_count(self, name: str, event: str) -> int:
        """How many lines of an event a part has logged; each line is read once."""
        offset, count = self._read_so_far.get((name, event), (0, 0))
        path = self.folder / f"{name}.log"
        if not path.exists():
            return count
        with path.open("rb") as log:
            log.seek(offset)
            text = log.read()
        # A line that is not yet whole is read the next time.
        text = text[: text.rfind(b"\n") + 1]
        count += text.count(f'"{event}"'.encode())
        self._read_so_far[name, event] = (offset + len(text), count)
        return count

    def watch(self) -> None:
        """Start again what ends by itself, from now on, and measure memory."""
        self._supervisor = asyncio.create_task(self._supervise(), name="supervisor")

    async def close(self) -> None:
        """End everything."""
        if self._supervisor is not None:
            self._supervisor.cancel()
        for part in self.by_name.values():
            if part.process is not None:
                # A stopped process is ended by this signal too.
                part.process.kill()
        for part in self.by_name.values():
            if part.process is not None:
                await asyncio.to_thread(part.process.wait)
        for descriptor in self._stuck:
            os.close(descriptor)

    async def _supervise(self) -> None:
        while True:
            for part in self.by_name.values():
                if part.process is None or not part.command.is_watched:
                    continue
                status = part.process.poll()
                if status is None:
                    part.most_memory_kb = max(part.most_memory_kb, _memory_kb(part.process.pid))
                elif not part.exits or time.time() > part.started_at + RESTART_AFTER_S:
                    part.exits.append(status)
                    self.start(part.name)
            await asyncio.sleep(POLL_INTERVAL_S)

    def program(self, command: Command | None = None) -> list[str]:
        """The words that start buildr-calls."""
        return [sys.executable, "-m", _module(command)]

    def environment(self, command: Command) -> dict[str, str]:
        """The variables of a part."""
        environment = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **self.settings,
            **command.settings,
        }
        if command.clock_offset_s:
            environment["SKEW_S"] = str(command.clock_offset_s)
        return environment

    @contextlib.contextmanager
    def _log(self, part: Part) -> Iterator[int]:
        if part.command.has_stuck_log:
            reader, writer = os.pipe()
            self._stuck.append(reader)
        else:
            path = self.folder / f"{part.name}.log"
            writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            yield writer
        finally:
            os.close(writer)


def _module(command: Command | None) -> str:
    if command is not None and command.clock_offset_s:
        return "tests.faults.skewed_part"
    return "workers.cli.main"


def _memory_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
