"""
Log lines about requests that were refused: the first ones in full, repeats as a count.

Anybody can send requests that are refused. With a line for each, a flood of them fills a disk and
hides the lines that matter.
"""

import asyncio
import contextvars
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import asdict, replace
from starlette.types import Scope

from service.logs.events import LogEvent
from service.receiver.refused_notes import RefusedNotes

WINDOW_S: Final = 60.0
# Of each kind, in a window.
FULL_LINES: Final = 5
# Of all kinds together, in a window.
ALL_FULL_LINES: Final = 50
# Kinds that are counted apart in a window; the rest is one kind.
MAX_KINDS: Final = 50
OTHER: Final = "other"
# The line that sums up lines of an event.
SUMMARIES: Final = {
    LogEvent.MESSAGE_REJECTED: LogEvent.MESSAGE_REJECTED_REPEATEDLY,
    LogEvent.ADMIN_REJECTED: LogEvent.ADMIN_REJECTED_REPEATEDLY,
}
_DIGITS: Final = re.compile(r"\d+")

Log = structlog.typing.FilteringBoundLogger


class Refusal(Struct, frozen=True, kw_only=True):
    """
    What refusals are counted by. `source` and `account` are known names, never text of a sender.
    """

    event: LogEvent
    account: str | None
    source: str | None
    status_code: int | None
    reason: str


class Refusals:
    """
    Writes refusals to the log, for one process.

    In each window of `WINDOW_S` seconds the first ones of a kind are lines of their own. The others
    are one line for each kind at the end of the window, with their `count`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._ends_at = 0.0
        self._seen: Counter[Refusal] = Counter()
        self._full_lines = 0
        self._logs: dict[Refusal, Log] = {}
        self._summed: Counter[Refusal] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        # Set by the application: what people read in `refused list`.
        self.notes: RefusedNotes | None = None

    def note(self, scope: Scope, refusal: Refusal) -> None:
        """Note a refused message in Redis too."""
        if self.notes is not None:
            self.notes.note(
                scope,
                account=refusal.account or OTHER,
                source=refusal.source or OTHER,
                reason=refusal.reason,
                status_code=refusal.status_code,
            )

    def write(
        self, log: Log, refusal: Refusal, *, level: str = "warning", **details: object
    ) -> None:
        """Write the line of one refusal with its details, or count it."""
        if self._clock() >= self._ends_at:
            self.summarize()
            self._ends_at = self._clock() + WINDOW_S
        # Reasons hold sizes and ages: these make no kind of their own.
        kind = replace(refusal, reason=_DIGITS.sub("N", refusal.reason))
        if kind not in self._seen and len(self._seen) >= MAX_KINDS:
            kind = replace(kind, account=None, source=OTHER, status_code=None, reason=OTHER)
        self._seen[kind] += 1
        if self._seen[kind] <= FULL_LINES and self._full_lines < ALL_FULL_LINES:
            self._full_lines += 1
            getattr(log, level)(
                refusal.event, reason=refusal.reason, status_code=refusal.status_code, **details
            )
            return
        self._logs[kind] = log
        self._summed[kind] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                # The line is of no request: nothing that was bound for this one may be in it.
                max(0.0, self._ends_at - self._clock()),
                self.summarize,
                context=contextvars.Context(),
            )

    def summarize(self) -> None:
        """Write how many refusals of each kind had no line of their own, and begin anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for kind, count in self._summed.most_common():
            fields = {**asdict(kind), "count": count, "window_s": WINDOW_S}
            self._logs[kind].warning(SUMMARIES[fields.pop("event")], **fields)
        self._seen.clear()
        self._full_lines = 0
        self._logs.clear()
        self._summed.clear()
