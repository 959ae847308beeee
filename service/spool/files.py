"""
All spool files that one process has: its own, into which it writes, and those that it has taken
over from processes that have ended.

Everything here runs in the one thread of `service.spool.thread`.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from service.logs.events import LogEvent
from service.spool import folder as spool_folder
from service.spool.failures import FileFailed, is_broken, naming, reason_of
from service.spool.file import DAMAGED, ForeignFile, Row, SpoolFile
from service.spool.folder import Claim
from service.spool.messages import Depth, SpooledMessage, SpoolUnavailable
from service.spool.reading import salvage

MEGABYTE: Final = 1024 * 1024
# What is left free on the disk: Redis may write to the same one, and so may the log.
LEAST_FREE_BYTES: Final = 64 * MEGABYTE
# The last part is for senders that never send a message again.
RESERVED_SHARE: Final = 0.1
# What a row takes beside its message: ids, indexes, and pages that are not full.
ROW_BYTES: Final = 250
# More than almost every message takes.
USUAL_BYTES: Final = 16 * 1024
NO_ROOM: Final = "it is full"
NOT_OPEN: Final = "it could not be opened"

log = structlog.get_logger(__name__)


class SpoolLimits(Struct, frozen=True):
    """What all files together may take, and what is left free on their disk, in bytes."""

    max_bytes: int
    least_free_bytes: int = LEAST_FREE_BYTES


class SpoolFiles:
    """
    The files of one process. Methods raise `SpoolUnavailable` if there is no file or no room for a
    message, `FileFailed` if SQLite refuses.
    """

    def __init__(self, folder: Path, limits: SpoolLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._current: SpoolFile | None = None
        self._claims: dict[SpoolFile, Claim] = {}
        self._foreign: set[Path] = set()
        # Put aside, and not yet searched for what can be saved.
        self._broken: list[Path] = []
        # Room for messages in bytes, as far as it was measured since the last commit.
        self._room: int | None = None

    def keep_open(self) -> None:
        """
        Have a file to write into: an abandoned one if there is one, so that its messages go first.

        Opens every other file whose process has ended too, and removes those of them that are empty
        by now.
        """
        # Somebody has removed the file: what is in it can still be read, and goes to Redis.
        if self._current is not None and not self._current.path.exists():
            self._current = None
        try:
            if self._current is None:
                spool_folder.prepare(self._folder)
            self._take_over()
            if self._current is None:
                self._current = next((file for file in self._claims if file.path.exists()), None)
            if self._current is None:
                self._current = self._open(spool_folder.claim_new(self._folder))
        except (OSError, sqlite3.Error) as err:
            raise SpoolUnavailable(reason_of(err)) from err
        if self._current is None:
            raise SpoolUnavailable("a new file cannot be read")
        while self._broken:
            self._save(self._broken.pop(), self._current)

    def insert(self, message: SpooledMessage, *, is_last_chance: bool) -> bool:
        """
        Store a message; False if it is there already. `is_last_chance`: its sender never sends it
        again.
        """
        file = self._current
        if file is None:
            raise SpoolUnavailable(NOT_OPEN)
        size = len(message.packed_message) + len(message.failed_entry or "") + ROW_BYTES
        with naming(file):
            if self._room_for(is_last_chance=is_last_chance) < size:
                if file.holds(message):
                    return False
                raise SpoolUnavailable(NO_ROOM)
            is_new = file.insert(message)
        if is_new and self._room is not None:
            self._room -= size
        return is_new

    def read(self, account: str, limit: int) -> list[Row]:
        """The oldest messages of an account, in order, all of one file. Sets damaged ones aside."""
        for file in self._oldest_first():
            with naming(file):
                rows = file.read(account, limit)
                for row in rows:
                    if row.message is None:
                        log.error(LogEvent.SPOOL_ROW_SET_ASIDE, account=account, reason=DAMAGED)
                        file.set_aside(row, DAMAGED)
            if rows:
                return [row for row in rows if row.message is not None]
        return []

    def remove(self, rows: Iterable[Row]) -> None:
        """Remove messages that Redis has confirmed."""
        for row in rows:
            if row.file in self._claims:
                with naming(row.file):
                    row.file.remove([row])

    def set_aside(self, row: Row, problem: str) -> None:
        """Leave a message out for now, so that those behind it go on."""
        if row.file in self._claims:
            with naming(row.file):
                row.file.set_aside(row, problem)

    def retry_set_aside(self) -> None:
        """Read messages again that were set aside and are not damaged."""
        for file in self._claims:
            with naming(file):
                file.retry_set_aside()

    def depths(self) -> Mapping[str, Depth]:
        """The depth of each account that has messages here."""
        depths: dict[str, Depth] = {}
        for file in self._claims:
            with naming(file):
                for account, depth in file.depths().items():
                    depths[account] = depths.get(account, Depth()).plus(depth)
        return depths

    def check_room(self) -> None:
        """Raises `SpoolUnavailable` unless a usual message of any sender would be taken now."""
        if self._current is None:
            raise SpoolUnavailable(NOT_OPEN)
        with naming(self._current):
            if self._room_for(is_last_chance=True) < USUAL_BYTES:
                raise SpoolUnavailable(NO_ROOM)

    def commit(self) -> None:
        """Have on disk what was done since the last one."""
        self._room = None
        for file in self._claims:
            with naming(file):
                file.commit()

    def rollback(self) -> None:
        """Undo what was done since the last commit, as far as the files allow."""
        self._room = None
        for file in self._claims:
            with contextlib.suppress(sqlite3.Error):
                file.rollback()

    def put_aside(self, failure: FileFailed) -> bool:
        """
        Put a broken file aside, go on with another, and save into it what can be read of it; False
        if it is not broken.
        """
        file = failure.file
        if not failure.is_broken or file not in self._claims:
            return False
        with contextlib.suppress(sqlite3.Error):
            file.close()
        self._set_broken_aside(self._claims.pop(file), str(failure))
        if self._current is file:
            self._current = None
        with contextlib.suppress(SpoolUnavailable):
            self.keep_open()
        return True

    def close(self) -> None:
        """Close all files; the empty ones are removed, the others wait for the next process."""
        for file in list(self._claims):
            if file.is_empty:
                self._drop(file)
            else:
                file.close()
                self._claims.pop(file).release()

    def _take_over(self) -> None:
        for claim in spool_folder.claim_abandoned(self._folder):
            if claim.path in self._foreign:
                claim.release()
                continue
            file = self._open(claim)
            if file is not None and not file.is_empty:
                messages = sum(depth.messages for depth in file.depths().values())
                log.warning(LogEvent.SPOOL_TAKEN_OVER, file=file.path.name, messages=messages)
        for file in list(self._claims):
            if file.is_empty and file is not self._current:
                self._drop(file)

    def _save(self, broken: Path, file: SpoolFile) -> None:
        """Take over what can be read of a broken file."""
        saved = 0
        with naming(file):
            for message in salvage(broken):
                saved += file.insert(message)
            file.commit()
        if saved:
            log.warning(LogEvent.SPOOL_TAKEN_OVER, file=broken.name, messages=saved)

    def _open(self, claim: Claim) -> SpoolFile | None:
        """Open a claimed file; None if it is not one of ours, or broken, and was put aside."""
        try:
            file = SpoolFile.open(claim.path)
            file.retry_set_aside()
        except ForeignFile as err:
            self._foreign.add(claim.path)
            claim.release()
            _log_error(LogEvent.SPOOL_FILE_LEFT, claim.path, str(err))
            return None
        except sqlite3.Error as err:
            if not is_broken(err):
                claim.release()
                raise
            self._set_broken_aside(claim, reason_of(err))
            return None
        self._claims[file] = claim
        return file

    def _set_broken_aside(self, claim: Claim, reason: str) -> None:
        broken = claim.rename_broken()
        self._broken.append(broken)
        _log_error(LogEvent.SPOOL_FILE_BROKEN, broken, reason)

    def _drop(self, file: SpoolFile) -> None:
        file.close()
        self._claims.pop(file).remove()

    def _oldest_first(self) -> Iterator[SpoolFile]:
        yield from (file for file in self._claims if file is not self._current)
        if self._current is not None:
            yield self._current

    def _room_for(self, *, is_last_chance: bool) -> int:
        if self._room is None:
            disk = os.statvfs(self._folder)
            used = sum(file.used_bytes for file in self._claims)
            self._room = min(
                self._limits.max_bytes - used,
                disk.f_bavail * disk.f_frsize - self._limits.least_free_bytes,
            )
        if is_last_chance:
            return self._room
        return self._room - int(self._limits.max_bytes * RESERVED_SHARE)


def _log_error(event: LogEvent, path: Path, reason: str) -> None:
    """Without a traceback: the fault is the disk's, not the program's."""
    log.error(event, file=path.name, reason=reason)
