"""
The time that a command takes from its start to its end, and a process until it is ready.
"""

import http.client
import resource
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.e2e.harness import COMMAND, System

LIMIT_S: Final = 60.0
# Between two questions whether a receiver answers.
ASK_S: Final = 0.005
STARTED: Final = b"worker.started"


class StartError(Exception):
    """A command did not do what it is measured for, or a process was not ready in time."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """
    A command: arguments of Python, variables, and what it has to end with: its exit status, and a
    text in what it prints.
    """

    title: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    output: str = ""
    code: int = 0
    goal_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process that stays, by its command: `serve` or `work`."""

    title: str
    command: str
    goal_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """User and system time of a process, and the time by the clock, both in milliseconds."""

    cpu_ms: float
    clock_ms: float


def measured(start: Start, *, python: str, environment: Mapping[str, str]) -> Spent:
    """Run a command to its end. Raises `StartError` if it did not do what it should."""
    before_s = _children_s()
    began = time.perf_counter()
    done = subprocess.run(
        (python, *start.arguments),
        capture_output=True,
        check=False,
        text=True,
        env={**environment, **start.variables},
        timeout=LIMIT_S,
    )
    clock_s = time.perf_counter() - began
    output = done.stdout + done.stderr
    if done.returncode != start.code or start.output not in output:
        raise StartError(f"{start.title} ended with {done.returncode}: {output}")
    return Spent((_children_s() - before_s) * 1000, clock_s * 1000)


def measure_process(part: Part, *, python: str, system: System) -> Spent:
    """
    Start a process of the service and end it as soon as it is ready. Raises `StartError` if it is
    not within a minute.
    """
    is_ready = {"serve": _answers, "work": _logs}[part.command]
    before_s = _children_s()
    began = time.perf_counter()
    process = subprocess.Popen(
        (python, *COMMAND, part.command),
        env={**system.environment, "LOG_LEVEL": "info"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        is_ready(process, system.port)
        clock_s = time.perf_counter() - began
    finally:
        # At once: its end is not measured.
        process.kill()
        process.communicate()
    return Spent((_children_s() - before_s) * 1000, clock_s * 1000)


def _answers(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the receiver is ready to take messages."""
    _wait(process, lambda: _status(port) == http.client.OK)


def _status(port: int) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def _wait(process: "subprocess.Popen[bytes]", holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"{process.args!r} was not ready")
        time.sleep(ASK_S)


def _logs(process: "subprocess.Popen[bytes]", _: int) -> None:
    """Wait until the worker says that it takes jobs."""
    lines = process.stdout or ()
    # The end of the log is the end of the process.
    if not any(STARTED in line for line in lines):
        raise StartError(f"{process.args!r} was not ready")


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
