"""
Processes of the service that begin with its modules imported: each test process imports them once,
in a server that forks (`multiprocessing`'s), instead of a second of processor time for each start.
"""

import atexit
import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

import coverage

# What the parts import when they start.
PRELOADED: Final = [
    "tests.e2e.preloaded",
    "workers.cli.main",
    "service.logs.setup",
    "workers.cli.run",
    "workers.cli.serve",
    "workers.process.main",
    "workers.sandbox.server",
    "service.receiver.server",
    "service.receiver.app",
]
# The server is not measured: it only imports.
COVERAGE_VARIABLE: Final = "COVERAGE_PROCESS_CONFIG"


class PreloadedProcess:
    """One part of the service: as much of `subprocess.Popen` as the tests use."""

    def __init__(self, arguments: tuple[str, ...], *, env: Mapping[str, str], log: Path) -> None:
        context = _context()
        self._process: ForkServerProcess = context.Process(
            target=_run, args=(arguments, dict(env), log), daemon=True
        )
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait for the end, for some seconds; the exit status.

        Raises TimeoutError.
        """
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutError(f"process {self.pid} runs after {timeout} s")
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    measured = os.environ.pop(COVERAGE_VARIABLE, None)
    forkserver.ensure_running()
    if measured is not None:
        os.environ[COVERAGE_VARIABLE] = measured
    return context


def _run(arguments: tuple[str, ...], env: dict[str, str], log: Path) -> None:
    """The process itself: as if it were started by the command line."""
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.close(file)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["buildr-calls", *arguments]
    if COVERAGE_VARIABLE in env:
        coverage.process_startup(force=True)
    from workers.cli.main import main  # noqa: PLC0415

    try:
        main()
    finally:
        # `multiprocessing` ends its processes without them.
        atexit._run_exitfuncs()
