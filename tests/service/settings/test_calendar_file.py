"""
Holidays from calendars and texts: every day of them, and what is not understood is refused.
"""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings.calendar_file import read_calendar
from service.settings.holidays import Holiday, read_holiday

DAYS = st.dates(date(1999, 1, 1), date(2032, 12, 31))


def calendar(*events: str, line_end: str = "\r\n") -> str:
    """A calendar with these events, each given by its lines."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for event in events:
        lines += ["BEGIN:VEVENT", *event.split("\n"), "END:VEVENT"]
    return line_end.join([*lines, "END:VCALENDAR", ""])


def days_of(holiday: Holiday, *, year: int = 2026) -> list[str]:
    """The days of a year that a holiday has."""
    first = date(year, 1, 1)
    days = [first + timedelta(days=number) for number in range(366)]
    return [f"{day:%m-%d}" for day in days if day.year == year and holiday.has(day)]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2026-12-25", ["12-25"]),
        (" 2026-12-25 ", ["12-25"]),
        ("2026-12-24..2026-12-26", ["12-24", "12-25", "12-26"]),
        ("2026-12-24/2026-12-25", ["12-24", "12-25"]),
        ("2026-12-24 to 2026-12-25", ["12-24", "12-25"]),
        ("2026-12-24 - 2026-12-25", ["12-24", "12-25"]),
        ("2025-12-30..2026-01-02", ["01-01", "01-02"]),
        ("12-25", ["12-25"]),
        ("02-29", []),
    ],
)
def test_dates_as_texts(text: str, days: list[str]) -> None:
    """A day, a span of days with both ends, and a day of every year."""
    assert days == days_of(read_holiday(text))


def test_leap_day_of_every_year_is_there_in_leap_years() -> None:
    """29 February is a holiday where there is one."""
    assert ["02-29"] == days_of(read_holiday("02-29"), year=2028)


@pytest.mark.parametrize(
    ("event", "days"),
    [
        ("DTSTART;VALUE=DATE:20261225", ["12-25"]),
        ("dtstart;value=date:20261225\nSUMMARY:a\\, b; c: d", ["12-25"]),
        ("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227", ["12-25", "12-26"]),
        ("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261225", ["12-25"]),
        ("DTSTART:20261225\nDURATION:P2D", ["12-25", "12-26"]),
        ("DTSTART:20261225\nDURATION:P1W", [f"12-{day}" for day in range(25, 32)]),
        (
            'DTSTART;TZID="America/Chicago":20261225T000000\nDTEND:20261226T000000',
            ["12-25"],
        ),
        ("DTSTART:20201225\nRRULE:FREQ=YEARLY", ["12-25"]),
        (
            "DTSTART:20201225\nRRULE:freq=yearly;INTERVAL=1;BYMONTH=12;BYMONTHDAY=25;WKST=MO",
            ["12-25"],
        ),
        ("DTSTART:20201225\nRRULE:FREQ=YEARLY;UNTIL=20251225", []),
        ("DTSTART:20201225\nRRULE:FREQ=YEARLY;UNTIL=20261225T000000Z", ["12-25"]),
        ("DTSTART:20271225\nRRULE:FREQ=YEARLY", []),
        (
            "DTSTART:20201231\nDTEND:20210103\nRRULE:FREQ=YEARLY",
            ["01-01", "01-02", "12-31"],
        ),
        ("SUMMARY:Day\n  off\nDTSTART;VALU\n E=DATE:2026\n 1225", ["12-25"]),
        ("BEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT1H\nEND:VALARM\nDTSTART:20261225", ["12-25"]),
    ],
)
@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_events_of_whole_days(event: str, days: list[str], line_end: str) -> None:
    """The end of an event is the day after its last; folded lines are one."""
    (holiday,) = read_calendar(calendar(event, line_end=line_end))
    assert days == days_of(holiday)


def test_cancelled_event_is_left_out() -> None:
    """What was cancelled is no holiday, and neither is a time zone's change or a task."""
    text = calendar("DTSTART:20261225\nSTATUS:CANCELLED", "DTSTART:20260704")
    zone = "BEGIN:VTIMEZONE\r\nBEGIN:STANDARD\r\nDTSTART:20261101T020000\r\nEND:STANDARD\r\nEND:VTI"
    text = text.replace("BEGIN:VEVENT", f"{zone}MEZONE\r\nBEGIN:VEVENT", 1)
    (holiday,) = read_calendar(text)
    assert ["07-04"] == days_of(holiday)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("DTSTART:20261225T120000Z\nSUMMARY:Lunch", "line 3 (Lunch) is not of whole days"),
        ("DTSTART:20261225\nDTEND:20261225T120000", "is not of whole days (DTEND:"),
        ("DTSTART:20261225\nDURATION:PT8H", "is not of whole days (DURATION:PT8H)"),
        ("DTSTART:20261225\nDTEND:20261224", "ends before it begins"),
        ("DTSTART:20261325", "line 3 (no title)"),
        ("SUMMARY:Nothing", "(Nothing) has no DTSTART"),
        ("DTSTART:20261126\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "only FREQ=YEARLY is read"),
        ("DTSTART:20261126\nRRULE:FREQ=WEEKLY", "only FREQ=YEARLY is read"),
        ("DTSTART:20261126\nRRULE:FREQ=YEARLY;INTERVAL=2", "only FREQ=YEARLY is read"),
        ("DTSTART:20261126\nRRULE:COUNT=2", "only FREQ=YEARLY is read"),
        ("DTSTART:20261126\nEXDATE:20271126\nRRULE:FREQ=YEARLY", "has EXDATE, which is not read"),
        ("DTSTART:20261126\nRDATE;VALUE=DATE:20271126", "has RDATE, which is not read"),
    ],
)
def test_what_is_not_understood_is_refused(event: str, message: str) -> None:
    """An event whose days are not clear is never passed over; its line is named."""
    with pytest.raises(ValueError, match="line 3") as caught:
        read_calendar(calendar(event))
    assert message in str(caught.value)


def test_all_faults_of_a_calendar_are_reported() -> None:
    """The first three by their lines, of the others the number."""
    events = [f"DTSTART:2026122{number}T100000Z\nSUMMARY:No {number}" for number in range(5)]
    with pytest.raises(ValueError, match=r"and 2 more$") as caught:
        read_calendar(calendar("DTSTART:20261225", *events))
    assert [True, True, True, False] == [
        f"(No {number})" in str(caught.value) for number in range(4)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no event"),
        ("BEGIN:VCALENDAR\nEND:VCALENDAR\n", "has no event"),
        ("SUMMARY:x\n", "line 1: a calendar begins with BEGIN:VCALENDAR"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\n", "is cut off"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261225\nEND:VCALENDAR\n", "line 4: END:VCAL"),
        ("<html></html>", "line 1 is no line of an iCalendar file"),
    ],
)
def test_text_that_is_no_calendar_is_refused(text: str, message: str) -> None:
    """A page of HTML, half a calendar or an empty one is no list of holidays."""
    with pytest.raises(ValueError, match=r"line|event") as caught:
        read_calendar(text)
    assert message in str(caught.value)


@given(DAYS, st.integers(0, 400), DAYS)
def test_holiday_has_its_days(first: date, length: int, day: date) -> None:
    """A holiday has the days from its first to its last, and no other."""
    last = first + timedelta(days=length)
    assert (day in {first + timedelta(days=number) for number in range(length + 1)}) == Holiday(
        first, last
    ).has(day)


@given(DAYS, st.integers(0, 30), DAYS, DAYS)
def test_yearly_holiday_has_the_same_days_of_each_year(
    first: date, length: int, until: date, day: date
) -> None:
    """It begins on the same day of each year from its first to `until`, and is as long."""
    days: set[date] = set()
    for year in range(first.year, 2034):
        try:
            begin = first.replace(year=year)
        except ValueError:
            continue
        if begin <= until:
            days |= {begin + timedelta(days=number) for number in range(length + 1)}
    holiday = Holiday(first, first + timedelta(days=length), is_yearly=True, until=until)
    assert (day in days) == holiday.has(day)
