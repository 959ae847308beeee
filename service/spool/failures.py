"""
What SQLite and the disk say when they refuse, in the words of the spool.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

from service.spool.file import SpoolFile

# The lower byte of an error code of SQLite is its kind: https://www.sqlite.org/rescode.html
KIND: Final = 0xFF
BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
FULL: Final = "the disk is full"


class FileFailed(Exception):
    """Raised when SQLite has refused something with one of the files."""

    def __init__(self, file: SpoolFile, err: sqlite3.Error) -> None:
        super().__init__(reason_of(err))
        self.file = file
        self.is_broken = is_broken(err)


@contextlib.contextmanager
def naming(file: SpoolFile) -> Iterator[None]:
    """Raises `FileFailed` in the place of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as err:
        raise FileFailed(file, err) from err


def is_broken(err: sqlite3.Error) -> bool:
    """Whether an error means that the file itself is damaged."""
    return _kind(err) in BROKEN


def _kind(err: sqlite3.Error) -> int:
    return getattr(err, "sqlite_errorcode", 0) & KIND


def reason_of(err: Exception) -> str:
    """What went wrong, in a few words and without a path."""
    if isinstance(err, OSError):
        return err.strerror or type(err).__name__
    if isinstance(err, sqlite3.Error) and _kind(err) == sqlite3.SQLITE_FULL:
        return FULL
    return f"{type(err).__name__}: {err}"
