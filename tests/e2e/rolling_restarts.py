"""
Restarts of the receiver's processes under load, seen by senders that never send again.

`python -m tests.e2e.rolling_restarts --restarts 100` prints the figures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from standardwebhooks.webhooks import Webhook

from tests.conftest import STANDARD_SECRET
from tests.doubles.redis import RedisServer
from tests.e2e.harness import free_port, inherited, standard_bodies, wait_for

TIMEOUT_S = 120


@dataclass(frozen=True, kw_only=True)
class RollingTrial:
    """
    So many restarts, one after another. Each of the senders sends every `pause_s`: `fresh` ones
    over a connection for each message, `lasting` ones over one that they keep.
    """

    restarts: int = 3
    processes: int = 2
    fresh: int = 4
    lasting: int = 4
    pause_s: float = 0.05


@dataclass(kw_only=True)
class SenderFigures:
    """What became of the messages of one kind of senders."""

    sent: int = 0
    taken: int = 0
    refused: int = 0
    reset: int = 0
    unanswered: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    worst_ms: float = 0

    @property
    def not_taken(self) -> int:
        """How many messages a sender that never sends again has lost."""
        return self.sent - self.taken


@dataclass(kw_only=True)
class RollingFigures:
    """The figures of a trial."""

    restarts: int = 0
    reload_ms: list[float] = field(default_factory=list)
    fresh: SenderFigures = field(default_factory=SenderFigures)
    lasting: SenderFigures = field(default_factory=SenderFigures)
    errors_in_log: int = 0


class Receiver:
    """A receiver of several processes whose log is read by a thread."""

    def __init__(self, redis_url: str, folder: Path, trial: RollingTrial) -> None:
        self.port = free_port()
        self._log = folder / "receiver.log"
        self.env_file = folder / "env"
        self.env_file.write_text(f"STANDARD_SECRET={STANDARD_SECRET}\n", encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = self._start(redis_url, folder, trial, log)

    def _start(
        self, redis_url: str, folder: Path, trial: RollingTrial, log: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "workers.cli.main", "serve", "--reload-on", "HUP"),
                *("--processes", str(trial.processes), "--env-file", str(self.env_file)),
            ],
            env={
                **inherited("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", kind="serve"),
                "PORT": str(self.port),
                "REDIS_URL": redis_url,
                "BUILDR_ACCESS_TOKEN": "token-of-the-tests",
                "DATA_DIR": str(folder),
                "LOG_FORMAT": "json",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    @property
    def lines(self) -> list[dict[str, object]]:
        """What it has logged so far; a line that is no JSON counts as an error."""
        lines: list[dict[str, object]] = []
        for line in self._log.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                lines.append(json.loads(line))
            except ValueError:
                # The last one may be cut in two.
                if line.endswith("\n"):
                    lines.append({"event": line, "level": "error"})
        return lines

    def count(self, event: str) -> int:
        """How many lines of an event there are."""
        return self._log.read_text(encoding="utf-8").count(f'"{event}"')

    def wait_ready(self) -> None:
        """Wait until it answers."""
        wait_for(lambda: _answers(self.port), goal="the receiver", timeout_s=TIMEOUT_S)

    def reload(self, event: str = "service.reloaded") -> float:
        """Have it replace its processes; returns after how many milliseconds it logged the end."""
        before = self.count(event)
        started_at = time.perf_counter()
        self._process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.count(event) > before, goal=event, timeout_s=TIMEOUT_S)
        return (time.perf_counter() - started_at) * 1000

    def stop(self) -> int:
        """End it in order; returns its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=TIMEOUT_S)

    def kill(self) -> None:
        """End it at once, with its processes, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=TIMEOUT_S)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _messages(prefix: str) -> Iterator[bytes]:
    """Signed requests, each of another call."""
    number = 0
    webhook = Webhook(STANDARD_SECRET)
    while True:
        number += 1
        body = dict(standard_bodies(number)[0], call_id=f"{prefix}-{number}")
        text = json.dumps(body)
        at = datetime.now(UTC)
        message_id = f"{prefix}-{number}"
        signature = webhook.sign(message_id, at, text)
        head = (
            "POST /webhooks/standard HTTP/1.1\r\nHost: hooks\r\nContent-Type: application/json\r\n"
            f"webhook-id: {message_id}\r\nwebhook-timestamp: {int(at.timestamp())}\r\n"
            f"webhook-signature: {signature}\r\nContent-Length: {len(text)}\r\n"
        )
        yield (head + "\r\n" + text).encode()


class _Sender:
    """Sends messages one after another, each of them once."""

    def __init__(self, port: int, figures: SenderFigures, *, is_lasting: bool) -> None:
        self._port = port
        self._figures = figures
        self._is_lasting = is_lasting
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> None:
        """Send one message and count what becomes of it."""
        figures = self._figures
        figures.sent += 1
        started_at = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status = await self._exchange(request)
        except ConnectionRefusedError:
            figures.refused += 1
        except ConnectionResetError:
            figures.reset += 1
        except (OSError, EOFError, TimeoutError):
            figures.unanswered += 1
        else:
            figures.statuses[status] = figures.statuses.get(status, 0) + 1
            figures.taken += status in range(200, 300)
        finally:
            took_ms = (time.perf_counter() - started_at) * 1000
            figures.worst_ms = max(figures.worst_ms, took_ms)

    async def _exchange(self, request: bytes) -> int:
        # As HTTP clients do: a connection that was closed while it was idle is not used again.
        if self._connection is not None and self._connection[0].at_eof():
            self.close()
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._connection
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            await reader.readexactly(length)
        except BaseException:
            self.close()
            raise
        if not self._is_lasting or b"\r\nconnection: close\r\n" in head:
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


async def _send_until(
    stop: asyncio.Event, sender: _Sender, messages: Iterator[bytes], pause_s: float
) -> None:
    while not stop.is_set():
        await sender.send(next(messages))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
    sender.close()


async def _roll(receiver: Receiver, trial: RollingTrial) -> RollingFigures:
    figures = RollingFigures()
    stop = asyncio.Event()
    senders = []
    for number in range(trial.fresh + trial.lasting):
        is_lasting = number >= trial.fresh
        kind = figures.lasting if is_lasting else figures.fresh
        sender = _Sender(receiver.port, kind, is_lasting=is_lasting)
        messages = _messages(f"sender{number}")
        senders.append(asyncio.create_task(_send_until(stop, sender, messages, trial.pause_s)))
    try:
        for _ in range(trial.restarts):
            figures.reload_ms.append(round(await asyncio.to_thread(receiver.reload), 1))
            figures.restarts += 1
    finally:
        stop.set()
        await asyncio.gather(*senders)
    return figures


@contextlib.contextmanager
def receiving(trial: RollingTrial, redis_url: str, folder: Path) -> Iterator[Receiver]:
    """A receiver that answers, until the block ends."""
    receiver = Receiver(redis_url, folder, trial)
    try:
        receiver.wait_ready()
        yield receiver
    finally:
        receiver.kill()


def run(trial: RollingTrial, receiver: Receiver) -> RollingFigures:
    """Restart a receiver under load, stop it."""
    figures = asyncio.run(_roll(receiver, trial))
    receiver.stop()
    figures.errors_in_log = sum(line["level"] == "error" for line in receiver.lines)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    trial = RollingTrial(restarts=options.restarts, processes=options.processes)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start(appendfsync="always")
        try:
            with receiving(trial, server.url, Path(folder)) as receiver:
                figures = run(trial, receiver)
        finally:
            server.kill()
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main()
