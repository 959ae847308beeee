"""
The spool as the event loop sees it: messages are put in, read back in order, and removed once Redis
has confirmed them.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.spool.file import Row
from service.spool.files import SpoolFiles, SpoolLimits
from service.spool.messages import Depth, SpooledMessage, SpoolUnavailable
from service.spool.thread import SpoolThread

# How often files of ended processes are taken over, and a spool that could not be opened is tried
# again.
UPKEEP_INTERVAL_S: Final = 2.0
# A message that Redis refused is tried again: somebody may have mended what stood in its way.
RETRY_SET_ASIDE_S: Final = 3600.0
CHECK_TIMEOUT_S: Final = 1.0

log = structlog.get_logger(__name__)


class Spool:
    """
    The spool of one receiver process, for all its accounts. Belongs to one event loop.

    A spool that cannot be opened takes nothing, and is tried again every few seconds.
    """

    def __init__(self, folder: Path, limits: SpoolLimits) -> None:
        self._folder: Final = folder
        self._files = SpoolFiles(folder, limits)
        self._thread: SpoolThread | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._depths: Mapping[str, Depth] = {}
        self._has_messages: dict[str, asyncio.Event] = {}
        self._is_open = False

    async def open(self) -> None:
        """Open the files and take over those of ended processes; logs why, if it cannot."""
        self._thread = SpoolThread(self._files, self._note_depths)
        await self._keep_open()
        self._upkeep = asyncio.create_task(self._keep_up(), name="spool-upkeep")

    async def put(self, message: SpooledMessage, *, is_last_chance: bool) -> bool:
        """
        Store a message: True once it is on disk, False if it was there already.

        `is_last_chance`: its sender never sends it again, so that it may have the last of the room.
        Raises `SpoolUnavailable`.
        """
        return await self._of_thread().submit(
            lambda files: files.insert(message, is_last_chance=is_last_chance),
            size=len(message.packed_message) + 1,
        )

    async def read(self, account: str, limit: int) -> list[Row]:
        """The oldest messages of an account, in order. Raises `SpoolUnavailable`."""
        return await self._of_thread().submit(lambda files: files.read(account, limit))

    async def remove(self, rows: Iterable[Row]) -> None:
        """Remove messages that Redis has confirmed. Raises `SpoolUnavailable`."""
        await self._of_thread().submit(lambda files: files.remove(rows))

    async def set_aside(self, row: Row, problem: str) -> None:
        """Leave out for an hour a message that Redis refuses. Raises `SpoolUnavailable`."""
        await self._of_thread().submit(lambda files: files.set_aside(row, problem))

    async def check(self) -> None:
        """Raises `SpoolUnavailable` unless the spool would take a message now."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self._of_thread().submit(SpoolFiles.check_room)
        except TimeoutError as err:
            raise SpoolUnavailable("its disk does not answer") from err

    def depth(self, account: str) -> Depth:
        """What waits of an account."""
        return self._depths.get(account, Depth())

    def event(self, account: str) -> asyncio.Event:
        """Set whenever something of an account may wait; its reader clears it."""
        return self._has_messages.setdefault(account, asyncio.Event())

    async def close(self) -> None:
        """Write what waits, and close the files. Whatever is put later is refused."""
        if self._upkeep is not None:
            self._upkeep.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._upkeep
        if self._thread is not None:
            await self._thread.close()

    def _of_thread(self) -> SpoolThread:
        if self._thread is None:
            raise SpoolUnavailable("it is not open yet")
        return self._thread

    async def _keep_up(self) -> None:
        retried_at = time.monotonic()
        while True:
            await asyncio.sleep(UPKEEP_INTERVAL_S)
            await self._keep_open()
            if time.monotonic() - retried_at > RETRY_SET_ASIDE_S:
                retried_at = time.monotonic()
                with contextlib.suppress(SpoolUnavailable):
                    await self._of_thread().submit(SpoolFiles.retry_set_aside)

    async def _keep_open(self) -> None:
        try:
            await self._of_thread().submit(SpoolFiles.keep_open)
        except SpoolUnavailable as err:
            self._note_fault(str(err))
        else:
            self._is_open = True

    def _note_fault(self, reason: str) -> None:
        # Once, and not every few seconds.
        if self._is_open or self._upkeep is None:
            log.error(LogEvent.SPOOL_UNAVAILABLE, reason=reason, folder=str(self._folder))
        self._is_open = False

    def _note_depths(self, depths: Mapping[str, Depth]) -> None:
        self._depths = depths
        for account, depth in depths.items():
            if depth.messages:
                self.event(account).set()
