"""
The thread that writes the log: what it does while nobody reads, and when a process ends.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from service.logs.writer import QueueWriter, StreamWriter, make_writer

LINE = "x" * 99
# More than a pipe takes (64 KB on Linux), and less than a queue does by default.
MANY = 2_000
LONG_S = 30.0


@dataclass
class Pipe:
    """A pipe that a writer of lines writes to and that nobody reads before `read_lines`."""

    max_bytes: int = 1_000_000
    ends: tuple[int, int] = field(default_factory=os.pipe)

    def __post_init__(self) -> None:
        self.writer = QueueWriter(
            self.ends[1], dropped_line=lambda count: f"dropped {count}", max_bytes=self.max_bytes
        )

    def fill(self) -> None:
        """Fill the pipe with lines of a minus sign, so that the first line of the writer waits."""
        os.set_blocking(self.ends[1], False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.ends[1], b"-\n" * 2048)
        os.set_blocking(self.ends[1], True)

    def read_lines(self) -> list[str]:
        """Every line that arrives until the writer is closed, which is done here."""
        chunks: list[bytes] = []

        def read() -> None:
            while chunk := os.read(self.ends[0], 65_536):
                chunks.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        self.writer.close(LONG_S)
        os.close(self.ends[1])
        reader.join(LONG_S)
        return b"".join(chunks).decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe with the default queue."""
    made = Pipe()
    yield made
    os.close(made.ends[0])


def test_reader_that_does_not_read_stops_nobody_and_loses_nothing(pipe: Pipe) -> None:
    """More lines than a pipe takes are put at once, and arrive whole and in order later."""
    lines = [f"{number} {LINE}" for number in range(MANY)]
    for line in lines:
        pipe.writer.put(line)
    assert pipe.writer.flush(0.01) is False
    assert lines == pipe.read_lines()


def test_full_queue_drops_lines_and_tells_how_many_at_their_place() -> None:
    """What was queued before comes first, then the count, then what came after."""
    pipe = Pipe(max_bytes=20_000)
    pipe.fill()
    for number in range(MANY):
        pipe.writer.put(f"{number} {LINE}")
    lines = [line for line in pipe.read_lines() if line != "-"]
    os.close(pipe.ends[0])
    written = lines[:-1]
    assert [f"{number} {LINE}" for number in range(len(written))] == written
    assert f"dropped {MANY - len(written)}" == lines[-1]
    assert 20_000 // 110 <= len(written) < MANY


def test_lines_flow_again_after_a_full_queue() -> None:
    """A queue that was full and is empty takes lines again, behind the count of the gap."""
    pipe = Pipe(max_bytes=20_000)
    pipe.fill()
    for number in range(MANY):
        pipe.writer.put(f"{number} {LINE}")
    received = b""
    while b"dropped" not in received:
        received += os.read(pipe.ends[0], 65_536)
    pipe.writer.put("after")
    assert ["after"] == pipe.read_lines()
    os.close(pipe.ends[0])


def test_line_longer_than_the_queue_is_written(pipe: Pipe) -> None:
    """A limit in bytes keeps no single line out."""
    long_line = "y" * (pipe.max_bytes + 1)
    pipe.writer.put(long_line)
    assert [long_line] == pipe.read_lines()


def test_reader_that_is_gone_costs_its_lines_only() -> None:
    """Nothing is raised; lines that could not be written are counted."""
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    writer = QueueWriter(writing_end, dropped_line=lambda count: f"dropped {count}")
    writer.put("lost")
    assert writer.flush(LONG_S)
    # A log file on a disk that was full for a while shows where lines are missing.
    reading_end, new_end = os.pipe()
    os.dup2(new_end, writing_end)
    writer.put("later")
    assert writer.flush(LONG_S)
    assert b"dropped 1\nlater\n" == os.read(reading_end, 100)
    writer.close(LONG_S)
    for descriptor in (reading_end, new_end, writing_end):
        os.close(descriptor)


def test_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """Another process that shares the pipe may have made it non-blocking: no line is lost."""
    os.set_blocking(pipe.ends[1], False)
    lines = [f"{number} {LINE}" for number in range(MANY)]
    for line in lines:
        pipe.writer.put(line)
    assert lines == pipe.read_lines()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_process_writes_its_own_lines_only(pipe: Pipe) -> None:
    """What waits in the parent is written once, and the child has a thread of its own."""
    for number in range(MANY):
        pipe.writer.put(f"{number}")
    child = os.fork()
    if child == 0:
        pipe.writer.put("child")
        pipe.writer.flush(LONG_S)
        os._exit(0)
    lines = pipe.read_lines()
    os.waitpid(child, 0)
    assert sorted([*map(str, range(MANY)), "child"]) == sorted(lines)


def test_only_real_files_are_written_by_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream in memory, or one that a test reads, gets its line at once."""
    for stream in (io.StringIO(), sys.stdout):
        writer = make_writer(stream, in_background=True, dropped_line=str)
        assert isinstance(writer, StreamWriter)
        writer.put("line")
        assert writer.flush(0)
        writer.close(0)
    assert "line\n" == capsys.readouterr().out


PROGRAM = """
import signal, sys, structlog
from service.logs.setup import configure_logging, flush_log_on_signal
configure_logging(fmt="json", level="info", in_background=True)
log = structlog.get_logger("a")
for number in range({count}):
    log.info("number", count=number)
{end}
"""


def _start(count: int, end: str) -> "subprocess.Popen[str]":
    program = PROGRAM.format(count=count, end=end)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_process_that_ends_by_itself_or_by_a_signal_writes_what_is_queued() -> None:
    """Both ends of a process leave the same lines."""
    by_signal = "flush_log_on_signal(signal.SIGTERM); signal.raise_signal(signal.SIGTERM)"
    processes = [_start(300, ""), _start(300, by_signal)]
    outputs = [process.communicate(timeout=LONG_S)[0] for process in processes]
    assert [300, 300] == [len(output.splitlines()) for output in outputs]
    assert [0, -signal.SIGTERM] == [process.returncode for process in processes]


@pytest.mark.slow
def test_process_whose_log_nobody_reads_ends_all_the_same() -> None:
    """It ends within the time for flushing, with its own status and no error of Python's end."""
    process = _start(1_500, "sys.exit(3)")
    assert 3 == process.wait(LONG_S)
    process.communicate(timeout=LONG_S)
