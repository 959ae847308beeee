"""
Holidays: single days, spans of days, and days of every year.

`service.settings.calendar_file` reads them from an `.ics` file.
"""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
DATE_SPAN: Final = re.compile(rf"({DATE})\s*(?:\.\.|/|-|to)\s*({DATE})")
MONTH_AND_DAY: Final = re.compile(r"[0-9]{2}-[0-9]{2}")
# A leap year, so that 02-29 is a date of it.
LEAP_YEAR: Final = "0004"


@dataclass(frozen=True, slots=True)
class Holiday:
    """
    From the first to the last day, both included.

    With `is_yearly` the same days of every year after, to the one that begins on `until` at the
    latest.
    """

    first: date
    last: date
    is_yearly: bool = False
    until: date = date.max

    def has(self, day: date) -> bool:
        """Whether a day is one of its days."""
        if not self.is_yearly:
            return self.first <= day <= self.last
        # Days of the year before may go on into this one.
        return any(self._has_in_year(year, day) for year in (day.year - 1, day.year))

    def _has_in_year(self, year: int, day: date) -> bool:
        try:
            begin = self.first.replace(year=year)
        except ValueError:  # there is no 29 February, or no such year
            return False
        is_after_begin = timedelta(0) <= day - begin <= self.last - self.first
        return is_after_begin and self.first <= begin <= self.until


def read_holiday(text: str) -> Holiday:
    """
    Read `2026-12-25`, `2026-12-24..2027-01-01`, or `12-25` for every year. Raises ValueError, with
    what is expected, for anything else.
    """
    text = text.strip()
    span = DATE_SPAN.fullmatch(text)
    try:
        if span is not None:
            holiday = Holiday(date.fromisoformat(span[1]), date.fromisoformat(span[2]))
        elif MONTH_AND_DAY.fullmatch(text):
            day = date.fromisoformat(f"{LEAP_YEAR}-{text}")
            holiday = Holiday(day, day, is_yearly=True)
        else:
            day = date.fromisoformat(text)
            holiday = Holiday(day, day)
    except ValueError as err:
        raise ValueError(
            f"{text!r} is no holiday: write 2026-12-25, 2026-12-24..2027-01-01, 12-25 for every "
            "year, or the path of an .ics file"
        ) from err
    if holiday.last < holiday.first:
        raise ValueError(f"{text!r} ends before it begins")
    return holiday
