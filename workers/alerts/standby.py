"""
The alerts of a receiver: they say that no worker runs.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from service.cancelling import cancel_and_wait
from service.settings import Installation
from workers.alerts.monitor import AlertMonitor


@dataclass(slots=True)
class StandbyMonitor:
    """A monitor as a task beside the receiver."""

    monitor: AlertMonitor
    _task: "asyncio.Task[None] | None" = field(default=None, init=False)

    @classmethod
    def of(cls, installation: Installation) -> Self:
        """The monitor of an installation; nothing is connected yet."""
        return cls(AlertMonitor.of(installation, is_standby=True))

    async def start(self) -> None:
        """Begin to watch; returns at once."""
        self._task = asyncio.create_task(self.monitor.run())

    async def close(self) -> None:
        """End the task, and close its connections."""
        if self._task is not None:
            await cancel_and_wait({self._task})
        await self.monitor.close()
