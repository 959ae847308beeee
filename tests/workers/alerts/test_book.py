"""
When alerts open and are over, and what each channel learns of them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.workers.alerts.facts import NOW, condition
from workers.alerts.book import (
    Book,
    advance,
    book_text,
    notices_for,
    pruned,
    read_book,
    with_sent,
)
from workers.alerts.condition import Condition

DAY = timedelta(days=1)


class Days:
    """A book over time: each step is another reading, and a message to a channel that takes it."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.book: Book = {}

    def step(
        self, *conditions: Condition, after_s: float = 0, channels: Sequence[str] = ("slack",)
    ) -> list[str]:
        """What the channels learn of a reading `after_s` seconds later."""
        self.now += timedelta(seconds=after_s)
        # As it is stored in between.
        self.book = advance(read_book(book_text(self.book)), conditions, now=self.now)
        learnt = []
        for channel in channels:
            notices = notices_for(channel, self.book, account="default", now=self.now, reminder=DAY)
            learnt += [f"{channel} {notice.kind} {notice.alert.key}" for notice in notices]
            self.book = with_sent(self.book, notices, channel, now=self.now)
        self.book = pruned(self.book, channels)
        return learnt


def test_an_alert_from_its_beginning_to_its_end() -> None:
    """It has to last to be sent, is sent once, and once more when it is over for long enough."""
    days = Days()
    assert [] == days.step(condition())
    assert [] == days.step(condition(), after_s=119)
    assert ["slack opened no_worker"] == days.step(condition(), after_s=1)
    assert [] == days.step(condition(), after_s=3600)
    assert [] == days.step(after_s=30)
    assert [] == days.step(after_s=59)
    assert ["slack over no_worker"] == days.step(after_s=1)
    assert {} == days.book


def test_what_does_not_last_is_no_alert() -> None:
    """A restart of the only worker."""
    days = Days()
    for _ in range(5):
        assert [] == days.step(condition(), after_s=60)
        assert [] == days.step(after_s=30)
    assert {} == days.book


def test_what_comes_and_goes_is_one_alert() -> None:
    """It is over once it was gone for its time, however often it was gone for less."""
    days = Days()
    days.step(condition())
    learnt = days.step(condition(), after_s=120)
    for _ in range(5):
        learnt += days.step(after_s=30)
        learnt += days.step(condition(), after_s=30)
    assert ["slack opened no_worker"] == learnt


def test_a_reminder_after_its_time() -> None:
    """What is still open is not forgotten; what may be over in a moment is left."""
    days = Days()
    days.step(condition(after_s=0))
    assert [] == days.step(condition(), after_s=86_399)
    assert ["slack reminder no_worker"] == days.step(condition(), after_s=1)
    assert [] == days.step(condition(), after_s=1)
    assert [] == days.step(after_s=86_400)


def test_each_channel_learns_by_itself() -> None:
    """One that was away, or is new, learns what is open; one that never learnt of it, no end."""
    days = Days()
    days.step(condition(after_s=0), channels=("slack",))
    assert ["email opened no_worker"] == days.step(condition(), channels=("slack", "email"))
    assert [] == days.step(after_s=1, channels=("slack",))
    assert ["slack over no_worker"] == days.step(after_s=60, channels=("slack",))
    late = Days()
    late.step(condition(after_s=0), channels=())
    assert [] == late.step(after_s=1, channels=())
    assert [] == late.step(after_s=60, channels=("slack",))
    assert {} == late.book


def test_what_is_back_before_its_end_was_sent_goes_on() -> None:
    """The channel was away meanwhile: for it, nothing has changed."""
    days = Days()
    days.step(condition(after_s=0))
    days.book = advance(days.book, [], now=NOW)
    days.book = advance(days.book, [], now=NOW + timedelta(seconds=60))
    assert "over" == days.book["no_worker"].state
    assert [] == days.step(condition(), after_s=61)
    assert "open" == days.book["no_worker"].state


def test_a_book_that_cannot_be_read_is_empty() -> None:
    """A newer version has written it: what is wrong is sent anew."""
    assert {} == read_book(b'{"no_worker": {"colour": "red"}}')
    assert {} == read_book(b"no JSON")
    assert {} == read_book(None)
