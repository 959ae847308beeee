"""
Holidays from an iCalendar file (RFC 5545, `.ics`): each event of whole days is one.

Read are `DTSTART`, `DTEND` or `DURATION` in days, and a plain `RRULE:FREQ=YEARLY`. Whatever else an
event holds that would change its days is a fault, and never passed over.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Final

from service.settings.holidays import Holiday

LINE: Final = re.compile(
    r'(?P<name>[A-Za-z0-9-]+)(?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^":;])*)*:(?P<value>.*)', re.DOTALL
)
LINE_END: Final = re.compile(r"\r\n|\r|\n")
FOLDED: Final = (" ", "\t")
# Outlook writes whole days as those from midnight to midnight.
DAY: Final = re.compile(r"([0-9]{8})(?:T000000)?")
DAYS: Final = re.compile(r"P([0-9]{1,4})([DW])")
IN_EVENT: Final = ["VCALENDAR", "VEVENT"]
NOT_READ: Final = ("RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID")
MAX_FAULTS: Final = 3

# The properties of an event by their names; of one that occurs twice, the first.
Event = Mapping[str, str]


def read_calendar(text: str) -> tuple[Holiday, ...]:
    """
    The holidays of a calendar, in its order; cancelled events are left out.

    Raises ValueError with the lines that cannot be read, and what to do.
    """
    holidays: list[Holiday] = []
    faults: list[str] = []
    for line, event in _events(text):
        if event.get("STATUS", "").upper() == "CANCELLED":
            continue
        try:
            holidays.append(_holiday(event))
        except ValueError as err:
            faults.append(f"line {line} ({event.get('SUMMARY', 'no title')}) {err}")
    if len(faults) > MAX_FAULTS:
        faults[MAX_FAULTS:] = [f"and {len(faults) - MAX_FAULTS} more"]
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(holidays)


def _events(text: str) -> Iterator[tuple[int, Event]]:
    """
    The events, each with the number of its first line.

    What lies inside an event, such as an alarm, is no property of it. Raises ValueError if the text
    is no calendar.
    """
    parts: list[str] = []
    event: dict[str, str] = {}
    event_line = 0
    for line, name, value in _properties(text):
        if name == "BEGIN":
            parts.append(value.upper())
            if parts == IN_EVENT:
                event = {}
                event_line = line
        elif not parts:
            raise ValueError(f"line {line}: a calendar begins with BEGIN:VCALENDAR")
        elif name == "END":
            if parts == IN_EVENT:
                yield event_line, event
            if parts.pop() != value.upper():
                raise ValueError(f"line {line}: END:{value} does not end what was begun last")
        elif parts == IN_EVENT:
            event.setdefault(name, value)
    if parts or not event_line:
        raise ValueError("the calendar is cut off, or has no event")


def _properties(text: str) -> Iterator[tuple[int, str, str]]:
    """The number, the name in upper case and the value of each line, folded lines put together."""
    for number, line in _unfolded(text):
        parts = LINE.fullmatch(line)
        if parts is None:
            raise ValueError(f"line {number} is no line of an iCalendar file")
        yield number, parts["name"].upper(), parts["value"].strip()


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    whole = ""
    for number, line in enumerate(LINE_END.split(text), 1):
        if line.startswith(FOLDED):
            whole += line[1:]
            continue
        if whole:
            yield start, whole
        start = number
        whole = line
    if whole:
        yield start, whole


def _holiday(event: Event) -> Holiday:
    """The days of an event. Raises ValueError with what cannot be read, and what to do."""
    not_read = [name for name in NOT_READ if name in event]
    if not_read:
        raise ValueError(f"has {', '.join(not_read)}, which is not read: write its dates as texts")
    first = _day(event, "DTSTART")
    if first is None:
        raise ValueError("has no DTSTART")
    last = first + timedelta(days=_length(event, first) - 1)
    if "RRULE" not in event:
        return Holiday(first, last)
    return Holiday(first, last, is_yearly=True, until=_repeated_until(event["RRULE"], first))


def _day(event: Event, name: str) -> date | None:
    """The day of a property, None if the event lacks it."""
    value = event.get(name)
    if value is None:
        return None
    day = DAY.fullmatch(value)
    if day is None:
        raise ValueError(f"is not of whole days ({name}:{value}): take it out of the file")
    return date.fromisoformat(day[1])


def _length(event: Event, first: date) -> int:
    """How many days an event has, at least one; its end is the day after its last."""
    end = _day(event, "DTEND")
    duration = event.get("DURATION")
    if end is not None:
        if end < first:
            raise ValueError("ends before it begins")
        return max((end - first).days, 1)
    if duration is None:
        return 1
    days = DAYS.fullmatch(duration)
    if days is None:
        raise ValueError(f"is not of whole days (DURATION:{duration}): take it out of the file")
    unit_days = {"D": 1, "W": 7}[days[2]]
    return max(int(days[1]) * unit_days, 1)


def _repeated_until(rule: str, first: date) -> date:
    """The last day on which a yearly rule may begin. Raises ValueError for any other rule."""
    parts = dict(part.partition("=")[::2] for part in rule.upper().split(";"))
    until = parts.pop("UNTIL", None)
    parts.pop("WKST", None)
    # These may be written out, and say no more than the day that it begins on.
    plain = {
        "FREQ": "YEARLY",
        "INTERVAL": "1",
        "BYMONTH": str(first.month),
        "BYMONTHDAY": str(first.day),
    }
    if "FREQ" not in parts or not parts.items() <= plain.items():
        raise ValueError(
            f"is repeated by {rule}, of which only FREQ=YEARLY is read: write its dates as texts"
        )
    if until is None:
        return date.max
    return date.fromisoformat(until[:8])
