"""
The servers of the benchmark of the front door: the receiver and its peers as processes of their
own, what they keep in Redis, and what they cost.
"""

import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis import Redis

from service.sources import SOURCES
from service.store.keys import Keys
from tests.benchmarks.front_door_messages import STANDARD_SECRET, TWILIO_TOKEN
from tests.benchmarks.front_door_peers import (
    BASE_URL as PEER_BASE_URL,
)
from tests.benchmarks.front_door_peers import QUEUE, REDIS_URL
from tests.benchmarks.front_door_peers import STANDARD_SECRET as PEER_STANDARD_SECRET
from tests.benchmarks.front_door_peers import TWILIO_TOKEN as PEER_TWILIO_TOKEN
from tests.e2e.harness import free_port, inherited, wait_for
from tests.sources.cases import BASE_URL, CONTRACTS, URL_SECRET, proof_setting

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
STOP_S: Final = 30
OURS: Final = "buildr-calls"
BARE: Final = "bare Starlette"
ARQ: Final = "Starlette, HMAC, arq"
Counter = Callable[[Redis], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    A server to measure. `module` is the library without which it is left out, `count` how many
    messages it has kept in Redis, None for one that keeps none.
    """

    name: str
    arguments: tuple[str, ...]
    module: str | None = None
    count: Counter | None = None

    @property
    def is_installed(self) -> bool:
        """Whether what it needs is there, in a version that fits the other ones."""
        try:
            importlib.import_module(self.module or __name__)
        except ImportError:
            return False
        return True


def read_int(reply: object) -> int:
    """An integer that Redis answered; redis-py types it as one that may have to be awaited."""
    if not isinstance(reply, int):
        raise TypeError(f"Redis answered {type(reply).__name__}")
    return reply


def _peer(function: str) -> tuple[str, ...]:
    return (
        "-m",
        "uvicorn",
        "--factory",
        f"tests.benchmarks.front_door_peers:{function}",
        "--no-access-log",
        "--log-level=warning",
    )


def ours(processes: int = 1) -> Candidate:
    """The receiver, in one process or several."""
    name = OURS
    if processes > 1:
        name = f"{OURS} serve --processes {processes}"
    return Candidate(
        name=name,
        arguments=("-m", "workers.cli.main", "serve", "--processes", str(processes)),
        count=lambda redis: read_int(redis.zcard(Keys().named("inbox"))),
    )


PEERS: Final = (
    Candidate(name=BARE, arguments=_peer("bare")),
    Candidate(name=ARQ, arguments=_peer("arq"), count=lambda redis: read_int(redis.zcard(QUEUE))),
    Candidate(
        name="Starlette, HMAC, saq",
        arguments=_peer("saq"),
        module="saq",
        count=lambda redis: read_int(redis.llen(f"saq:{QUEUE}:queued")),
    ),
    Candidate(
        name="Starlette, HMAC, taskiq",
        arguments=_peer("taskiq"),
        module="taskiq_redis",
        count=lambda redis: read_int(redis.llen(QUEUE)),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that runs."""

    candidate: Candidate
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def pids(self) -> list[int]:
        """The processes that answer: the one that was started, or its children."""
        children = _children(self.process.pid)
        return children or [self.process.pid]

    def cpu_s(self) -> float:
        """Processor time of all of it so far."""
        return sum(cpu_s(pid) for pid in self.pids)

    def resident_mb(self) -> list[float]:
        """Resident memory of each process."""
        return [resident_mb(pid) for pid in self.pids]


@contextmanager
def running(candidate: Candidate, redis_url: str, folder: Path) -> Iterator[Running]:
    """A server that answers, and ends with the block. Its log goes to a file, as in production."""
    port = free_port()
    arguments = list(candidate.arguments)
    if "uvicorn" in arguments:
        arguments += ["--port", str(port)]
    with (folder / f"{candidate.name.replace(' ', '-')}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **inherited("PATH", "HOME", "LANG", kind="front-door"),
                **_settings(redis_url, folder, port),
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: _is_listening(port), goal=candidate.name)
        yield Running(candidate=candidate, port=port, process=process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_S)


def _settings(redis_url: str, folder: Path, port: int) -> Mapping[str, str]:
    return {
        PEER_BASE_URL: BASE_URL,
        PEER_STANDARD_SECRET: STANDARD_SECRET,
        PEER_TWILIO_TOKEN: TWILIO_TOKEN,
        REDIS_URL: redis_url,
        "REDIS_URL": redis_url,
        "PUBLIC_URL": BASE_URL,
        "URL_SECRET": URL_SECRET,
        "DATA_DIR": str(folder),
        "MAX_PENDING": "10000000",
        "LOG_FORMAT": "json",
        "PORT": str(port),
        **{proof_setting(slug): CONTRACTS[slug].secrets[0] for slug in SOURCES},
    }


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in path.read_text(encoding="ascii").split()]


def cpu_s(pid: int) -> float:
    """Processor time of a process so far; seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Memory of a process that is not swapped out."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * PAGE_BYTES / 1e6
