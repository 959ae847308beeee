"""
The folder of the spool: one file for each receiver process, held by a lock; the file of a process
that has ended is taken over by another.
"""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from service.spool.messages import SpoolUnavailable

SUFFIX: Final = ".sqlite3"
LOCK_SUFFIX: Final = ".lock"
# What a file that cannot be read is renamed to, so that no receiver opens it again.
BROKEN_SUFFIX: Final = ".broken"
# Beside a database, by SQLite.
SIDE_SUFFIXES: Final = ("-wal", "-shm")
OWNER_ONLY: Final = 0o700


class Claim(Struct, frozen=True):
    """The right to a file, as long as the lock beside it is open; it ends with the process."""

    path: Path
    lock: int

    def release(self) -> None:
        """Leave the file to others."""
        os.close(self.lock)

    def remove(self) -> None:
        """Remove the file and the lock. The lock goes last: who finds none makes a new one."""
        for suffix in ("", *SIDE_SUFFIXES):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        _lock_path(self.path).unlink(missing_ok=True)
        self.release()

    def rename_broken(self) -> Path:
        """Put the file aside under another name, with all that SQLite keeps beside it."""
        broken = self.path.with_suffix(f"{SUFFIX}{BROKEN_SUFFIX}")
        for suffix in ("", *SIDE_SUFFIXES):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{broken}{suffix}")
        _lock_path(self.path).unlink(missing_ok=True)
        self.release()
        return broken


def prepare(folder: Path) -> None:
    """
    Make the folder, for this user only. Raises `SpoolUnavailable` if it is another user's, OSError
    if it cannot be made.
    """
    if not folder.exists():
        folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        _sync(folder.parent)
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise SpoolUnavailable(f"{folder} is no folder")
    # Whoever owns it could put messages there that nobody has proved.
    if status.st_uid != os.geteuid():
        raise SpoolUnavailable(f"{folder} belongs to another user")
    if stat.S_IMODE(status.st_mode) != OWNER_ONLY:
        folder.chmod(OWNER_ONLY)


def claim_new(folder: Path) -> Claim:
    """Claim a name that nobody has used. Raises OSError."""
    while True:
        claim = _claim(folder / f"spool-{secrets.token_hex(4)}{SUFFIX}")
        if claim is not None:
            return claim


def claim_abandoned(folder: Path) -> Iterator[Claim]:
    """Claim the files whose processes have ended, the oldest first. Raises OSError."""
    paths = [path for path in folder.glob(f"*{SUFFIX}") if path.is_file()]
    for path in sorted(paths, key=_modified_at):
        claim = _claim(path)
        if claim is None:
            continue
        if path.exists():
            yield claim
        else:
            # Its process has removed it while this one waited.
            claim.remove()


def spool_files(folder: Path) -> list[Path]:
    """All files of the folder, whoever has them. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)


def broken_files(folder: Path) -> list[Path]:
    """The files that were put aside. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix == BROKEN_SUFFIX)


def _claim(path: Path) -> Claim | None:
    """
    Lock the file beside a spool file; None if another process has it.

    A file of its own: SQLite has locks on the database, which would be lost when any descriptor of
    it is closed.
    """
    lock_path = _lock_path(path)
    lock = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    # Between the two steps another process may have removed the file that is locked now.
    try:
        is_same = os.fstat(lock).st_ino == lock_path.stat().st_ino
    except FileNotFoundError:
        is_same = False
    if not is_same:
        os.close(lock)
        return None
    return Claim(path, lock)


def _lock_path(path: Path) -> Path:
    return path.with_suffix(LOCK_SUFFIX)


def _modified_at(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _sync(folder: Path) -> None:
    """Have the entries of a folder on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
