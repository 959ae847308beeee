"""
What processes count, and what all of them have counted.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from redis.exceptions import RedisError

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.figures import LONGEST_VALUE, MOST_VALUES, Tally

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


async def test_processes_count_together(store: Store) -> None:
    """Two of them, each adding twice."""
    for seconds in (0.04, 0.3, 30.0):
        for tally in (Tally(), Tally()):
            tally.note_time("buildr_request_seconds", "2xx", seconds)
            tally.note_outcome("Busy", NOW.date())
            await store.figures.add(tally)
            await store.figures.add(tally)
    histograms = await store.figures.histograms()
    assert [("buildr_request_seconds", "2xx")] == list(histograms)
    (histogram,) = histograms.values()
    assert (2, 0, 0, 2, 0, 0, 0, 0, 2) == histogram.counts
    assert pytest.approx(60.68) == histogram.sum_s
    assert {date(2026, 11, 20): {"Busy": 6}} == await store.figures.outcome_days()


async def test_unknown_values_have_their_room(store: Store) -> None:
    """Numbers are masked, long ones cut, and no sender can fill Redis with new ones."""
    tally = Tally()
    tally.note_values("twilio", ["teleported", "to +15005550006", "x" * 200], NOW)
    await store.figures.add(tally)
    tally.note_values("zoom", (f"v{number}" for number in range(MOST_VALUES + 9)), NOW)
    await store.figures.add(tally)
    later = NOW + timedelta(hours=1)
    tally.note_values("twilio", ["teleported"], later)
    await store.figures.add(tally)
    values = await store.figures.unknown_values()
    assert MOST_VALUES == len(values)
    assert later == values["twilio", "teleported"]
    assert ("twilio", "x" * LONGEST_VALUE) in values
    assert "15005550006" not in str(values)


async def test_what_is_old_is_dropped(store: Store) -> None:
    """A month of days is compared with."""
    tally = Tally()
    for days in (0, 39, 41):
        tally.note_outcome("Busy", (NOW - timedelta(days=days)).date())
        tally.note_values("zoom", [f"v{days}"], NOW - timedelta(days=days))
    await store.figures.add(tally)
    await store.figures.forget_old(NOW)
    await store.figures.forget_old(NOW)
    assert 2 == len(await store.figures.outcome_days())
    assert {("zoom", "v0"), ("zoom", "v39")} == set(await store.figures.unknown_values())


@pytest.mark.parametrize("has_values", [True, False])
async def test_what_redis_does_not_take_is_added_later(
    make_settings: Callable[..., Settings], store: Store, has_values: bool
) -> None:
    """Nothing is counted twice, and nothing is lost."""
    tally = Tally()
    tally.note_time("delivery_seconds", "twilio", 3)
    tally.note_outcome("Busy", NOW.date())
    if has_values:
        tally.note_values("zoom", ["teleported"], NOW)
    away = open_store(make_settings(REDIS_URL="unix:///nowhere/redis.sock"), role="cli")
    async with away:
        with pytest.raises((RedisError, OSError)):
            await away.figures.add(tally)
    tally.note_time("delivery_seconds", "twilio", 4)
    await store.figures.add(tally)
    assert tally.is_empty
    (histogram,) = (await store.figures.histograms()).values()
    assert (2, 7.0) == (sum(histogram.counts), histogram.sum_s)
    assert has_values == bool(await store.figures.unknown_values())
