"""
Whether a moment is within business hours.
"""

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from service.settings.business_hours import DAY_S, OpeningHours

UTC_NAME: Final = "UTC"
ONE_DAY: Final = timedelta(days=1)


def is_open(moment: datetime, hours: OpeningHours) -> bool | None:
    """
    Whether the clock on the wall shows, at a moment (UTC), a time within the hours; None if it
    lies outside the years that Python can express there.

    When the clocks go back, an hour is shown twice, and a span holds both times; when they go
    forward, what is never shown is never within. On a holiday nothing opens, and what is open from
    the day before closes at midnight.
    """
    try:
        local = moment.astimezone(ZoneInfo(hours.timezone or UTC_NAME))
        yesterday = local.date() - ONE_DAY
    except OverflowError:
        return None
    if _is_holiday(local.date(), hours):
        return False
    second = local.hour * 3600 + local.minute * 60 + local.second
    if _is_within(second, local.date(), hours):
        return True
    return not _is_holiday(yesterday, hours) and _is_within(second + DAY_S, yesterday, hours)


def _is_holiday(day: date, hours: OpeningHours) -> bool:
    return any(holiday.has(day) for holiday in hours.holidays or ())


def _is_within(second: int, day: date, hours: OpeningHours) -> bool:
    """Whether a second, counted from a day's first midnight on, is in a span that opened on it."""
    spans = hours.spans(day.weekday())
    return any(span.opens_s <= second < span.closes_s for span in spans)
