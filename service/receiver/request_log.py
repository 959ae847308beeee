"""
The one log line about a webhook request: how it ended, why, how large it was, how long it took.
"""

import time
from dataclasses import dataclass, field
from typing import Final

import structlog
from starlette.types import Scope

from service.logs.events import LogEvent
from service.receiver.refusals import Log, Refusal, Refusals

UNKNOWN: Final = "unknown"


def request_logger() -> Log:
    """
    The logger of the lines about requests, set up once: to do so for each line takes a tenth of its
    time. Call it after logging is configured.
    """
    # The name under which operators find it: it is the log line of that endpoint.
    logger: Log = structlog.get_logger("service.receiver.webhooks").bind()
    return logger


@dataclass(slots=True)
class RequestLog:
    """
    What is known about a request so far. `is_reading` is True while its body is read. `account` and
    `source` are known names, or `UNKNOWN`: a path may hold a token in any place.

    One that ends without `end` was rejected.
    """

    log: Log
    refusals: Refusals
    account: str
    source: str
    # The default is what remains if nothing was set on the way, so that no refusal goes unlogged.
    event: LogEvent = LogEvent.MESSAGE_REJECTED
    level: str = "warning"
    reason: str | None = None
    body_bytes: int | None = None
    is_reading: bool = False
    started_s: float = field(default_factory=time.perf_counter)

    def end(self, event: LogEvent, *, level: str = "info", reason: str | None = None) -> None:
        """Set how the request ended."""
        self.event = event
        self.level = level
        self.reason = reason

    def write(self, scope: Scope, *, status_code: int | None) -> None:
        """Write the line; repeats of refusals that need nobody's proof are counted instead."""
        duration_ms = round((time.perf_counter() - self.started_s) * 1000, 2)
        if self.event is LogEvent.MESSAGE_REJECTED and self.level != "error":
            refusal = Refusal(
                event=self.event,
                account=self.account,
                source=self.source,
                status_code=status_code,
                reason=self.reason or "",
            )
            self.refusals.note(scope, refusal)
            self.refusals.write(
                self.log,
                refusal,
                level=self.level,
                body_bytes=self.body_bytes,
                duration_ms=duration_ms,
            )
            return
        getattr(self.log, self.level)(
            self.event,
            reason=self.reason,
            status_code=status_code,
            body_bytes=self.body_bytes,
            duration_ms=duration_ms,
        )
