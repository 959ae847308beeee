"""
Attacks on a real receiver over loopback, while genuine messages go on coming: floods, worst inputs,
guessed admin tokens, slow and endless connections.
"""

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx

from tests.attacks.worst_inputs import FORM_BODIES, filled
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, wait_for

TWILIO_TOKEN: Final = "fake-auth-token-of-the-attacks"
STANDARD_SECRET: Final = "whsec_" + "ZmFrZS1zZWNyZXQtb2YtdGhlLWF0dGFja3M="
HEAD_TIMEOUT_S: Final = 2
SILENT: Final = 300
MB: Final = 1_000_000
HEAD: Final = b"POST /webhooks/standard HTTP/1.1\r\nHost: x\r\n"
SHAPED: Final = (
    HEAD + b"Content-Type: application/json\r\nwebhook-id: a\r\nwebhook-timestamp: 1\r\n"
    b"webhook-signature: v1,eA==\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRow:
    """
    One attack: how many attempts, what became of them, and how the genuine messages fared
    meanwhile.
    """

    name: str
    attempts: int
    effect: str
    genuine: int
    refused: int
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """
    A receiver that runs, or the proxy before it, and its address; a head has `head_timeout_s`.
    """

    system: System
    head_timeout_s: float = HEAD_TIMEOUT_S

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.system.port


@contextlib.contextmanager
def running() -> Iterator[Target]:
    """A receiver with a Redis of its own, which end with the block."""
    with TemporaryDirectory(prefix="bc-attacks-") as name:
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start(appendfsync="always")
        extra = {"HEAD_TIMEOUT_S": str(HEAD_TIMEOUT_S), "BODY_TIMEOUT_S": "2", "LOG_LEVEL": "info"}
        system = System(folder, redis.url, TWILIO_TOKEN, STANDARD_SECRET, extra)
        try:
            system.start("receiver", "serve")
            wait_for(lambda: _is_ready(system), goal="the receiver")
            yield Target(system)
        finally:
            system.stop()
            redis.kill()


def attacks(scale: int) -> list[tuple[str, int, Callable[[Target, int], str]]]:
    """Every attack: its name, how often it is tried, and what carries it out."""
    return [
        ("unsigned requests", 100 * scale, _unsigned),
        ("largest forms of `%41é` with a signature's shape", 10 * scale, _forms),
        ("wrong admin tokens", 50 * scale, _admin_tokens),
        (f"connections without a byte, {SILENT} at a time", SILENT, _silent),
        ("heads of a byte at a time", 50, _dripping),
        ("endless heads", 5, _endless_head),
        ("bodies that do not come", 20, _no_body),
    ]


def run(target: Target, name: str, attempts: int, attack: Callable[[Target, int], str]) -> LiveRow:
    """
    Carry out an attack while genuine messages come one after the other. Raises `RuntimeError` if
    the attack itself breaks.
    """
    effects: list[str] = []
    thread = threading.Thread(target=lambda: effects.append(attack(target, attempts)))
    thread.start()
    times: list[float] = []
    refused = 0
    while thread.is_alive() or not times:
        started_s = time.perf_counter()
        refused += not _is_genuine_taken(target.system, f"{name} {len(times)}")
        times.append(time.perf_counter() - started_s)
        thread.join(timeout=0.01)
    if not effects:
        raise RuntimeError(f"the attack itself broke: {name}")
    return LiveRow(
        name=name,
        attempts=attempts,
        effect=effects[0],
        genuine=len(times),
        refused=refused,
        worst_ms=max(times) * 1000,
    )


def _is_ready(system: System) -> bool:
    try:
        return system.http.get(f"{system.url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _is_genuine_taken(system: System, name: str) -> bool:
    message_id = name.replace(" ", "-").encode("ascii", "ignore").decode()
    body = {
        "version": "1",
        "type": "call.ringing",
        "call_id": message_id,
        "occurred_at": "2026-11-02T10:00:00Z",
        "direction": "outbound",
    }
    return system.standard(body, message_id=message_id).is_success


def _statuses(counts: Counter[int]) -> str:
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


def _unsigned(target: Target, attempts: int) -> str:
    counts: Counter[int] = Counter()
    log_bytes = len(target.system.log("receiver"))
    with httpx.Client(timeout=10) as client:
        for _ in range(attempts):
            answer = client.post(
                f"{target.system.url}/webhooks/standard",
                content=b"{}",
                headers={"content-type": "application/json"},
            )
            counts[answer.status_code] += 1
    log_bytes = len(target.system.log("receiver")) - log_bytes
    return f"{_statuses(counts)}; {log_bytes / attempts:.0f} bytes of log each, genuine included"


def _forms(target: Target, attempts: int) -> str:
    counts: Counter[int] = Counter()
    body = filled(FORM_BODIES["%41 and raw letters"], 64 * 1024)
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": "A" * 27 + "=",
    }
    with httpx.Client(timeout=10) as client:
        for _ in range(attempts):
            answer = client.post(
                f"{target.system.url}/webhooks/twilio", content=body, headers=headers
            )
            counts[answer.status_code] += 1
    return _statuses(counts)


def _admin_tokens(target: Target, attempts: int) -> str:
    counts: Counter[int] = Counter()
    with httpx.Client(timeout=10) as client:
        for number in range(attempts):
            answer = client.put(
                f"{target.system.url}/links/twilio/CA1",
                json={"buildr_call_id": "110"},
                headers={"authorization": f"Bearer guess-{number:016}"},
            )
            counts[answer.status_code] += 1
    return _statuses(counts)


def _silent(target: Target, attempts: int) -> str:
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(target.address)) for _ in range(attempts)
        ]
        started_s = time.monotonic()
        ended = sum(_is_ended(connection, target.head_timeout_s) for connection in silent)
        return f"{ended} ended by the receiver within {time.monotonic() - started_s:.1f} s"


def _dripping(target: Target, attempts: int) -> str:
    with contextlib.ExitStack() as stack:
        open_connections = [
            stack.enter_context(socket.create_connection(target.address)) for _ in range(attempts)
        ]
        started_s = time.monotonic()
        for byte in HEAD * 20:
            open_connections = [
                connection for connection in open_connections if _sends(connection, bytes([byte]))
            ]
            if not open_connections or time.monotonic() - started_s > 4 * target.head_timeout_s:
                break
            time.sleep(0.05)
        ended = attempts - len(open_connections)
        return f"{ended} ended by the receiver within {time.monotonic() - started_s:.1f} s"


def _endless_head(target: Target, attempts: int) -> str:
    most = 0
    for _ in range(attempts):
        with socket.create_connection(target.address) as connection:
            connection.settimeout(10)
            sent = 0
            _sends(connection, HEAD)
            line = b"x-a: " + b"a" * 1000 + b"\r\n"
            while sent < 64 * MB and _sends(connection, line):
                sent += len(line)
            most = max(most, sent)
    return f"at most {most / 1024:.0f} KiB were sent, most of it into the buffers of the kernel"


def _no_body(target: Target, attempts: int) -> str:
    counts: Counter[int] = Counter()
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(target.address)) for _ in range(attempts)
        ]
        for connection in connections:
            connection.sendall(SHAPED + b"Content-Length: 10\r\n\r\nabc")
        for connection in connections:
            # Caddy passes the receiver's answer on after its own `read_body`, 20 seconds.
            connection.settimeout(40)
            first = b""
            # nginx ends it without an answer.
            with contextlib.suppress(ConnectionResetError):
                first = connection.recv(12)
            counts[int(first[9:12] or b"0")] += 1
    # To a body that it cuts off itself Caddy 2.6 answers 200, and nobody sends the message again.
    if counts[httpx.codes.OK]:
        raise RuntimeError("a body that did not come was answered 200")
    return _statuses(counts)


def _is_ended(connection: socket.socket, head_timeout_s: float) -> bool:
    """Whether the other side ends a connection within some seconds, with or without an answer."""
    connection.settimeout(4 * head_timeout_s)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def _sends(connection: socket.socket, text: bytes) -> bool:
    try:
        connection.sendall(text)
    except OSError:
        return False
    return True
