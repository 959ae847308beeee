"""
The master of several receiver processes: it holds the listening socket, starts processes that
accept from it, and replaces them by new ones on SIGHUP.

The socket stays open through all of it, so that no connection is refused: what arrives while a
process starts or ends waits in the kernel for another one.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.receiver.control_channel import MasterChannel
from service.receiver.systemd import Notifier

SIGNALS: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterTimes:
    """
    Seconds. A process has `ready_s` to become ready and `stop_s` to end, which is more than it
    takes for itself. One that dies is started again at once, and after growing pauses up to
    `longest_pause_s` if it dies again within `stable_s`.
    """

    ready_s: float = 120
    stop_s: float = 20
    first_pause_s: float = 0.5
    longest_pause_s: float = 30
    stable_s: float = 60


class NotReady(Exception):
    """Raised when processes did not start."""


@dataclass(eq=False)
class _Process:
    """One receiver process."""

    process: asyncio.subprocess.Process
    channel: MasterChannel
    started_at: float

    async def wait_ready(self, timeout_s: float) -> None:
        """Return once it answers requests. Raises `NotReady`."""
        try:
            async with asyncio.timeout(timeout_s):
                report = await self.channel.report()
                if report is None:
                    status = await self.process.wait()
                    raise NotReady(f"it ended with status {status} before it was ready")
        except TimeoutError as err:
            raise NotReady(f"it was not ready within {timeout_s:g} s") from err
        if report.faults:
            raise NotReady("; ".join(report.faults))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def end(self, stop_s: float) -> None:
        """End it in order, and by force after a time."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(stop_s):
                await self.process.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.process.wait()
        self.channel.close()


@dataclass(eq=False)
class _Generation:
    """The processes that were started together, and the tasks that start them again."""

    processes: list[_Process] = field(default_factory=list)
    keepers: list[asyncio.Task[None]] = field(default_factory=list)


class Master:
    """
    Keeps `count` processes of one command running. `command` is run with `--inherited-fd` and
    `--control-fd` at its end.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        *,
        count: int,
        environment: Mapping[str, str],
        notifier: Notifier | None = None,
        times: MasterTimes | None = None,
    ) -> None:
        self._command = tuple(command)
        self._sockets = tuple(sockets)
        self._count = count
        self._environment = dict(environment)
        self._notifier = notifier or Notifier()
        self._times = times or MasterTimes()
        self._current = _Generation()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_stopping = asyncio.Event()
        self._is_reload_due = asyncio.Event()

    async def run(self) -> bool:
        """Run until SIGTERM or SIGINT. Returns False if the first processes did not start."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            generation = await self._try_start(LogEvent.SERVICE_NOT_STARTED)
            if generation is None:
                return False
            self._current = generation
            self._notifier.ready()
            await self._serve()
            return True
        finally:
            self._notifier.stopping()
            self._retire(self._current)
            while self._ending:
                await asyncio.gather(*self._ending)
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            self._is_reload_due.set()
        else:
            self._is_stopping.set()

    async def _serve(self) -> None:
        while not self._is_stopping.is_set():
            await self._until_stop(self._is_reload_due.wait())
            if self._is_reload_due.is_set():
                self._is_reload_due.clear()
                await self._until_stop(self._reload())

    async def _until_stop(self, work: Coroutine[object, object, object]) -> None:
        """Do something, and leave it when this process is to stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._is_stopping.wait())
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        for either in (task, stop):
            either.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)

    async def _reload(self) -> None:
        self._notifier.status("starting new processes")
        generation = await self._try_start(LogEvent.SERVICE_NOT_RELOADED)
        if generation is None:
            return
        former = self._current
        self._current = generation
        self._retire(former)
        log.info(LogEvent.SERVICE_RELOADED, processes=self._count)
        self._notifier.status("serving")

    async def _try_start(self, failed: LogEvent) -> _Generation | None:
        """New processes, or None after a line that says why they did not start."""
        try:
            return await self._start()
        except NotReady as err:
            reason = str(err)
        log.error(failed, reason=reason)
        self._notifier.status(f"new processes did not start: {reason}")
        return None

    async def _start(self) -> _Generation:
        """Start new processes and wait until all are ready. Raises `NotReady`."""
        generation = _Generation()
        try:
            for _ in range(self._count):
                generation.processes.append(await self._spawn())
            await asyncio.gather(
                *(process.wait_ready(self._times.ready_s) for process in generation.processes)
            )
        except OSError as err:
            self._retire(generation)
            raise NotReady(f"it cannot be started: {err}") from err
        except (NotReady, asyncio.CancelledError):
            self._retire(generation)
            raise
        generation.keepers = [
            asyncio.create_task(self._keep(generation, place)) for place in range(self._count)
        ]
        return generation

    async def _spawn(self) -> _Process:
        channel = MasterChannel()
        fds = [listener.fileno() for listener in self._sockets]
        options = [f"--inherited-fd={fd}" for fd in fds]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *options,
                f"--control-fd={channel.far_fd}",
                pass_fds=(*fds, channel.far_fd),
                env=self._environment,
                # Ctrl-C is for the master, which ends the processes in order.
                process_group=0,
            )
        except OSError:
            channel.close()
            raise
        finally:
            channel.close_far_end()
        return _Process(process, channel, asyncio.get_running_loop().time())

    async def _keep(self, generation: _Generation, place: int) -> None:
        """Start a process again whenever it ends by itself."""
        times = self._times
        deaths = 0
        while True:
            process = generation.processes[place]
            status = await process.process.wait()
            process.channel.close()
            now = asyncio.get_running_loop().time()
            if now - process.started_at > times.stable_s:
                deaths = 0
            pause_s = 0.0
            if deaths:
                pause_s = min(times.longest_pause_s, times.first_pause_s * 2.0 ** (deaths - 1))
            deaths += 1
            log.warning(LogEvent.SERVICE_PROCESS_ENDED, status_code=status, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            try:
                generation.processes[place] = await self._spawn()
            except OSError as err:
                log.warning(LogEvent.SERVICE_PROCESS_ENDED, reason=str(err))

    def _retire(self, generation: _Generation) -> None:
        """End processes in the background; none of them is started again."""
        for keeper in generation.keepers:
            keeper.cancel()
        for process in generation.processes:
            task = asyncio.create_task(process.end(self._times.stop_s))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def child_command() -> list[str]:
    """How this process was started, for one like it with more options at the end."""
    # By the path under which this Python was started, and not the one that it links to: a new
    # version may have been put in its place.
    return [sys.executable, *sys.orig_argv[1:]]


def run_master(
    sockets: Sequence[socket.socket], *, count: int, notifier: Notifier | None = None
) -> bool:
    """Run processes like this one until SIGTERM; False if the first ones did not start."""
    return asyncio.run(
        _run_master(
            Master(
                child_command(),
                sockets,
                count=count,
                environment=os.environ,
                notifier=notifier,
            )
        )
    )


async def _run_master(master: Master) -> bool:
    return await master.run()
