"""
Keeps the processes of `run` alive: starts them, waits until they are ready, starts again what ends,
and stops all of them.

Every process runs in a session of its own, so that a Ctrl-C in the terminal reaches only the
program that supervises. It holds the other end of each one's stdin: a process that was asked to
watch it ends when the supervising program is gone, kill -9 included.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from workers.local.data_folder import LocalRunError

READY_TIMEOUT_S: Final = 60.0
ASK_EVERY_S: Final = 0.05
ASK_TIMEOUT_S: Final = 2.0
# Longer than a worker or the receiver takes by itself, see `finish_jobs` and `GRACE_S`.
STOP_TIMEOUT_S: Final = 30.0
# asyncio's limit is 64 KB, and a traceback in a JSON line can be longer.
LONGEST_LINE_BYTES: Final = 1024 * 1024
LINES_KEPT: Final = 5
# The first one is short, for a crash by chance; the last one keeps a process that always fails from
# taking all of the machine.
BACKOFF_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
# Whoever ran for so long is not failing at its start: it begins anew with the short waits.
STEADY_S: Final = 60.0

Listener = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """
    One process: what it is called, its command line, its whole environment.

    It is ready when `ready_url` answers 200, or when it has written a line that holds `ready_text`;
    at once if neither is given.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready_url: str | None = None
    ready_text: str | None = None


@dataclass(slots=True)
class _Child:
    part: ProcessSpec
    process: asyncio.subprocess.Process | None = None
    reader: "asyncio.Task[None] | None" = None
    keeper: "asyncio.Task[None] | None" = None
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))


class Supervisor:
    """
    The processes of one run.

    `on_line` gets every line that a part writes, with the part's name; `say` gets a sentence when a
    part had to be started again.
    """

    def __init__(
        self,
        *,
        on_line: Listener,
        say: Callable[[str], None],
        backoff_s: tuple[float, ...] = BACKOFF_S,
    ) -> None:
        self._on_line: Final = on_line
        self._say: Final = say
        self._backoff_s: Final = backoff_s
        self._children: Final[list[_Child]] = []

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the parts that run."""
        running = ((child.part.name, child.process) for child in self._children)
        return {
            name: process.pid
            for name, process in running
            if process is not None and process.returncode is None
        }

    async def start(self, *parts: ProcessSpec) -> None:
        """
        Start parts together, return when all are ready, and keep them running from then on.

        Raises `LocalRunError` with the last lines of a part that ends, or is not ready within a
        minute.
        """
        children = [_Child(part) for part in parts]
        for child in children:
            self._children.append(child)
            await self._launch(child)
        for child in children:
            await self._wait_until_ready(child)
            # Only now: a part that ends during the first start is an error to report, not to
            # repeat.
            child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.part.name}")

    async def stop(self) -> None:
        """
        Stop all parts, the last one first: ask, and insist after half a minute. Returns when all
        have ended.
        """
        # In reverse, so that the worker ends before what it writes to.
        for child in reversed(self._children):
            # First: it would start again what is being stopped.
            await _cancel(child.keeper)
            if child.process is not None and child.process.returncode is None:
                _signal(child.process, signal.SIGTERM)
                try:
                    async with asyncio.timeout(STOP_TIMEOUT_S):
                        await child.process.wait()
                except TimeoutError:
                    self._say(f"{child.part.name} does not stop and is ended")
                    _signal(child.process, signal.SIGKILL)
                    await child.process.wait()
            if child.reader is not None:
                await child.reader
        self._children.clear()

    def kill(self) -> None:
        """End all parts the hard way; `stop` then returns at once."""
        for child in self._children:
            if child.keeper is not None:
                child.keeper.cancel()
            if child.process is not None and child.process.returncode is None:
                _signal(child.process, signal.SIGKILL)

    async def _launch(self, child: _Child) -> None:
        child.is_ready.clear()
        child.last_lines.clear()
        child.process = await asyncio.create_subprocess_exec(
            *child.part.argv,
            env=dict(child.part.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # One stream keeps the order of the lines. A traceback of Python itself goes to stderr.
            stderr=asyncio.subprocess.STDOUT,
            # Also makes it the leader of a process group, which `_signal` can end as a whole.
            start_new_session=True,
            limit=LONGEST_LINE_BYTES,
        )
        child.reader = asyncio.create_task(
            self._read(child, child.process), name=f"read {child.part.name}"
        )

    async def _read(self, child: _Child, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        while stream is not None:
            try:
                raw = await stream.readline()
            except ValueError:
                # Longer than the limit: asyncio has thrown it away.
                continue
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip("\r\n")
            child.last_lines.append(line)
            self._on_line(child.part.name, line)
            if child.part.ready_text is not None and child.part.ready_text in line:
                child.is_ready.set()

    async def _wait_until_ready(self, child: _Child) -> None:
        process = child.process
        if process is None:
            return
        ready = asyncio.create_task(_ready(child))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait(
                {ready, ended}, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                if child.reader is not None:
                    await child.reader
                raise LocalRunError(
                    f"{child.part.name} {_how_it_ended(process)}: {_last_lines(child)}"
                )
            if not ready.done():
                raise LocalRunError(
                    f"{child.part.name} was not ready within {READY_TIMEOUT_S:.0f} s: "
                    f"{_last_lines(child)}"
                )
        finally:
            await _cancel(ready)
            await _cancel(ended)

    async def _keep(self, child: _Child) -> None:
        failures = 0
        while child.process is not None:
            started = time.monotonic()
            await child.process.wait()
            failures = 0 if time.monotonic() - started > STEADY_S else failures
            wait_s = self._backoff_s[min(failures, len(self._backoff_s) - 1)]
            failures += 1
            self._say(
                f"{child.part.name} {_how_it_ended(child.process)}; it is started again in "
                f"{wait_s:g} s"
            )
            is_running = False
            while not is_running:
                await asyncio.sleep(wait_s)
                is_running = await self._relaunch(child)

    async def _relaunch(self, child: _Child) -> bool:
        """Start a part that has ended; False, with a line that says why, if it cannot be."""
        try:
            await self._launch(child)
        except OSError as err:
            self._say(f"{child.part.name} cannot be started: {err.strerror}")
            return False
        return True


async def answers(url: str) -> bool:
    """Whether a URL answers 200 within two seconds."""
    try:
        async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False) as client:
            return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _ready(child: _Child) -> None:
    if child.part.ready_url is not None:
        while True:
            if await answers(child.part.ready_url):
                return
            await asyncio.sleep(ASK_EVERY_S)
    elif child.part.ready_text is not None:
        await child.is_ready.wait()


async def _cancel(task: "asyncio.Task[None] | asyncio.Task[int] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal a process, and with SIGKILL all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _how_it_ended(process: asyncio.subprocess.Process) -> str:
    status = process.returncode or 0
    return (
        f"was ended by {signal.Signals(-status).name}"
        if status < 0
        else f"ended with status {status}"
    )


def _last_lines(child: _Child) -> str:
    return " / ".join(child.last_lines) or "it said nothing"
