"""
The one log line about a webhook request: how it ended, why, how large it was, how long it took.
"""

import time
from typing import Final

import structlog
from msgspec import Struct, field
from starlette.types import Scope

from service.logs.events import LogEvent
from service.logs.field_logger import FieldLogger
from service.receiver.answer_times import METRIC
from service.receiver.refusals import Refusal, Refusals
from service.store.figures import Tally
from service.store.messages import Message

UNKNOWN: Final = "unknown"
# Fields that hold nothing of a sender's: to mask them takes as long as the rest of the line.
HARMLESS: Final = frozenset(
    {"status_code", "body_bytes", "duration_ms", "account", "source", "message_id"}
)


def request_logger() -> FieldLogger:
    """The logger of the lines about requests. Call it after logging is configured."""
    # The name under which operators find it: it is the log line of that endpoint.
    return FieldLogger("service.receiver.webhooks")


class RequestLog(Struct):
    """
    What is known about a request so far. `is_reading` is True while its body is read. `account` and
    `source` are known names, or `UNKNOWN`: a path may hold a token in any place. `tally` counts how
    long the sender waited.

    One that ends without `end` was rejected.
    """

    log: FieldLogger
    refusals: Refusals
    account: str
    source: str
    tally: Tally | None = None
    # The default is what remains if nothing was set on the way, so that no refusal goes unlogged.
    event: LogEvent = LogEvent.MESSAGE_REJECTED
    level: str = "warning"
    reason: str | None = None
    body_bytes: int | None = None
    message_id: str | None = None
    source_call_id: str | None = None
    is_reading: bool = False
    started_s: float = field(default_factory=time.perf_counter)

    def name(self, message: Message) -> None:
        """Set which message it is."""
        self.message_id = message.message_id
        self.source_call_id = message.source_call_id

    def bind(self) -> None:
        """Have other lines of this task hold what is known."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**self._bound)

    def end(self, event: LogEvent, *, level: str = "info", reason: str | None = None) -> None:
        """Set how the request ended."""
        self.event = event
        self.level = level
        self.reason = reason

    def write(self, scope: Scope, *, status_code: int | None) -> None:
        """Write the line; repeats of refusals that need nobody's proof are counted instead."""
        duration_s = time.perf_counter() - self.started_s
        duration_ms = round(duration_s * 1000, 2)
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
                self.log.plain,
                refusal,
                level=self.level,
                body_bytes=self.body_bytes,
                duration_ms=duration_ms,
                **self._bound,
            )
            return
        # Not of those that were refused: how fast strangers get their 401 says nothing.
        if self.tally is not None and status_code is not None:
            self.tally.note_time(METRIC, self.source, duration_s)
        fields: dict[str, object] = {
            "reason": self.reason,
            "status_code": status_code,
            "body_bytes": self.body_bytes,
            "duration_ms": duration_ms,
        }
        self._add_names(fields)
        self.log.write(self.level, self.event, fields, HARMLESS)

    @property
    def _bound(self) -> dict[str, object]:
        fields: dict[str, object] = {}
        self._add_names(fields)
        return fields

    def _add_names(self, fields: dict[str, object]) -> None:
        fields["account"] = self.account
        fields["source"] = self.source
        if self.message_id is not None:
            fields["message_id"] = self.message_id
        if self.source_call_id is not None:
            fields["source_call_id"] = self.source_call_id
