"""
Business hours against a clock on the wall that is read minute by minute.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings.business_hours import WEEKDAYS, BusinessHours
from workers.outcomes.opening import is_open

MINUTE = timedelta(minutes=1)
# A day around a moment at which the clocks of a zone change: forward, back, by half an hour, by a
# whole day, at midnight; and some at which they do not.
CHANGES = [
    ("America/Chicago", datetime(2026, 3, 8, 8, tzinfo=UTC)),
    ("America/Chicago", datetime(2026, 11, 1, 7, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2026, 12, 31, 18, 15, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 29, tzinfo=UTC)),
]
CLOCK_TIMES = st.times().map(lambda clock_time: f"{clock_time:%H:%M}")
SPANS = st.tuples(CLOCK_TIMES, st.one_of(CLOCK_TIMES, st.just("24:00"))).filter(
    lambda ends: ends[0] != ends[1]
)

# A day with a break.
BREAKS = st.lists(CLOCK_TIMES, min_size=4, max_size=4, unique=True).map(
    lambda times: [tuple(sorted(times)[:2]), tuple(sorted(times)[2:])]
)


def minutes_open(
    days: dict[str, list[tuple[str, str]]], holidays: set[date], first: date
) -> set[tuple[date, time]]:
    """
    What the clock on the wall shows while it is open, for eight days: each span is walked through
    minute by minute.
    """
    shown: set[tuple[date, time]] = set()
    for number in range(8):
        day = first + timedelta(days=number)
        if day in holidays:
            continue
        for opens, closes in days.get(WEEKDAYS[day.weekday()], []):
            moment = datetime.combine(day, time.fromisoformat(opens))
            while moment.date() not in holidays:
                shown.add((moment.date(), moment.time()))
                moment += MINUTE
                is_next_midnight = moment == datetime.combine(day + timedelta(days=1), time())
                if closes == "24:00" and is_next_midnight:
                    break
                if f"{moment:%H:%M}" == closes:
                    break
    return shown


@given(
    st.sampled_from(CHANGES),
    st.dictionaries(st.sampled_from(WEEKDAYS), st.one_of(SPANS.map(lambda span: [span]), BREAKS)),
    st.sets(st.integers(0, 7), max_size=3),
)
def test_is_open_while_the_clock_shows_a_time_within_the_hours(
    change: tuple[str, datetime],
    days: dict[str, list[tuple[str, str]]],
    holiday_numbers: set[int],
) -> None:
    """
    Around a change of the clocks, on days with spans that may pass midnight, and on holidays: every
    minute is judged as the clock on the wall shows it.
    """
    zone, changes_at = change
    first = changes_at.astimezone(ZoneInfo(zone)).date() - timedelta(days=4)
    holidays = {first + timedelta(days=number) for number in holiday_numbers}
    hours = BusinessHours.model_validate(
        {
            "timezone": zone,
            "holidays": [day.isoformat() for day in holidays],
            **{
                day: [f"{opens}-{closes}" for opens, closes in spans] for day, spans in days.items()
            },
        }
    )
    shown = minutes_open(days, holidays, first)
    for number in (*range(-75, 75), *range(-13 * 60, 13 * 60, 13)):
        moment = changes_at + number * MINUTE
        local = moment.astimezone(ZoneInfo(zone))
        assert ((local.date(), local.time()) in shown) == is_open(moment, hours), local


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-10-25T00:29:59Z", False),
        ("2026-10-25T00:30:00Z", True),
        ("2026-10-25T00:59:59Z", True),
        ("2026-10-25T01:15:00Z", False),
        ("2026-10-25T01:30:00Z", True),
        ("2026-10-25T02:00:00Z", False),
        ("2026-03-29T00:59:59Z", False),
        ("2026-03-29T01:00:00Z", False),
        ("2026-11-01T01:30:00.999Z", True),
        ("2026-11-01T01:59:59.999Z", True),
    ],
)
def test_hour_that_comes_twice_and_hour_that_never_comes(moment: str, *, expected: bool) -> None:
    """
    From 02:30 to 03:00 in Berlin: open both times that the clocks show it in October, never on the
    day in March on which they skip it.
    """
    hours = BusinessHours.model_validate({"timezone": "Europe/Berlin", "sun": "02:30-03:00"})
    assert expected == is_open(datetime.fromisoformat(moment), hours)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-24T23:59:59Z", True),
        ("2026-12-25T00:00:00Z", False),
        ("2026-12-25T23:00:00Z", False),
        ("2026-12-26T05:00:00Z", False),
        ("2026-12-26T22:00:00Z", True),
        ("2026-12-27T05:59:59Z", True),
        ("2026-12-27T06:00:00Z", False),
    ],
)
def test_night_before_a_holiday_ends_at_midnight(moment: str, *, expected: bool) -> None:
    """On a holiday nothing opens, and nothing goes on into it."""
    nights = dict.fromkeys(WEEKDAYS, "22:00-06:00")
    hours = BusinessHours.model_validate({**nights, "holidays": ["2026-12-25"]})
    assert expected == is_open(datetime.fromisoformat(moment), hours)


def test_moment_outside_the_calendar_is_neither() -> None:
    """A time that cannot be expressed in the zone of the hours is not known to be within them."""
    hours = BusinessHours.model_validate({"timezone": "America/Chicago", "mon": "00:00-24:00"})
    assert is_open(datetime(1, 1, 1, tzinfo=UTC), hours) is None
