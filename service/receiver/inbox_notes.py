"""
What is counted in Redis about messages that are not kept. A Redis that is away is not worth an
error here, and one that hangs is not worth the sender's timeout.
"""

import asyncio
import contextlib
from collections import Counter
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.connection import Store
from service.store.redis_trouble import REDIS_ERRORS

NOTE_TIMEOUT_S: Final = 0.5

log = structlog.get_logger(__name__)


class InboxNotes:
    """
    The notes of one account. `refused` messages by source are counted in Redis once it takes writes
    again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refused: Counter[str] = Counter()

    async def note_ignored(self, source: str) -> None:
        """Count a message that is not wanted."""
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.counters.add("ignored", source)
                await self._store.source_activity.note("message", source)
        except REDIS_ERRORS as err:
            log.warning(
                LogEvent.COUNTER_LOST, reason=type(err).__name__, name="ignored", source=source
            )

    async def note_handshake(self, source: str) -> None:
        """Remember that a source's challenge was answered; it is answered with Redis away too."""
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._store.source_activity.note("handshake", source)
        except REDIS_ERRORS as err:
            log.warning(LogEvent.HANDSHAKE_NOT_NOTED, reason=type(err).__name__, source=source)

    async def count_refused(self) -> None:
        """Count what was refused since the last time."""
        with contextlib.suppress(*REDIS_ERRORS):
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                for source in list(self.refused):
                    await self._store.counters.add("refused", source, self.refused[source])
                    del self.refused[source]
