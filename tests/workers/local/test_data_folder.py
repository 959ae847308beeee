"""
The data folder of `run`: locked, private, and what is left in it for other commands.
"""

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.settings import load_installation
from workers.local.data_folder import (
    FolderLock,
    LocalRunError,
    local_values,
    make_private,
)


def test_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    """A second holder is refused with the first one's process id, until the first gives back."""
    refusal = pytest.raises(LocalRunError, match=rf"`run` is already running \(pid {os.getpid()}\)")
    with FolderLock(tmp_path / "lock", name="`run`"), refusal:
        FolderLock(tmp_path / "lock", name="`run`").acquire()
    with FolderLock(tmp_path / "lock", name="`run`"):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """A process that is killed holds nothing any more."""
    code = (
        "import sys; from pathlib import Path; from workers.local.data_folder import FolderLock\n"
        f"lock = FolderLock(Path({str(tmp_path / 'lock')!r}), name='x'); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"held\n" == process.stdout.readline()
        with pytest.raises(LocalRunError, match=f"pid {process.pid}"):
            FolderLock(tmp_path / "lock", name="x").acquire()
        process.kill()
        process.wait()
    with FolderLock(tmp_path / "lock", name="x"):
        pass


def test_lock_file_that_is_a_link_is_one_line(tmp_path: Path) -> None:
    """A link in place of the lock file is not followed, and the error says what to do."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalRunError, match=r"lock cannot be opened .*: remove it, or choose"):
        FolderLock(tmp_path / "lock", name="x").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_new_folder_is_private(tmp_path: Path) -> None:
    """A folder that is made is this user's alone."""
    folder = make_private(tmp_path / "a" / "b")
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A file of that name gives one line that says what to do."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LocalRunError, match="DATA_DIR"):
            make_private(path)


def test_values_are_found_by_commands_and_gone_at_the_end(tmp_path: Path) -> None:
    """
    Commands on this machine read the values, what is set counts before them, and the file goes with
    the block.
    """
    values: dict[str, str | int] = {
        "port": 9000,
        "admin_token": 'odd"token"\\with-é-and-more',
        "twilio_auth_token": "made-up-for-this-run",
    }
    with local_values(tmp_path, values) as path:
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        assert values == tomllib.loads(path.read_text(encoding="utf-8"))
        environ = {"DATA_DIR": str(tmp_path), "TWILIO_AUTH_TOKEN": "set-by-the-operator"}
        settings = load_installation(environ, cwd=tmp_path, is_local=True).default
        assert (9000, ("set-by-the-operator",)) == (
            settings.port,
            settings.secrets_of("twilio").values,
        )
    assert [] == list(tmp_path.iterdir())


def test_values_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    """A file that was left over is replaced, also where others could read it."""
    left = tmp_path / "local.toml"
    left.write_text("port = 1\n", encoding="utf-8")
    left.chmod(0o644)
    with local_values(tmp_path, {"port": 2}):
        assert ("port = 2\n", 0o600) == (
            left.read_text(encoding="utf-8"),
            stat.S_IMODE(left.stat().st_mode),
        )
