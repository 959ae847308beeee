"""
Refused requests in the log: the first ones in full, the others as counts.
"""

import asyncio
from contextlib import AbstractContextManager

import pytest
import structlog
from msgspec.structs import replace
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.logs.events import LogEvent
from service.receiver import refusals as module
from service.receiver.refusals import (
    ALL_FULL_LINES,
    FULL_LINES,
    MAX_KINDS,
    WINDOW_S,
    Refusal,
    Refusals,
)

REFUSAL = Refusal(
    event=LogEvent.MESSAGE_REJECTED,
    account="default",
    source="twilio",
    status_code=401,
    reason="the signature does not fit",
)
log = structlog.get_logger("test")


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def _logs() -> AbstractContextManager[list[EventDict]]:
    return capture_logs(processors=[structlog.contextvars.merge_contextvars])


def _events(entries: list[EventDict]) -> list[str]:
    return [str(entry["event"]) for entry in entries]


async def test_window_has_its_first_lines_and_a_count() -> None:
    """The next window begins with lines in full again, after the sum of the last one."""
    clock = Clock()
    refusals = Refusals(clock=clock)
    with _logs() as entries:
        for _ in range(FULL_LINES + 7):
            refusals.write(log, REFUSAL, body_bytes=3)
        clock.now_s += WINDOW_S
        refusals.write(log, REFUSAL, body_bytes=3)
    assert [
        *["message.rejected"] * FULL_LINES,
        "message.rejected_repeatedly",
        "message.rejected",
    ] == _events(entries)
    assert {
        "event": "message.rejected_repeatedly",
        "log_level": "warning",
        "account": "default",
        "source": "twilio",
        "status_code": 401,
        "reason": "the signature does not fit",
        "count": 7,
        "window_s": WINDOW_S,
    } == entries[FULL_LINES]


async def test_kinds_are_counted_apart_and_figures_make_no_kind() -> None:
    """Source, status and reason make a kind; the size or age in a reason does not."""
    refusals = Refusals(clock=Clock())
    with _logs() as entries:
        for number in range(500):
            refusals.write(log, replace(REFUSAL, reason=f"announced {number} bytes"))
        # A flood of one kind hides no other.
        for _ in range(50):
            refusals.write(log, replace(REFUSAL, status_code=404))
        refusals.summarize()
    assert 2 * FULL_LINES == _events(entries).count("message.rejected")
    assert [("announced N bytes", 495), (REFUSAL.reason, 45)] == [
        (entry["reason"], entry["count"]) for entry in entries if "count" in entry
    ]


async def test_kinds_and_lines_of_a_window_are_bounded() -> None:
    """However a sender varies its requests, a minute has so many lines, and counts them all."""
    refusals = Refusals(clock=Clock())
    letters = [f"{first}{second}" for first in "abcdefghijkl" for second in "abcdefghijkl"]
    with _logs() as entries:
        for reason in letters * 10:
            refusals.write(log, replace(REFUSAL, reason=reason))
        refusals.summarize()
    counts = [entry["count"] for entry in entries if "count" in entry]
    assert len(entries) <= ALL_FULL_LINES + MAX_KINDS + 1
    assert len(letters) * 10 == sum(counts) + ALL_FULL_LINES
    assert "other" in [entry["reason"] for entry in entries]


async def test_count_is_written_without_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood that ends has its line, without what was bound for one of its requests."""
    monkeypatch.setattr(module, "WINDOW_S", 0.01)
    # A clock that does not move: however busy the machine is, the window ends by the timer.
    refusals = Refusals(clock=lambda: 0.0)
    is_summed = asyncio.Event()

    def note(_: object, __: str, entry: EventDict) -> EventDict:
        if "count" in entry:
            is_summed.set()
        return entry

    processors = [structlog.contextvars.merge_contextvars, note]
    with (
        capture_logs(processors=processors) as entries,
        structlog.contextvars.bound_contextvars(message_id="m1"),
    ):
        for _ in range(FULL_LINES + 1):
            refusals.write(log, REFUSAL)
        async with asyncio.timeout(30):
            await is_summed.wait()
    assert ["message_id" in entry for entry in entries] == [True] * FULL_LINES + [False]


async def test_nothing_is_summed_up_where_nothing_was_left_out() -> None:
    """A few refusals are a few lines."""
    refusals = Refusals(clock=Clock())
    with _logs() as entries:
        refusals.write(log, REFUSAL, level="info")
        refusals.summarize()
    assert [("message.rejected", "info")] == [
        (entry["event"], entry["log_level"]) for entry in entries
    ]
