"""
Silence: a source is reported when nothing comes in hours that always brought something, once, and
again when it is back.
"""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.store.connection import Store
from workers.maintenance.silence import (
    MIN_MESSAGES,
    WEEK_H,
    SilenceMonitor,
    detect_silence,
)

# No clock was set in the weeks before.
MONDAY = datetime(2026, 8, 3, 10, 30, tzinfo=UTC)
HOUR = int(MONDAY.timestamp()) // 3600


def habit(weeks: int, count: int = MIN_MESSAGES, *, hours: int = 4) -> dict[int, int]:
    """So many messages in each of some hours from 10:00 on, on that many Mondays before."""
    hours_with_messages = {
        HOUR - WEEK_H * back + hour: count for back in range(1, weeks + 1) for hour in range(hours)
    }
    # The installation began at midnight of the first of these days.
    return {HOUR - WEEK_H * weeks - 10: 1} | hours_with_messages


def test_silence_in_a_usual_hour_is_noticed() -> None:
    """Two weeks of habit, one whole hour of nothing: silent since the last message."""
    silence = detect_silence(habit(2), MONDAY, MONDAY + timedelta(hours=2))
    assert silence is not None
    assert (MONDAY, (MIN_MESSAGES, MIN_MESSAGES)) == (silence.since, silence.typical_counts)
    assert "2 weeks" in silence.reason


@pytest.mark.parametrize(
    ("hours", "after_h"),
    [
        (habit(2), 1),
        (habit(1), 2),
        ({}, 2),
        (habit(2, MIN_MESSAGES - 1), 2),
        (
            {
                hour: count
                for hour, count in habit(3).items()
                if not HOUR - 2 * WEEK_H <= hour <= HOUR - WEEK_H - 11
            },
            2,
        ),
    ],
    ids=["no whole hour", "one week", "nothing known", "too few", "one week without"],
)
def test_what_is_no_habit_is_no_silence(hours: dict[int, int], after_h: int) -> None:
    """
    Less than a whole hour, less than two weeks, or a week in which little came: nothing is
    reported.
    """
    assert detect_silence(hours, MONDAY, MONDAY + timedelta(hours=after_h)) is None


def test_silence_of_weeks_stays_one() -> None:
    """
    However long it lasts, it is judged by its first week, so that it does not become a habit
    itself.
    """
    for days in (1, 6, 7, 8, 20, 40):
        assert detect_silence(habit(3), MONDAY, MONDAY + timedelta(days=days)) is not None


@pytest.mark.parametrize("weeks", [3, 4])
def test_silence_that_begins_before_a_weekend_is_noticed_after_it(weeks: int) -> None:
    """Nothing ever comes on the day after the last message, so that only the next Monday tells."""
    friday = MONDAY - timedelta(days=3)
    assert detect_silence(habit(weeks), friday, MONDAY - timedelta(hours=1)) is None
    silence = detect_silence(habit(weeks), friday, MONDAY + timedelta(hours=1))
    assert silence is not None
    assert friday == silence.since


def test_night_is_not_unusual() -> None:
    """Nothing comes at night, and nothing has in any week."""
    assert detect_silence(habit(3, hours=1), MONDAY, MONDAY + timedelta(hours=12)) is None


@pytest.mark.parametrize(
    ("change", "later_h"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), 1),
        (datetime(2026, 10, 25, tzinfo=UTC), 1),
        (datetime(2026, 3, 8, tzinfo=UTC), -1),
        (datetime(2026, 3, 29, tzinfo=UTC), -1),
    ],
)
@pytest.mark.parametrize("after_d", range(-1, 16, 2))
def test_an_office_whose_clock_was_set_is_not_silent(
    change: datetime, later_h: int, after_d: int
) -> None:
    """By UTC it opens and closes an hour later or earlier; real silence is noticed all the same."""
    hours: dict[int, int] = {}
    today = change + timedelta(days=after_d)
    for days in range(36):
        day = today - timedelta(days=days)
        opens_h = 14 + later_h * (day >= change)
        if day.isoweekday() <= 5:
            first = int(day.timestamp()) // 3600 + opens_h
            hours |= dict.fromkeys(range(first, first + 10), 50)
    for hour in range(30):
        now = today + timedelta(hours=hour)
        past = {at: count for at, count in hours.items() if at * 3600 <= now.timestamp()}
        assert detect_silence(past, datetime.fromtimestamp(max(past) * 3600, UTC), now) is None
    silent_since = datetime.fromtimestamp(min(hours) * 3600 + 35 * 86_400, UTC)
    past = {at: count for at, count in hours.items() if at * 3600 < silent_since.timestamp()}
    assert detect_silence(past, silent_since, silent_since + timedelta(days=4)) is not None


@given(st.dictionaries(st.integers(HOUR - 900, HOUR), st.integers(0, 50)), st.integers(0, 2000))
def test_any_past_is_judged(hours: dict[int, int], after_h: int) -> None:
    """
    Whatever came, judging it gives an answer, and after its first week nothing changes any more.
    """
    early = detect_silence(hours, MONDAY, MONDAY + timedelta(hours=WEEK_H + 2 + after_h))
    late = detect_silence(hours, MONDAY, MONDAY + timedelta(hours=WEEK_H + 3 + after_h))
    assert early == late


async def test_silence_is_reported_once_and_its_end_too(store: Store) -> None:
    """
    Of two workers one reports it, a second look says nothing new, and the first message afterwards
    ends it.
    """
    hours = store.keys.named("hours:zoom")
    for hour, count in habit(2).items():
        await store.redis.hset(hours, str(hour), count)
    await store.redis.hset(
        store.keys.named("heard"), "message:zoom", int(MONDAY.timestamp() * 1000)
    )
    now = MONDAY + timedelta(hours=3)
    workers = [
        SilenceMonitor(store=store, sources=("zoom", "twilio"), clock=lambda: now) for _ in range(2)
    ]
    with capture_logs() as logs:
        for worker in (*workers, *workers):
            await worker.check()
    assert [("source.silent", "zoom", "warning")] == [
        (entry["event"], entry["source"], entry["log_level"]) for entry in logs
    ]
    assert MONDAY == (await store.source_activity.last())["silent", "zoom"]
    await store.source_activity.note("message", "zoom")
    with capture_logs() as logs:
        for worker in (*workers, *workers):
            await worker.check()
    assert ["source.heard_again"] == [entry["event"] for entry in logs]
    assert ("silent", "zoom") not in await store.source_activity.last()


async def test_silence_of_months_is_not_taken_for_its_end(store: Store) -> None:
    """However old the hours before it become, a silent source stays silent."""
    for hour, count in habit(3).items():
        await store.redis.hset(store.keys.named("hours:zoom"), str(hour), count)
    await store.redis.hset(
        store.keys.named("heard"), "message:zoom", int(MONDAY.timestamp() * 1000)
    )
    with capture_logs() as logs:
        for days in (1, 8, 15, 22, 36, 80):
            await SilenceMonitor(
                store=store, sources=("zoom",), clock=partial(MONDAY.__add__, timedelta(days=days))
            ).check()
    assert ["source.silent"] == [entry["event"] for entry in logs]


async def test_hours_that_are_too_old_are_dropped(store: Store) -> None:
    """What is kept of a source does not grow for ever."""
    for hour in (HOUR - 5 * WEEK_H - 1, HOUR - 5 * WEEK_H, HOUR):
        await store.redis.hset(store.keys.named("hours:zoom"), str(hour), 7)
    await store.source_activity.forget_hours("zoom", before=MONDAY)
    assert {HOUR - 5 * WEEK_H: 7, HOUR: 7} == await store.source_activity.hours("zoom")
