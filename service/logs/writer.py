"""
Writing of log lines: at once, or by a thread of its own that a slow reader may stop.

A pipe whose reader stops reading is full after 64 KB, and the next write waits for it. An event
loop that writes by itself answers nobody for that long.
"""

import contextlib
import os
import select
import stat
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from msgspec import Struct

# Memory that lines may take while the reader does not read; about 20,000 lines.
MAX_QUEUED_BYTES: Final = 8 * 1024 * 1024
# POSIX keeps writes up to this size whole, so that the lines of several processes that share one
# pipe do not run into each other.
BATCH_BYTES: Final = select.PIPE_BUF
# Those to a file that is appended to are whole whatever their size.
FILE_BATCH_BYTES: Final = 64 * 1024
# How much later than it might a line is written, so that many are written together: for each write
# the threads hand the interpreter to each other twice, which costs more than some lines.
COLLECT_S: Final = 0.02
# How long a descriptor that another process has made non-blocking is waited for, until it is tried
# again.
POLL_MS: Final = 1000


class LineWriter(Protocol):
    """Where rendered lines go."""

    def put(self, line: str) -> None:
        """Take one line, without its line feed."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until all lines are written, at most `timeout_s`; False if some are not."""

    def close(self, timeout_s: float) -> None:
        """Write what is queued, waiting at most `timeout_s`, and take no more lines."""


class StreamWriter(Struct, frozen=True):
    """Writes each line at once, on the thread that logs it."""

    stream: TextIO

    def put(self, line: str) -> None:
        """Write one line. Raises what the stream raises."""
        self.stream.write(f"{line}\n")
        self.stream.flush()

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 # the interface of both writers
        """Nothing waits."""
        return True

    def close(self, timeout_s: float) -> None:
        """The stream stays open: it is the process's own."""


class QueueWriter:
    """
    Writes lines to a file descriptor on a thread of its own, in their order.

    `put` never waits. A queue that is full takes no lines until it is empty again; then a line made
    by `dropped_line` tells how many are missing, at the place where they are.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        dropped_line: Callable[[int], str],
        encoding: str = "utf-8",
        max_bytes: int = MAX_QUEUED_BYTES,
    ) -> None:
        self._descriptor: Final = descriptor
        self._dropped_line: Final = dropped_line
        self._encoding: Final = encoding
        self._max_bytes: Final = max_bytes
        self._batch_bytes: Final = _batch_bytes(descriptor)
        self._dropped = 0
        self.start_empty()
        _WRITERS.add(self)

    def start_empty(self) -> None:
        """Begin without lines and without a thread, as at the start and after a fork."""
        # Reentrant: a destructor that logs may run in the middle of `put`.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._lines: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_full = False
        self._is_writing = False
        self._is_urgent = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Queue one line, or count it if the queue is full."""
        data = line.encode(self._encoding, "backslashreplace") + b"\n"
        # Not by the condition, which takes three calls of Python for it.
        with self._lock:
            if self._is_closed:
                return
            is_too_much = self._queued_bytes + len(data) > self._max_bytes
            if self._is_full or (self._lines and is_too_much):
                self._is_full = True
                self._dropped += 1
                return
            self._lines.append(data)
            self._queued_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            elif not self._is_writing:
                self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all lines are written, at most `timeout_s`; False if some are not."""
        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(self._is_done, timeout_s)
            finally:
                self._is_urgent = False

    def close(self, timeout_s: float) -> None:
        """Write what is queued, waiting at most `timeout_s`, and end the thread."""
        self.flush(timeout_s)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        _WRITERS.discard(self)

    def _is_done(self) -> bool:
        return not (self._lines or self._is_writing)

    def _has_work(self) -> bool:
        return bool(self._lines) or self._is_closed

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(self._has_work)
                if not self._lines:
                    return
                self._is_writing = True
                self._collect()
                batch = self._take()
                lines = len(batch)
                missing = self._report_dropped(batch)
            if not self._write(b"".join(batch)):
                with self._changed:
                    self._dropped += lines + missing

    def _collect(self) -> None:
        """
        Wait for more lines, briefly and while there are few: to wake this thread for each of them
        costs the thread that logs more than the line does.
        """
        if self._queued_bytes < self._batch_bytes and not self._is_closed:
            self._changed.wait_for(lambda: self._is_urgent or self._is_closed, COLLECT_S)

    def _take(self) -> list[bytes]:
        """Whole lines for one write; one line at least, however long."""
        batch = [self._lines.popleft()]
        size = len(batch[0])
        while self._lines and size + len(self._lines[0]) <= self._batch_bytes:
            batch.append(self._lines.popleft())
            size += len(batch[-1])
        self._queued_bytes -= size
        return batch

    def _report_dropped(self, batch: list[bytes]) -> int:
        """Add the line about missing ones where they are missing; how many they are."""
        if self._is_full and self._lines:
            # Lines that came before the first dropped one still wait.
            return 0
        missing = self._dropped
        if missing:
            line = self._dropped_line(missing).encode(self._encoding, "backslashreplace") + b"\n"
            # Those of a full queue came after this batch, those of a failed write before it.
            batch.insert(len(batch) * self._is_full, line)
        self._dropped = 0
        self._is_full = False
        return missing

    def _write(self, data: bytes) -> bool:
        """Write all of it; False if it cannot be written."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll(POLL_MS)
            except OSError:
                # The reader is gone or the disk is full. There is no better place to say so.
                return False
        return True


def _batch_bytes(descriptor: int) -> int:
    """How much is written at once."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return FILE_BATCH_BYTES
    return BATCH_BYTES


# A fork copies no threads, and maybe a lock that is taken. What is queued is the parent's to write.
_WRITERS: Final["weakref.WeakSet[QueueWriter]"] = weakref.WeakSet()


def _restart_after_fork() -> None:
    for writer in list(_WRITERS):
        writer.start_empty()


os.register_at_fork(after_in_child=_restart_after_fork)


def make_writer(
    stream: TextIO, *, in_background: bool, dropped_line: Callable[[int], str]
) -> LineWriter:
    """
    The writer for a stream: by a thread if `in_background` and it is a real file, else at once.
    """
    descriptor = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = stream.fileno()
    if descriptor is None or not in_background:
        return StreamWriter(stream)
    # What was printed before comes first: the lines go around the stream's own buffer.
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    return QueueWriter(descriptor, dropped_line=dropped_line, encoding=stream.encoding)
