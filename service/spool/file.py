"""
One spool file: a SQLite database whose rows are messages, in the order of their arrival.

Everything here belongs to the one thread that has opened the file. What was committed is on disk:
WAL with `synchronous=FULL` syncs the log with each commit.
"""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from service.spool.messages import Depth, SpooledMessage
from service.spool.reading import BUSY_TIMEOUT_S, DEPTHS
from service.spool.rows import message_of, values_of

# In the head of the file: a database of somebody else is never written to.
APPLICATION_ID: Final = 0x62637370
VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE messages (
    position INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    message_id TEXT NOT NULL,
    source TEXT NOT NULL,
    source_call_id TEXT,
    received_ms INTEGER NOT NULL,
    packed_message BLOB NOT NULL,
    failed_entry TEXT,
    checksum INTEGER NOT NULL,
    problem TEXT NOT NULL DEFAULT '',
    UNIQUE (account, message_id)
);
CREATE INDEX in_order ON messages (account, problem, position);
"""
INSERT: Final = """
INSERT OR IGNORE INTO messages
    (account, message_id, source, source_call_id, received_ms, packed_message, failed_entry,
     checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
READ: Final = """
SELECT * FROM messages WHERE account = ? AND problem = '' ORDER BY position LIMIT ?
"""
DAMAGED: Final = "damaged"
# An empty file that has grown beyond it is given back to the system; messages are people's data.
KEEP_PAGES: Final = 64


class ForeignFile(Exception):
    """Raised for a file that another program or a newer version has made; it is left alone."""


class Row(Struct, frozen=True):
    """A message of an account and where it lies; `message` is None if it is damaged."""

    file: "SpoolFile"
    position: int
    account: str
    message: SpooledMessage | None


class SpoolFile:
    """
    An open file. Every method raises `sqlite3.Error`.

    A write begins a transaction, which `commit` ends.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._waiting: Counter[str] = Counter()
        self._set_aside: Counter[str] = Counter()
        self._count()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, and make it if it does not exist. Raises `ForeignFile`, OSError too."""
        # Made by hand, since SQLite would make it readable for whom the umask allows; its other
        # files get the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _prepare(connection)
            return cls(path, connection)
        except BaseException:
            connection.close()
            raise

    @property
    def used_bytes(self) -> int:
        """What the messages take in the file."""
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        return pages * self._pragma("page_size")

    @property
    def is_empty(self) -> bool:
        """Whether no message is in it, not even one that was set aside."""
        return not (self._waiting.total() or self._set_aside.total())

    def insert(self, message: SpooledMessage) -> bool:
        """Store a message; False if it is there already."""
        self._begin()
        inserted = self._connection.execute(INSERT, values_of(message)).rowcount
        self._waiting[message.account] += inserted
        return inserted == 1

    def holds(self, message: SpooledMessage) -> bool:
        """Whether a message is there already."""
        return (
            self._connection.execute(
                "SELECT 1 FROM messages WHERE account = ? AND message_id = ?",
                (message.account, message.message_id),
            ).fetchone()
            is not None
        )

    def read(self, account: str, limit: int) -> list[Row]:
        """The oldest messages of an account that were not set aside, in order."""
        rows = self._connection.execute(READ, (account, limit))
        return [Row(self, values[0], account, message_of(values)) for values in rows]

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove messages."""
        self._begin()
        for row in rows:
            deleted = self._connection.execute(
                "DELETE FROM messages WHERE position = ? AND problem = ''", (row.position,)
            )
            self._waiting[row.account] -= deleted.rowcount

    def set_aside(self, row: Row, problem: str) -> None:
        """Leave a message out of what is read, with the reason."""
        self._begin()
        changed = self._connection.execute(
            "UPDATE messages SET problem = ? WHERE position = ? AND problem = ''",
            (problem, row.position),
        )
        self._waiting[row.account] -= changed.rowcount
        self._set_aside[row.account] += changed.rowcount

    def retry_set_aside(self) -> None:
        """Read messages again that were set aside, but for damaged ones."""
        if not self._set_aside.total():
            return
        self._begin()
        self._connection.execute(
            "UPDATE messages SET problem = '' WHERE problem NOT IN ('', ?)", (DAMAGED,)
        )
        self._count()

    def depths(self) -> dict[str, Depth]:
        """The depth of each account that has messages here."""
        accounts = (+self._waiting).keys() | (+self._set_aside).keys()
        return {
            account: Depth(
                self._waiting[account], self._oldest_at(account), self._set_aside[account]
            )
            for account in accounts
        }

    def commit(self) -> None:
        """End the transaction, if one was begun: afterwards everything is on disk."""
        if not self._connection.in_transaction:
            return
        self._connection.execute("COMMIT")
        if self.is_empty:
            self._shrink()

    def rollback(self) -> None:
        """Undo the transaction, if one was begun."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._count()

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        self._connection.close()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def _count(self) -> None:
        self._waiting.clear()
        self._set_aside.clear()
        for account, is_waiting, count, _ in self._connection.execute(DEPTHS):
            if is_waiting:
                self._waiting[account] = count
            else:
                self._set_aside[account] += count

    def _oldest_at(self, account: str) -> datetime | None:
        # By position and not by time: the clock of the machine may have been set back.
        oldest = self._connection.execute(
            "SELECT received_ms FROM messages WHERE account = ? AND problem = '' "
            "ORDER BY position LIMIT 1",
            (account,),
        ).fetchone()
        if oldest is None:
            return None
        return datetime.fromtimestamp(oldest[0] / 1000, UTC)

    def _shrink(self) -> None:
        if self._pragma("page_count") <= KEEP_PAGES:
            return
        # Refused while a command reads the file: then the next time.
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _pragma(self, name: str) -> int:
        value: int = self._connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def _prepare(connection: sqlite3.Connection) -> None:
    """Set up a connection, and the tables of a new file. Raises `ForeignFile`."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if (application_id, version) == (APPLICATION_ID, VERSION):
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables or version or application_id:
        raise ForeignFile("made by another program, or a newer version of this one")
    # One transaction: a file that was begun and not finished is empty.
    connection.executescript(
        f"BEGIN IMMEDIATE; {SCHEMA}"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    )
