"""
The data folder of `run`: made private, held by one program at a time, and the file in which `run`
leaves what it made up.
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from service.settings import LOCAL_NAME

PRIVATE: Final = 0o700
PRIVATE_FILE: Final = 0o600
FOREIGN: Final = 0o077
PID_LENGTH: Final = 20


class LocalRunError(Exception):
    """
    Raised when something of `run` cannot be started on this machine; its text is one line that says
    what to do.
    """


class FolderLock:
    """
    A lock file, held until `release` or the end of the process, kill -9 included.

    The file says which process holds it. It is never removed: a program could then hold the lock of
    a file that is gone.
    """

    def __init__(self, path: Path, *, name: str) -> None:
        self._path: Final = path
        self._name: Final = name
        self._file: int | None = None

    def acquire(self) -> None:
        """
        Take the lock. Raises `LocalRunError` that names the process which has it, or says why the
        file cannot be opened.
        """
        # `O_NOFOLLOW`: in a folder that somebody else could have prepared, a link here would have
        # another file emptied. `O_CLOEXEC`: a child that inherits the file would hold the lock
        # after us.
        try:
            file = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE
            )
        except OSError as err:
            raise LocalRunError(
                f"{self._path} cannot be opened ({err.strerror}): remove it, or choose another "
                "folder with DATA_DIR"
            ) from err
        try:
            # The kernel gives a lock of `flock` back when its process ends, however it does. A file
            # that only contains a process id would have to be removed by hand after kill -9.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            pid = os.read(file, PID_LENGTH).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise LocalRunError(
                f"{self._name} is already running (pid {pid}); stop it, or choose another folder "
                "with DATA_DIR"
            ) from err
        # Only with the lock: whoever waits for it reads here whose it is.
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Give the lock back; nothing if it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def make_private(folder: Path) -> Path:
    """
    Make a folder that only this user can look into; returns its absolute path.

    One that exists is taken only if it is this user's and nobody else may write into it. Raises
    `LocalRunError`.
    """
    # The address of the socket and the name of the lock follow from it: two spellings of one folder
    # must not be two runs.
    folder = folder.resolve()
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        result = folder.stat()
    except FileExistsError as err:
        raise LocalRunError(
            f"{folder} is a file, not a folder: choose another with DATA_DIR"
        ) from err
    except OSError as err:
        raise LocalRunError(
            f"{folder} cannot be made ({err.strerror}): choose another folder with DATA_DIR"
        ) from err
    # Secrets and the socket lie in it. A folder that others may write into could be changed between
    # this check and its use.
    if result.st_uid != os.getuid() or result.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LocalRunError(
            f"{folder} is another user's, or others may write into it: choose another folder with "
            "DATA_DIR"
        )
    return folder


@contextlib.contextmanager
def local_values(folder: Path, values: Mapping[str, str | int]) -> Iterator[Path]:
    """
    Leave settings for the commands on this machine in `local.toml`, readable by this user alone,
    until the block ends.

    Keys are names of settings in lower case; a file left over by a run that was killed is replaced.
    """
    path = folder / LOCAL_NAME
    # Written beside it and renamed: a command that reads it meanwhile sees all of it or none.
    draft = folder / f"{LOCAL_NAME}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        # A JSON string or number is a TOML one too.
        stream.writelines(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()
        )
    draft.replace(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
