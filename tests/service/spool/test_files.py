"""
The files of the spool: what is in them, who may read them, and what happens to those that are left,
broken or foreign.
"""

import contextlib
import sqlite3
import stat
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.spool.failures import FileFailed
from service.spool.file import DAMAGED, VERSION
from service.spool.files import MEGABYTE, SpoolFiles, SpoolLimits
from service.spool.messages import Depth, SpoolUnavailable
from service.spool.status import read_spool
from tests.doubles.messages import RECEIVED_AT, spooled

LIMITS = SpoolLimits(max_bytes=64 * MEGABYTE, least_free_bytes=0)
OpenFiles = Callable[..., SpoolFiles]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files are: a name that means something else in a URI."""
    return tmp_path / "data 100%41 #1?" / "spool"


@pytest.fixture
def open_files(folder: Path) -> Iterator[OpenFiles]:
    """Opens the files of one more process over the same folder."""
    opened: list[SpoolFiles] = []

    def start(limits: SpoolLimits = LIMITS) -> SpoolFiles:
        files = SpoolFiles(folder, limits)
        files.keep_open()
        opened.append(files)
        return files

    yield start
    for files in opened:
        files.close()


def _put(files: SpoolFiles, *keys: str, account: str = "default") -> list[bool]:
    results = [files.insert(spooled(key, account=account), is_last_chance=False) for key in keys]
    files.commit()
    return results


def _keys(files: SpoolFiles, account: str = "default") -> list[str]:
    rows = files.read(account, 100)
    return [row.message.message_id for row in rows if row.message is not None]


def _database(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite3")
    return path


def test_messages_are_read_in_the_order_in_which_they_came(open_files: OpenFiles) -> None:
    """Each account has its own messages, complete, in order, each once."""
    files = open_files()
    assert [True, True, False] == _put(files, "b", "a", "b")
    assert [True] == _put(files, "b", account="other")
    assert ["b", "a"] == _keys(files)
    (row,) = files.read("other", 100)
    assert spooled("b", account="other") == row.message
    assert {"default": Depth(2, RECEIVED_AT), "other": Depth(1, RECEIVED_AT)} == files.depths()
    files.remove(files.read("default", 1))
    files.commit()
    assert ["a"] == _keys(files)
    assert 5.0 == files.depths()["default"].age_s(RECEIVED_AT + timedelta(seconds=5))


def test_nobody_else_may_read_the_files(open_files: OpenFiles, folder: Path) -> None:
    """Folder and files are the owner's alone, whatever the mode of a folder that is there."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    _put(open_files(), "a")
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {".sqlite3", ".sqlite3-wal", ".sqlite3-shm", ".lock"} == set(modes)
    assert {0o600} == set(modes.values())


def test_what_was_not_committed_is_not_there(open_files: OpenFiles) -> None:
    """A group that fails leaves nothing behind, and no wrong count."""
    files = open_files()
    _put(files, "a")
    files.insert(spooled("b"), is_last_chance=False)
    files.remove(files.read("default", 1))
    files.rollback()
    assert ["a"] == _keys(files)
    assert 1 == files.depths()["default"].messages


def test_a_process_leaves_no_empty_file(open_files: OpenFiles, folder: Path) -> None:
    """At its end a process removes a file without messages, and leaves one with messages."""
    files = open_files()
    _put(files, "a")
    files.close()
    assert 1 == len(list(folder.glob("*.sqlite3")))
    files = open_files()
    files.remove(files.read("default", 1))
    files.commit()
    files.close()
    assert [] == list(folder.iterdir())


def test_files_of_ended_processes_are_taken_over(open_files: OpenFiles, folder: Path) -> None:
    """
    A file belongs to one process at a time; when that has ended, another one moves its messages
    first and removes it.
    """
    ended = open_files()
    alive = open_files()
    _put(ended, "old", "older")
    _put(alive, "new", "old")
    alive.keep_open()
    assert ["new", "old"] == _keys(alive)
    ended.close()
    with capture_logs() as entries:
        alive.keep_open()
    assert [("spool.taken_over", 2)] == [(entry["event"], entry["messages"]) for entry in entries]
    assert Depth(4, RECEIVED_AT) == alive.depths()["default"]
    moved = []
    while rows := alive.read("default", 100):
        moved.append([row.message.message_id for row in rows if row.message])
        alive.remove(rows)
        alive.commit()
    assert [["old", "older"], ["new", "old"]] == moved
    alive.keep_open()
    assert 1 == len(list(folder.glob("*.sqlite3")))


def test_full_spool_takes_what_it_knows_and_the_last_chances_longest(
    open_files: OpenFiles,
) -> None:
    """
    The last part of the room is for senders that never send again; a repeat needs no room; what is
    moved makes room.
    """
    files = open_files(SpoolLimits(max_bytes=MEGABYTE, least_free_bytes=0))
    taken = {True: 0, False: 0}
    for is_last_chance in (False, True):
        with contextlib.suppress(SpoolUnavailable):
            while True:
                message = spooled(f"{is_last_chance}{taken[is_last_chance]}", size=10_000)
                files.insert(message, is_last_chance=is_last_chance)
                files.commit()
                taken[is_last_chance] += 1
    assert 60 < taken[False] < 95
    assert 2 < taken[True] < 20
    assert not files.insert(spooled("False0"), is_last_chance=False)
    with pytest.raises(SpoolUnavailable):
        files.check_room()
    while rows := files.read("default", 100):
        files.remove(rows)
        files.commit()
    files.check_room()
    assert files.insert(spooled("new"), is_last_chance=False)


def test_free_space_of_the_disk_is_left(open_files: OpenFiles) -> None:
    """Redis may need the same disk: the spool leaves a part of it free."""
    files = open_files(SpoolLimits(max_bytes=64 * MEGABYTE, least_free_bytes=2**62))
    with pytest.raises(SpoolUnavailable, match="it is full"):
        _put(files, "a")


def test_file_that_is_no_database_is_put_aside(open_files: OpenFiles, folder: Path) -> None:
    """A file that cannot be read does not keep the receiver from spooling, and is kept."""
    folder.mkdir(parents=True)
    (folder / "spool-0.sqlite3").write_bytes(b"no database, but long enough to be one" * 200)
    with capture_logs() as entries:
        files = open_files()
    assert [True] == _put(files, "a")
    assert ["spool.file_broken"] == [entry["event"] for entry in entries]
    assert (folder / "spool-0.sqlite3.broken").exists()
    assert 1 == read_spool(folder).broken_files


@pytest.mark.parametrize("is_open", [True, False])
def test_what_can_be_read_of_a_broken_file_goes_on(
    open_files: OpenFiles, folder: Path, *, is_open: bool
) -> None:
    """
    A damaged page costs what is on it and not the messages around, whether it is met at the start
    or while the spool runs.
    """
    files = open_files()
    keys = [f"key{number}" for number in range(40)]
    for key in keys:
        files.insert(spooled(key, size=2_000), is_last_chance=False)
    files.commit()
    if not is_open:
        files.close()
    path = _database(folder)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    middle = 4096 * (len(content) // 4096 // 2)
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with capture_logs() as entries:
        if not is_open:
            files = open_files()
        _read_all(files)
    assert ["spool.file_broken", "spool.taken_over"] == [entry["event"] for entry in entries]
    saved = _keys(files)
    assert set(saved) < set(keys)
    assert len(saved) > 20
    assert [True] == _put(files, "new")


def _read_all(files: SpoolFiles) -> None:
    """Read everything, and go on with another file where one is broken, as the thread does."""
    try:
        files.read("default", 100)
        files.commit()
    except FileFailed as err:
        files.rollback()
        files.put_aside(err)


def test_foreign_file_is_left_alone(open_files: OpenFiles, folder: Path) -> None:
    """A file of a newer version is not touched; a new one is begun."""
    files = open_files()
    _put(files, "a")
    files.close()
    path = _database(folder)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with capture_logs() as entries:
        files = open_files()
        files.keep_open()
    assert ["spool.file_left"] == [entry["event"] for entry in entries]
    assert [True] == _put(files, "a")
    assert path.exists()


def test_damaged_row_is_left_out_for_good(open_files: OpenFiles, folder: Path) -> None:
    """A row whose checksum is wrong is reported once and holds up nothing."""
    files = open_files()
    _put(files, "a", "b", "c")
    files.close()
    with sqlite3.connect(_database(folder)) as connection:
        connection.execute("UPDATE messages SET packed_message = x'00' WHERE message_id = 'a'")
    connection.close()
    files = open_files()
    with capture_logs() as entries:
        assert ["b", "c"] == _keys(files)
        files.commit()
        files.retry_set_aside()
        assert ["b", "c"] == _keys(files)
    assert [("spool.row_set_aside", DAMAGED)] == [
        (entry["event"], entry["reason"]) for entry in entries
    ]
    assert Depth(2, RECEIVED_AT, 1) == files.depths()["default"]


def test_refused_row_is_read_again_later(open_files: OpenFiles) -> None:
    """A message that Redis refused is out of the way, and back for the next attempt."""
    files = open_files()
    _put(files, "a", "b")
    files.set_aside(files.read("default", 1)[0], "WRONGTYPE")
    files.commit()
    assert ["b"] == _keys(files)
    files.retry_set_aside()
    assert ["a", "b"] == _keys(files)
    assert Depth(2, RECEIVED_AT) == files.depths()["default"]


def test_removed_file_is_replaced(open_files: OpenFiles, folder: Path) -> None:
    """Somebody clears the folder: what was in it still goes to Redis, and new messages are safe."""
    files = open_files()
    _put(files, "a")
    for path in folder.iterdir():
        path.unlink()
    files.keep_open()
    _put(files, "b")
    assert 1 == len(list(folder.glob("*.sqlite3")))
    assert 2 == files.depths()["default"].messages


def test_folder_that_cannot_be_made_is_no_spool(folder: Path) -> None:
    """The reason is given in words."""
    folder.parent.mkdir()
    folder.write_text("no folder")
    files = SpoolFiles(folder, LIMITS)
    with pytest.raises(SpoolUnavailable, match="is no folder"):
        files.keep_open()
    with pytest.raises(SpoolUnavailable, match="could not be opened"):
        files.insert(spooled("a"), is_last_chance=True)
    with pytest.raises(SpoolUnavailable, match="could not be opened"):
        files.check_room()
    files = SpoolFiles(folder / "below", LIMITS)
    with pytest.raises(SpoolUnavailable, match="Not a directory"):
        files.keep_open()


def test_depth_is_read_by_commands_while_a_receiver_runs(
    open_files: OpenFiles, folder: Path
) -> None:
    """`status` adds up all files, whoever has them, and says nothing of a folder that is empty."""
    assert {} == read_spool(folder).depths
    first = open_files()
    second = open_files()
    _put(first, "a", "b")
    _put(second, "a", account="other")
    status = read_spool(folder)
    assert {"default": Depth(2, RECEIVED_AT), "other": Depth(1, RECEIVED_AT)} == status.depths
    assert (0, 0) == (status.broken_files, status.unreadable_files)
    (folder / "spool-x.sqlite3").write_bytes(b"no database" * 500)
    assert 1 == read_spool(folder).unreadable_files
