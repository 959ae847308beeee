"""
How long senders waited for their answers, for the histogram `answer_seconds`.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Self

from service.cancelling import cancel_and_wait
from service.store.connection import Store
from service.store.figures import Tally
from service.store.redis_trouble import REDIS_ERRORS

METRIC: Final = "answer_seconds"
ADD_EVERY_S: Final = 5.0
# Figures are not worth a slow stop; what Redis does not take now is added later.
ADD_TIMEOUT_S: Final = 1.0


class AnswerTimes:
    """
    Adds what the requests of each account have counted to its figures in Redis. A context manager
    that does so while it is open, and once more at its end.
    """

    def __init__(
        self, accounts: Iterable[tuple[Store, Tally]], *, every_s: float = ADD_EVERY_S
    ) -> None:
        self._accounts: Final = tuple(accounts)
        self._every_s: Final = every_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="answer-times")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await cancel_and_wait({self._task})
        await self._add()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._add()

    async def _add(self) -> None:
        for store, tally in self._accounts:
            with suppress(*REDIS_ERRORS, OSError):
                async with asyncio.timeout(ADD_TIMEOUT_S):
                    await store.figures.add(tally)
