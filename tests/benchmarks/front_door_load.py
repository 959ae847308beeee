"""
Load on a server: `wrk` where it is installed, else a generator of our own that costs more of the
processor, which is why its own cost is shown.

Both keep a number of connections busy, and send each message once.
"""

import json
import resource
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.theory import percentile

HOW_TO_GET_WRK: Final = "wrk is not installed (Debian, Ubuntu: apt install wrk)"
TIMEOUT_S: Final = 20
# Each message is sent as it lies in the file; a thread of wrk has all of them.
SCRIPT: Final = """
local place, number = 1, 0
local lengths, data = {}, ''
function init(args)
  local file = assert(io.open(args[1], 'rb'))
  for length in file:read('*l'):gmatch('%d+') do lengths[#lengths + 1] = tonumber(length) end
  data = file:read('*a')
  file:close()
end
function request()
  number = number + 1
  if number > #lengths then error('no message is left') end
  local start = place
  place = place + lengths[number]
  return data:sub(start, place - 1)
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "refused": %d, "broken": %d, "took_s": %f, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


class LoadError(Exception):
    """Raised when a run does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    What became of a run: answers of all kinds, those that were not 2xx, connections that broke, its
    seconds, percentiles of the time to an answer, and the processor time of whoever made the load.
    """

    answers: int
    refused: int
    broken: int
    took_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float = 0.0

    @property
    def taken(self) -> int:
        """Messages that were answered 2xx."""
        return self.answers - self.refused

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.taken / self.took_s


def has_wrk() -> bool:
    """Whether `wrk` is installed."""
    return shutil.which("wrk") is not None


def run_wrk(
    port: int, messages: Sequence[bytes], *, connections: int, seconds: int, folder: Path
) -> Load:
    """Load by `wrk`. Raises `LoadError` if it failed, as it does when no message is left."""
    script = folder / "messages.lua"
    script.write_text(SCRIPT, encoding="utf-8")
    data = folder / "messages.bin"
    lengths = " ".join(str(len(message)) for message in messages)
    data.write_bytes(lengths.encode() + b"\n" + b"".join(messages))
    before_s = _children_s()
    run = subprocess.run(
        [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            f"--timeout={TIMEOUT_S}s",
            f"--script={script}",
            f"http://127.0.0.1:{port}",
            "--",
            str(data),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 4 * TIMEOUT_S,
    )
    _, brace, rest = run.stdout.rpartition("{")
    if run.returncode or not brace:
        raise LoadError(f"wrk failed: {run.stderr or run.stdout}")
    return Load(**json.loads(brace + rest), cpu_s=_children_s() - before_s)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass(eq=False, slots=True)
class _Connection:
    socket: socket.socket
    received: bytes = b""
    sent_at: float = 0.0


@dataclass(slots=True)
class OwnLoad:
    """
    The generator for machines without `wrk`: one thread that answers readiness by sending. It sends
    messages for `seconds`, or all that there are.
    """

    port: int
    messages: Sequence[bytes]
    connections: int
    seconds: float
    took_ms: list[float] = field(default_factory=list)
    refused: int = 0
    broken: int = 0

    def run(self) -> Load:
        """Send, and wait for each answer."""
        remaining = iter(self.messages)
        cpu_s = time.process_time()
        started_at = time.perf_counter()
        ends_at = started_at + self.seconds
        with selectors.DefaultSelector() as selector:
            for _ in range(min(self.connections, len(self.messages))):
                connection = _Connection(socket.create_connection(("127.0.0.1", self.port)))
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                _send(connection, next(remaining))
            while selector.get_map():
                ready = selector.select(TIMEOUT_S)
                if not ready:
                    raise LoadError(f"no answer within {TIMEOUT_S} s")
                for key, _ in ready:
                    if not self._read(key.data, remaining, ends_at):
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
        return Load(
            answers=len(self.took_ms),
            refused=self.refused,
            broken=self.broken,
            took_s=time.perf_counter() - started_at,
            p50_ms=percentile(self.took_ms, 50),
            p99_ms=percentile(self.took_ms, 99),
            cpu_s=time.process_time() - cpu_s,
        )

    def _read(self, connection: _Connection, remaining: Iterator[bytes], ends_at: float) -> bool:
        """Read an answer, and send the next message; False when the connection has had its last."""
        received = connection.socket.recv(65536)
        connection.received += received
        if not received:
            self.broken += 1
            return False
        if not is_complete(connection.received):
            return True
        now = time.perf_counter()
        self.took_ms.append(1000 * (now - connection.sent_at))
        self.refused += not connection.received.startswith(b"HTTP/1.1 2")
        connection.received = b""
        message = next(remaining, None)
        if message is None or now >= ends_at:
            return False
        _send(connection, message)
        return True


def _send(connection: _Connection, message: bytes) -> None:
    connection.sent_at = time.perf_counter()
    connection.socket.sendall(message)


def is_complete(received: bytes) -> bool:
    """Whether an answer has arrived as a whole."""
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return False
    _, name, value = head.lower().partition(b"content-length:")
    if not name:
        return True
    return len(body) >= int(value.partition(b"\r\n")[0])
