"""
The supervisor: parts start in order, come back when they end, and all of them stop.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.harness import inherited, wait_for
from workers.local.data_folder import LocalRunError
from workers.local.supervisor import ProcessSpec, Supervisor

READY = "print('ready', flush=True)\n"
FOREVER = "import time, os\n" + READY + "while True: time.sleep(3600)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER


class OutputLines:
    """What a supervisor reported: lines of parts, and sentences of its own."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.reported: list[str] = []

    def supervisor(self) -> Supervisor:
        """A supervisor that reports here and starts parts again at once."""
        return Supervisor(
            on_line=lambda name, text: self.lines.append((name, text)),
            say=self.reported.append,
            backoff_s=(0.01,),
        )


def part(
    name: str, code: str, *, ready_text: str | None = "ready", ready_url: str | None = None
) -> ProcessSpec:
    """A part that runs a piece of Python."""
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", code),
        environment=dict(os.environ),
        ready_text=ready_text,
        ready_url=ready_url,
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (there is no event for what another process does)
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process does not exist any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_parts_start_and_stop() -> None:
    """Start returns when the parts are ready; after stop no process is left."""
    output = OutputLines()
    supervisor = output.supervisor()
    await supervisor.start(part("one", FOREVER), part("two", FOREVER))
    pids = supervisor.pids
    assert {("one", "ready"), ("two", "ready")} == set(output.lines)
    await supervisor.stop()
    assert {"one", "two"} == set(pids)
    assert all(is_gone(pid) for pid in pids.values())
    assert output.reported == []


async def test_last_part_stops_first(tmp_path: Path) -> None:
    """A part that was started later is stopped before those that it may need."""
    order = tmp_path / "order"
    code = (
        f"import signal, sys\ndef end(*_):\n    open({str(order)!r}, 'a').write('%s ')\n    "
        "sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    supervisor = OutputLines().supervisor()
    for name in ("first", "second", "third"):
        await supervisor.start(part(name, code % name + FOREVER))
    await supervisor.stop()
    assert "third second first " == order.read_text(encoding="utf-8")


async def test_killed_part_comes_back() -> None:
    """A part that is killed is started again, and a line says so."""
    output = OutputLines()
    supervisor = output.supervisor()
    await supervisor.start(part("worker", FOREVER))
    first = supervisor.pids["worker"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pids.get("worker", first) != first)
    assert ["worker was ended by SIGKILL; it is started again in 0.01 s"] == output.reported
    await supervisor.stop()


async def test_part_that_cannot_be_started_again_ended_once(tmp_path: Path) -> None:
    """While its program is missing, only that is repeated; once it is there, the part runs."""
    program = tmp_path / "python"
    program.symlink_to(sys.executable)
    output = OutputLines()
    supervisor = output.supervisor()
    spec = replace(part("worker", FOREVER), argv=(str(program), "-c", FOREVER))
    await supervisor.start(spec)
    first = supervisor.pids["worker"]
    program.unlink()
    os.kill(first, signal.SIGKILL)
    missing = "worker cannot be started: No such file or directory"
    await until(lambda: output.reported.count(missing) > 1)
    program.symlink_to(sys.executable)
    await until(lambda: "worker" in supervisor.pids)
    ended = "worker was ended by SIGKILL; it is started again in 0.01 s"
    assert 1 == output.reported.count(ended)
    assert {ended, missing} == set(output.reported)
    await supervisor.stop()


async def test_part_that_ends_at_start_is_explained() -> None:
    """
    A part that cannot start stops the start with its own last line; nothing is left running after
    stop.
    """
    supervisor = OutputLines().supervisor()
    await supervisor.start(part("sandbox", FOREVER))
    with pytest.raises(LocalRunError, match="receiver ended with status 3: port is taken"):
        await supervisor.start(part("receiver", "import sys; print('port is taken'); sys.exit(3)"))
    pids = supervisor.pids
    await supervisor.stop()
    assert ["sandbox"] == list(pids)
    assert all(is_gone(pid) for pid in pids.values())


async def test_part_is_ready_when_its_url_answers() -> None:
    """A part with a URL is ready as soon as that answers 200, not before."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = (
        "import http.server, time\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    asked = 0\n"
        "    def do_GET(self):\n"
        "        Handler.asked += 1\n"
        "        self.send_response(200 if Handler.asked > 2 else 503); self.end_headers(); "
        "print('asked', flush=True)\n"
        "    def log_message(self, *_): pass\n"
        f"http.server.HTTPServer(('127.0.0.1', {port}), Handler).serve_forever()\n"
    )
    output = OutputLines()
    supervisor = output.supervisor()
    await supervisor.start(
        part("web", code, ready_text=None, ready_url=f"http://127.0.0.1:{port}/readyz")
    )
    await until(lambda: len(output.lines) == 3)
    await supervisor.stop()


async def test_kill_ends_parts_that_do_not_listen() -> None:
    """Kill ends a part that ignores SIGTERM, and stop then returns."""
    supervisor = OutputLines().supervisor()
    await supervisor.start(part("deaf", DEAF))
    pids = supervisor.pids
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.kill()
    await stopping
    assert all(is_gone(pid) for pid in pids.values())


async def test_long_line_does_no_harm() -> None:
    """A line of several megabytes is dropped and the part's next line still arrives."""
    output = OutputLines()
    supervisor = output.supervisor()
    await supervisor.start(part("worker", "print('x' * 3_000_000)\n" + FOREVER))
    assert ("worker", "ready") in output.lines
    await supervisor.stop()


async def test_ctrl_c_of_the_terminal_does_not_reach_the_parts() -> None:
    """Every part has a session of its own."""
    supervisor = OutputLines().supervisor()
    await supervisor.start(part("worker", FOREVER))
    pid = supervisor.pids["worker"]
    assert (pid, pid) == (os.getsid(pid), os.getpgid(pid))
    await supervisor.stop()


@pytest.mark.slow
@pytest.mark.parametrize("command", [["serve"], ["work"], ["sandbox", "--port", "0"]])
def test_command_ends_with_its_supervisor(
    command: list[str], redis_url: str, tmp_path: Path
) -> None:
    """
    `serve`, `work` and `sandbox` end by themselves when the program that started them is gone.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [port if value == "0" else value for value in command]
    environment = {
        **inherited("PATH", "HOME", kind="supervisor"),
        "REDIS_URL": redis_url,
        "TWILIO_AUTH_TOKEN": "fake-token-of-the-tests",
        "PORT": port,
        "BUILDR_ACCESS_TOKEN": "token",
        "BUILDR_API_URL": "http://127.0.0.1:9/api",
        "LOG_FORMAT": "json",
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.main", *command, "--until-stdin-closes"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: b".started" in log.read_bytes(), goal=f"{command[0]} to start")
        assert process.poll() is None
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in {0, -signal.SIGTERM}
