"""
`[business_hours]` of `buildr-calls.toml`: the hours of each weekday, one table without a name and
others with one, like `[business_hours.sales]`.

Hours are read off the clock on the wall of their time zone: a span holds for every moment at which
that clock shows a time within it. `workers.outcomes.opening` asks whether a moment is within them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, ConfigDict, ValidationInfo

from service.settings.calendar_file import read_calendar
from service.settings.holidays import Holiday, read_holiday
from service.settings.toml_values import StrictTable, did_you_mean

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# The key of pydantic's validation context that holds the folder in which the TOML file lies.
FOLDER: Final = "folder"
CALENDAR_SUFFIX: Final = ".ics"
DAY_S: Final = 24 * 3600
MIDNIGHT_AT_END: Final = re.compile(r"24(:00){0,2}")
EXAMPLES: Final = "a span is like 08:00-17:30, 08:00-24:00 or, past midnight, 22:00-06:00"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """
    From opening to closing, in seconds since the midnight at which the day begins.

    `closes_s` is more than `DAY_S` where it closes on the next day. The moment of closing is
    outside.
    """

    opens_s: int
    closes_s: int


def read_span(text: str) -> Span:
    """
    Read `08:00-17:30`, `08:00-24:00` or `22:00-06:00`. Raises ValueError, with what is expected,
    for anything else.
    """
    opens_text, dash, closes_text = text.partition("-")
    opens_s = _seconds(opens_text)
    closes_s = _seconds(closes_text)
    if not dash or opens_s is None or closes_s is None:
        raise ValueError(f"{text!r} is not a span of time: {EXAMPLES}")
    if opens_s == DAY_S:
        raise ValueError(f"{text!r} opens when the day is over: write 00:00 for the next day")
    if opens_s == closes_s:
        raise ValueError(f"{text!r} closes when it opens: a whole day is 00:00-24:00")
    if closes_s < opens_s:
        closes_s += DAY_S
    return Span(opens_s, closes_s)


def _seconds(text: str) -> int | None:
    """The seconds from midnight to a time like `08:00`; None if it is not one."""
    text = text.strip()
    if MIDNIGHT_AT_END.fullmatch(text):
        return DAY_S
    try:
        clock_time = time.fromisoformat(text)
    except ValueError:
        return None
    if clock_time.tzinfo is not None or clock_time.microsecond:
        return None
    return clock_time.hour * 3600 + clock_time.minute * 60 + clock_time.second


def _read_spans(value: object) -> tuple[Span, ...]:
    """
    The spans of a day, from one text or a list of them, in their order. Raises ValueError with all
    that is wrong.
    """
    spans: list[Span] = []
    faults: list[str] = []
    for text in _as_list(value):
        try:
            spans.append(read_span(str(text)))
        except ValueError as err:
            faults.append(str(err))
    spans.sort()
    if not faults and any(_overlaps(spans)):
        faults.append("spans of one day overlap: write them as one")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(spans)


def _as_list(value: object) -> Iterable[object]:
    if isinstance(value, list | tuple):
        return value
    return (value,)


def _overlaps(spans: list[Span]) -> Iterator[bool]:
    """For each two that follow one another, in order, whether they overlap."""
    for span, next_span in pairwise(spans):
        yield next_span.opens_s < span.closes_s


def _read_holidays(value: object, info: ValidationInfo) -> tuple[Holiday, ...]:
    """
    The holidays of a list, those of calendar files included. Raises ValueError with all that is
    wrong.
    """
    folder = Path((info.context or {}).get(FOLDER, ""))
    holidays: list[Holiday] = []
    faults: list[str] = []
    for entry in _as_list(value):
        try:
            holidays += _read_entry(entry, folder)
        except ValueError as err:
            faults.append(str(err))
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(holidays)


def _read_entry(entry: object, folder: Path) -> tuple[Holiday, ...]:
    if isinstance(entry, Holiday):
        return (entry,)
    if isinstance(entry, date) and not isinstance(entry, datetime):  # TOML has dates of its own
        return (Holiday(entry, entry),)
    path = str(entry)
    if not path.lower().endswith(CALENDAR_SUFFIX):
        return (read_holiday(path),)
    try:
        text = (folder / path).read_text(encoding="utf-8-sig")
    except OSError as err:
        raise ValueError(f"cannot read {path}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise ValueError(f"cannot read {path}: not a text file in UTF-8") from err
    try:
        return read_calendar(text)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ValueError(
            f"no time zone is called {name!r}; use a name like America/Chicago"
        ) from err
    return name


Spans = Annotated[tuple[Span, ...], BeforeValidator(_read_spans)]
Holidays = Annotated[tuple[Holiday, ...], BeforeValidator(_read_holidays)]
ZoneName = Annotated[str, AfterValidator(_check_zone)]


class OpeningHours(StrictTable):
    """One table of hours: a day that it does not name is closed."""

    timezone: ZoneName | None = None
    mon: Spans = ()
    tue: Spans = ()
    wed: Spans = ()
    thu: Spans = ()
    fri: Spans = ()
    sat: Spans = ()
    sun: Spans = ()
    holidays: Holidays | None = None

    def spans(self, weekday: int) -> tuple[Span, ...]:
        """The spans that open on a weekday (Monday is 0), holidays apart."""
        # By name, since TOML has a key for each day; the type is that of those fields.
        spans: tuple[Span, ...] = getattr(self, WEEKDAYS[weekday])
        return spans


def _check_is_table(value: object) -> object:
    if isinstance(value, Mapping | OpeningHours):
        return value
    # Only a table may have a name of its own choice, so that a key like `mno` is a fault.
    names = (*WEEKDAYS, "timezone", "holidays")
    raise ValueError(f"is neither a day nor a table of hours; keys here are {', '.join(names)}")


class BusinessHours(OpeningHours):
    """
    All tables of hours: the one without a name, and those with one.

    A table with a name has the time zone and the holidays of the one without, unless it gives its
    own.
    """

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)
    __pydantic_extra__: dict[str, Annotated[OpeningHours, BeforeValidator(_check_is_table)]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables that have one."""
        return tuple(self.__pydantic_extra__)

    @property
    def has_days(self) -> bool:
        """Whether the table without a name names any day."""
        return any(self.spans(weekday) for weekday in range(len(WEEKDAYS)))

    def table(self, name: str | None) -> OpeningHours:
        """
        The hours of a name, those without a name for None; time zone and holidays are filled in.

        Raises KeyError if there are none of that name.
        """
        if name is None:
            return self
        hours = self.__pydantic_extra__[name]
        inherited: dict[str, object] = {}
        if hours.timezone is None:
            inherited["timezone"] = self.timezone
        if hours.holidays is None:
            inherited["holidays"] = self.holidays
        return hours.model_copy(update=inherited)

    def fault(self, name: str | None) -> str | None:
        """Why no rule can ask for the hours of a name, for an operator; None if it can."""
        if name is not None:
            if name in self.names:
                return None
            if not self.names:
                return f"there is no [business_hours.{name}]"
            return f"there is no [business_hours.{name}], {did_you_mean(name, self.names)}"
        if self.has_days or not self.names:
            return None
        return f"[business_hours] names no day; ask for one of: {', '.join(self.names)}"
