"""
What ends the pause between two looks into the queue of jobs.

Redis announces a due job, so that a worker starts it at once; looking by itself stays as the safety
net, seldom while the worker listens.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
from redis.exceptions import NoPermissionError

from service.logs.events import LogEvent
from service.store.announcements import Announcements
from service.store.redis_trouble import REDIS_ERRORS
from workers.process.tasks import POLL_DELAY_S

# Shorter than `ANNOUNCED_AHEAD_MS`: whatever is due before the next look was announced.
LISTENING_POLL_S: Final = 0.5
# Due times are in whole milliseconds.
MIN_PAUSE_S: Final = 0.002
LISTEN_AGAIN_S: Final = 1.0
# A permission is given by an operator.
NOT_ALLOWED_RETRY_S: Final = 600.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class WakeUp:
    """Waits until there may be something to do, and listens to the announcements of Redis."""

    announcements: Announcements
    is_listening: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def wake(self) -> None:
        """End the pause."""
        self._woken.set()

    async def wait(self, *, next_in_s: float | None = None) -> None:
        """
        Wait for `wake` or an announcement, for `next_in_s`, when the next job is due, or for as
        long as a worker may go without asking.
        """
        pause_s = POLL_DELAY_S
        if self.is_listening:
            pause_s = LISTENING_POLL_S
        if next_in_s is not None:
            pause_s = min(pause_s, max(MIN_PAUSE_S, next_in_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        # Before the look and not after it: what is announced during one needs another.
        self._woken.clear()

    async def listen(self) -> None:
        """Listen until cancelled, also through trouble with Redis."""
        while True:
            retry_in_s = LISTEN_AGAIN_S
            try:
                await self.announcements.listen(self._announced)
            except NoPermissionError as err:
                log.warning(LogEvent.WORKER_NOT_WOKEN, error=str(err))
                retry_in_s = NOT_ALLOWED_RETRY_S
            # What asks Redis for jobs reports the trouble.
            except (*REDIS_ERRORS, OSError):
                pass
            self.is_listening = False
            await asyncio.sleep(retry_in_s)

    def _announced(self) -> None:
        self.is_listening = True
        self.wake()
