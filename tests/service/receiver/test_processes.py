"""
The master of several receiver processes, with small programs in place of receivers.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.receiver.processes import Master, MasterTimes

pytestmark = pytest.mark.slow

# It writes its number, its end, and each signal into files, and does what the file `plan` holds.
PROGRAM = """
import json, os, signal, socket, sys
from pathlib import Path

folder = Path(sys.argv[1])
plan = (folder / "plan").read_text()
channel = socket.socket(fileno=int(sys.argv[-1].partition("=")[2]))
listener = socket.socket(fileno=int(sys.argv[-2].partition("=")[2]))
if plan == "faulty":
    channel.sendall(json.dumps({"faults": ["PORT is wrong", "HOST too"]}).encode() + b"\\n")
    sys.exit(1)
if plan == "broken":
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
channel.sendall(b'{"ready": true}\\n')
(folder / f"{os.getpid()}.ready").touch()
while True:
    connection, _ = listener.accept()
    if plan == "fragile":
        os._exit(5)
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


class Stage:
    """A master, and the folder of its programs."""

    def __init__(self, folder: Path, listener: socket.socket, master: Master) -> None:
        self._folder = folder
        self._listener = listener
        self.master = master

    def plan(self, text: str) -> None:
        """What processes do that are started from now on."""
        (self._folder / "plan").write_text(text)

    async def ask(self) -> int:
        """The number of the process that accepts; 0 if it ended instead of an answer."""
        reader, writer = await asyncio.open_connection(*self._listener.getsockname())
        answer = await reader.read()
        writer.close()
        return int(answer or b"0")

    async def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(30):
            while True:
                if holds():
                    return
                await asyncio.sleep(0.01)

    async def wait_for_ready(self, count: int) -> None:
        """Wait until so many have become ready."""
        await self.wait_for(lambda: self.ready_count == count)

    @property
    def ready_count(self) -> int:
        """How many processes have become ready so far."""
        return len(list(self._folder.glob("*.ready")))


@asynccontextmanager
async def _stage(folder: Path, *, count: int = 1, plan: str = "") -> AsyncIterator[Stage]:
    (folder / "program.py").write_text(PROGRAM)
    # Blocking, as these programs are simple.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        master = Master(
            (sys.executable, "-S", str(folder / "program.py"), str(folder)),
            [listener],
            count=count,
            environment=os.environ,
            times=MasterTimes(ready_s=30, stop_s=10, first_pause_s=0.01, longest_pause_s=0.02),
        )
        stage = Stage(folder, listener, master)
        stage.plan(plan)
        yield stage


@asynccontextmanager
async def _running(stage: Stage) -> AsyncIterator[None]:
    task = asyncio.create_task(stage.master.run())
    await stage.wait_for(lambda: stage.ready_count > 0)
    try:
        yield
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        assert await task


async def test_hang_up_replaces_the_processes(tmp_path: Path) -> None:
    """After SIGHUP other processes accept from the same socket; SIGTERM ends them all."""
    with capture_logs() as lines:
        async with _stage(tmp_path, count=2) as stage:
            async with _running(stage):
                await stage.wait_for_ready(2)
                former = await stage.ask()
                os.kill(os.getpid(), signal.SIGHUP)
                await stage.wait_for(
                    lambda: [line["event"] for line in lines] == ["service.reloaded"]
                )
                await stage.wait_for(lambda: not _is_alive(former))
                current = await stage.ask()
            assert current != former
            assert not _is_alive(current)
    assert ["service.reloaded"] == [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("faulty", "PORT is wrong; HOST too"),
        ("broken", "it ended with status 3 before it was ready"),
    ],
)
async def test_processes_that_do_not_start_change_nothing(
    tmp_path: Path, plan: str, reason: str
) -> None:
    """Where the new ones do not start, the old ones go on, and one line says why."""
    with capture_logs() as lines:
        async with _stage(tmp_path) as stage, _running(stage):
            former = await stage.ask()
            stage.plan(plan)
            os.kill(os.getpid(), signal.SIGHUP)
            await stage.wait_for(lambda: bool(lines))
            assert former == await stage.ask()
    assert [("service.not_reloaded", "error", reason)] == [
        (line["event"], line["log_level"], line["reason"]) for line in lines
    ]


async def test_first_processes_that_do_not_start_end_the_master(tmp_path: Path) -> None:
    """There is nothing to fall back to."""
    with capture_logs() as lines:
        async with _stage(tmp_path, plan="faulty") as stage:
            assert not await stage.master.run()
    assert ["service.not_started"] == [line["event"] for line in lines]


async def test_process_that_dies_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    """The first time at once, then later each time, up to a limit."""
    with capture_logs() as lines:
        async with _stage(tmp_path, plan="fragile") as stage, _running(stage):
            for count in range(2, 6):
                assert 0 == await stage.ask()
                await stage.wait_for_ready(count)
    assert [0, 0.01, 0.02, 0.02] == [line["pause_s"] for line in lines]
    assert {5} == {line["status_code"] for line in lines}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
