"""
`run` as its users run it: a process that starts all others, simulates a call, and leaves nothing
behind.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import free_port, inherited, wait_for

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
SECRETS = ("twilio_auth_token", "standard_secret", "admin_token")


class Run:
    """`buildr-calls run` as a process in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.sandbox_port = free_port()
        self.log = folder / "out.log"
        options = ["--port", str(self.port), "--sandbox-port", str(self.sandbox_port)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.cli.main", "run", *options, *arguments],
                cwd=folder,
                env={**inherited("PATH", kind="run"), "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def reported(self) -> str:
        """All that it has printed."""
        return self.log.read_text(encoding="utf-8")

    def children(self) -> dict[int, str]:
        """The processes that it has started, with their command lines."""
        result = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"PPid:\t{self.process.pid}\n" in (path / "status").read_text(encoding="utf-8"):
                    result[int(path.name)] = (
                        (path / "cmdline").read_text(encoding="utf-8").replace("\0", " ")
                    )
        return result

    def wait_until_up(self) -> None:
        """Wait until it says what to try next."""
        wait_for(
            lambda: "Try next" in self.reported or self.process.poll() is not None,
            goal="the run to be up",
        )
        assert self.process.poll() is None, self.reported

    def end(self) -> None:
        """End whatever is left."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process exists."""
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Runs that are ended with the test."""
    started: list[Run] = []
    yield started
    for run in started:
        run.end()


def test_demo_ends_in_the_outcome(tmp_path: Path, runs: list[Run]) -> None:
    """
    Once: four webhooks and a duplicate, one folded result, one PATCH, and Buildr's stand-in holds
    it; then nothing is left.
    """
    run = Run(tmp_path, "--once")
    runs.append(run)
    assert 0 == run.process.wait(timeout=60), run.reported
    text = run.reported
    assert (4, 1) == (text.count("genuine, kept, queued"), text.count("known already"))
    assert "4 events make: connected (final)" in text
    assert 1 == text.count("PATCH     call 110")
    assert "Buildr now says: Connected  (call 110)" in text
    assert not (tmp_path / ".data" / "local.toml").exists()


def test_hints_are_whole_commands(tmp_path: Path, runs: list[Run]) -> None:
    """What to try next is printed as commands that can be copied, the program's name included."""
    run = Run(tmp_path)
    runs.append(run)
    run.wait_until_up()
    wait_for(lambda: " check\n" in run.reported, goal="the last hint")
    hints = run.reported.partition("Try next")[2].splitlines()[1:]
    commands = [hint.strip() for hint in hints if hint.startswith("  ")]
    assert len(commands) >= 8
    assert [] == [line for line in commands if not re.search(r"buildr-calls [a-z]", line)]


def test_ctrl_c_leaves_no_process(tmp_path: Path, runs: list[Run]) -> None:
    """
    A SIGINT stops all parts cleanly with status 0; while it was up, no secret stood on a command
    line.
    """
    run = Run(tmp_path)
    runs.append(run)
    run.wait_until_up()
    children = run.children()
    local = tomllib.loads((tmp_path / ".data" / "local.toml").read_text(encoding="utf-8"))
    assert 4 == len(children)
    assert not [value for name in SECRETS for value in children.values() if local[name] in value]
    assert not [name for name in SECRETS if local[name] in run.reported]
    run.process.send_signal(signal.SIGINT)
    assert 0 == run.process.wait(timeout=30), run.reported
    assert not [pid for pid in children if is_alive(pid)]
    assert "Traceback" not in run.reported


def test_taken_port_is_one_line(tmp_path: Path, runs: list[Run]) -> None:
    """
    A port that is taken is named, with the option for another; status 1, and nothing is left
    running.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = Run(tmp_path, "--port", str(port))
        runs.append(run)
        assert 1 == run.process.wait(timeout=30)
    assert (
        f"buildr-calls: cannot listen on port {port} of 127.0.0.1 (Address already in use): choose "
        "another with --port\n" == run.reported
    )


def test_second_run_in_the_same_folder_is_refused(tmp_path: Path, runs: list[Run]) -> None:
    """Only one run has a data folder; the second names the first one's process."""
    first = Run(tmp_path, "--no-demo")
    runs.append(first)
    first.wait_until_up()
    (tmp_path / "second").mkdir()
    second = Run(tmp_path / "second", "--data-dir", str(tmp_path / ".data"))
    runs.append(second)
    assert 1 == second.process.wait(timeout=30)
    assert f"already running (pid {first.process.pid})" in second.reported
    assert first.process.poll() is None


def test_killed_run_takes_its_processes_along_and_the_next_one_starts(
    tmp_path: Path, runs: list[Run]
) -> None:
    """
    After a kill -9 receiver, worker and sandbox end by themselves, and the next run works over the
    same folder, without the token of the sandbox before.
    """
    run = Run(tmp_path, "--no-demo")
    runs.append(run)
    run.wait_until_up()
    children = run.children()
    run.process.kill()
    run.process.wait()
    ours = [pid for pid, command in children.items() if "workers.cli.main" in command]
    assert 3 == len(ours)
    wait_for(lambda: not any(map(is_alive, ours)), goal="the processes to end")
    again = Run(tmp_path, "--once")
    runs.append(again)
    assert 0 == again.process.wait(timeout=60), again.reported
    assert "buildr_unauthorized" not in again.reported
    assert not [pid for pid in children if is_alive(pid)]


def test_crashed_parts_come_back(tmp_path: Path, runs: list[Run]) -> None:
    """
    Redis and the receiver are started again when they are killed, and the receiver is ready again.
    """
    run = Run(tmp_path, "--no-demo")
    runs.append(run)
    run.wait_until_up()
    for pid, command in run.children().items():
        if "valkey" in command or " serve" in command:
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "Redis ended; it is started again" in run.reported, goal="Redis to be missed")
    wait_for(lambda: len(run.children()) == 4, goal="all parts to be back")
    run.process.send_signal(signal.SIGTERM)
    assert 0 == run.process.wait(timeout=40), run.reported


def test_sandbox_and_buildr_share_no_records(tmp_path: Path, runs: list[Run]) -> None:
    """
    With Buildr credentials another Redis is started than with the sandbox, so that no demo's call
    can reach the real Buildr.
    """
    run = Run(tmp_path, "--once")
    runs.append(run)
    assert 0 == run.process.wait(timeout=60), run.reported
    real = Run(
        tmp_path,
        BUILDR_ACCESS_TOKEN="token",
        BUILDR_API_URL="http://127.0.0.1:9/api",
        TWILIO_AUTH_TOKEN="fake-token-of-the-tests",
    )
    runs.append(real)
    real.wait_until_up()
    assert 3 == len(real.children())
    assert "webhook" not in real.reported
    assert (tmp_path / ".data" / "redis").is_dir()
    assert (tmp_path / ".data" / "sandbox" / "redis").is_dir()
    assert not set(SECRETS) & set(
        tomllib.loads((tmp_path / ".data" / "local.toml").read_text(encoding="utf-8"))
    )
