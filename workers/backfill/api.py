"""
A vendor's API as a back-fill asks it: within the vendor's rate limit, with repeats after a 429 and
after no answer.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, cast

from msgspec import Struct

from service.sources.common.fields import Fields
from workers.subscriptions.api import Api
from workers.subscriptions.errors import VendorBusy, VendorUnavailable

# Access tokens live for an hour.
LOGIN_LIFE_S: Final = 45 * 60.0
# After a 429 that states no time, or no answer; doubled each time, so that the last one is 16 s.
FIRST_PAUSE_S: Final = 1.0
# A vendor that asks for more than this is not waited for.
LONGEST_RETRY_AFTER_S: Final = 15 * 60.0
MOST_TRIES: Final = 6

Pause = Callable[[float], Awaitable[None]]


class Pace(Struct, frozen=True, kw_only=True):
    """How many requests a vendor allows in a time, in seconds; less than that is used."""

    requests: int
    window_s: float


@dataclass(slots=True, kw_only=True)
class LogApi:
    """
    A vendor's API; `log_in` buys an access token where the vendor wants one.

    Where it `is_patient`, a request is repeated after a 429 and after no answer; else the first
    error ends it. `pause` waits for some seconds. Every request raises `UpkeepError`.
    """

    api: Api
    pace: Pace
    log_in: Callable[[], Awaitable[None]] | None = None
    is_patient: bool = True
    pause: Pause = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _sent_at: deque[float] = field(default_factory=deque, init=False)
    _logged_in_at: float | None = field(default=None, init=False)

    async def get(self, path: str, **params: str) -> Fields:
        """The object at a path."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._get(path, params)
            except (VendorBusy, VendorUnavailable) as err:
                pause_s = self._pause_s(err, tries)
                if pause_s is None:
                    raise
            await self.pause(pause_s)

    async def close(self) -> None:
        """Close the connections; twice is harmless."""
        await self.api.close()

    async def _get(self, path: str, params: dict[str, str]) -> Fields:
        await self._log_in()
        await self._wait_for_turn()
        # What is read of JSON is JSON's values.
        return cast("Fields", await self.api.get(path, **params))

    async def _log_in(self) -> None:
        if self.log_in is None:
            return
        now = self.clock()
        if self._logged_in_at is not None and now - self._logged_in_at < LOGIN_LIFE_S:
            return
        self.api.headers.pop("Authorization", None)
        await self.log_in()
        self._logged_in_at = now

    async def _wait_for_turn(self) -> None:
        """Wait until a request is within the vendor's rate limit."""
        now = self.clock()
        while self._sent_at and now - self._sent_at[0] >= self.pace.window_s:
            self._sent_at.popleft()
        if len(self._sent_at) >= self.pace.requests:
            await self.pause(self.pace.window_s - (now - self._sent_at[0]))
            self._sent_at.popleft()
        self._sent_at.append(self.clock())

    def _pause_s(self, err: VendorBusy | VendorUnavailable, tries: int) -> float | None:
        """How long to wait before the request is sent again, in seconds; None for not at all."""
        if not self.is_patient or tries >= MOST_TRIES:
            return None
        if isinstance(err, VendorBusy) and err.retry_after_s is not None:
            if err.retry_after_s > LONGEST_RETRY_AFTER_S:
                return None
            # Some vendors state 0: all tries would be over at once.
            return max(FIRST_PAUSE_S, err.retry_after_s)
        return FIRST_PAUSE_S * 2.0 ** (tries - 1)
