"""
Expected calls from a list of calls, for `buildr-calls expect import`: whatever its columns are
called.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from service.buildr_ids import is_buildr_call_id, is_buildr_id
from service.events import Direction
from service.phone_numbers import Number, read_number
from service.store.expectations import Expectation
from service.store.expected_calls import LONGEST_WINDOW, MAX_NUMBERS
from workers.cli.csv_file import (
    LOST_DIGITS,
    CsvFile,
    CsvFileError,
    CsvRow,
    Fault,
    compact,
    has_lost_digits,
)
from workers.cli.imports import Import
from workers.cli.people_csv import PHONE_NAME, SEPARATOR

ID: Final = "buildr_call_id"
NUMBERS: Final = "numbers"
OTHER_IDS: Final = ("company_id", "contact_id", "project_id")
# Usual names of the columns, without case, blanks and punctuation; the first one counts.
USUAL_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    ID: ("buildrcallid", "callid", "id", "activityid", "callnumber"),
    "agent": ("agent", "agentemail", "assignedto", "assignee", "owner", "user", "rep"),
    "day": ("day", "date", "calldate", "duedate", "scheduledfor", "scheduledat", "due"),
    "direction": ("direction",),
    "company_id": ("companyid", "buildrcompanyid"),
    "contact_id": ("contactid", "buildrcontactid"),
    "project_id": ("projectid", "buildrprojectid"),
}
FIELDS: Final = (*USUAL_NAMES, NUMBERS)
# `to` is the customer's number in a list of calls that are to be made.
OTHER_NUMBER_NAMES: Final = frozenset({"to", "tonumber", "customer", "customernumber"})
DIRECTIONS: Final = {direction.value: direction for direction in Direction}
DAY: Final = timedelta(days=1)
# `11/2/2026` is the second of November where it is written so, and the eleventh of February
# elsewhere.
MONTH_FIRST: Final = frozenset({"US"})
SLASHES: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})", re.ASCII)
DOTS: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})", re.ASCII)


class Columns(Struct, frozen=True, kw_only=True):
    """Where a row has its values."""

    places: Mapping[str, int]
    numbers: tuple[int, ...]

    @property
    def used(self) -> frozenset[int]:
        """All places that are read."""
        return frozenset({*self.places.values(), *self.numbers})


class Reading(Struct, frozen=True, kw_only=True):
    """
    How values are read: numbers without a country code are of `region`, days are days of `zone`;
    `now` is the present (UTC).
    """

    region: str
    zone: tzinfo
    now: datetime


def read_expectations(
    csv_file: CsvFile, reading: Reading, *, mapping: Mapping[str, Sequence[str]]
) -> Import[Expectation]:
    """
    The expected calls of a file, and what is wrong with its rows; `mapping` names columns by field.

    Raises `CsvFileError` if a column is missing.
    """
    columns = _columns(csv_file, mapping)
    unused = [name for place, name in enumerate(csv_file.header) if place not in columns.used]
    result: Import[Expectation] = Import(unused=tuple(name for name in unused if name))
    line_of_call: dict[str, int] = {}
    for row in csv_file.rows:
        if row.fault is not None:
            result.add(row, None, [row.fault])
            continue
        expectation, causes = _read_row(row, columns, reading)
        faults = [
            Fault(line=row.line, column=column, cause=cause) for column, cause in causes.items()
        ]
        if expectation is not None and not faults:
            first_line = line_of_call.setdefault(expectation.buildr_call_id, row.line)
            if first_line != row.line:
                cause = f"the same Buildr call as in line {first_line}"
                faults.append(Fault(line=row.line, column="", cause=cause))
        result.add(row, expectation, faults)
    return result


def _columns(csv_file: CsvFile, mapping: Mapping[str, Sequence[str]]) -> Columns:
    places: dict[str, int] = {}
    for field, usual_names in USUAL_NAMES.items():
        mapped_places = csv_file.mapped_columns(mapping, field)
        usual_place = csv_file.column(usual_names)
        if mapped_places:
            places[field] = mapped_places[0]
        elif usual_place is not None:
            places[field] = usual_place
    numbers = csv_file.mapped_columns(mapping, NUMBERS)
    if not numbers:
        names = [compact(name) for name in csv_file.header]
        numbers = tuple(place for place, name in enumerate(names) if _is_number_name(name))
    missing = []
    if ID not in places:
        missing.append(f"the id of the Buildr call ({ID})")
    if not numbers:
        missing.append(f"a telephone number ({NUMBERS})")
    if missing:
        raise CsvFileError(
            f"no column is {' or '.join(missing)}; name it with --map, like "
            f"--map {ID}='Call #'; the columns are: {', '.join(csv_file.header)}"
        )
    return Columns(places=places, numbers=numbers)


def _is_number_name(name: str) -> bool:
    return PHONE_NAME.fullmatch(name) is not None or name in OTHER_NUMBER_NAMES


def _read_row(
    row: CsvRow, columns: Columns, reading: Reading
) -> tuple[Expectation | None, dict[str, str]]:
    """The expected call of a row, and what is wrong by field."""
    places = columns.places
    causes: dict[str, str] = {}
    ids = {name: row.id_cell(places.get(name)) for name in (ID, *OTHER_IDS)}
    causes.update(_id_faults(ids))
    numbers = _read_numbers(row, columns, reading.region, causes)
    direction = row.cell(places.get("direction")).casefold()
    if direction and direction not in DIRECTIONS:
        causes["direction"] = "must be inbound or outbound"
    opens_at, closes_at = _read_day(row.cell(places.get("day")), reading, causes)
    if causes:
        return None, causes
    expectation = Expectation(
        buildr_call_id=ids[ID],
        numbers=numbers,
        agent=row.cell(places.get("agent")) or None,
        direction=DIRECTIONS.get(direction),
        not_before=opens_at,
        not_after=closes_at,
        company_id=ids["company_id"] or None,
        contact_id=ids["contact_id"] or None,
        project_id=ids["project_id"] or None,
    )
    return expectation, causes


def _id_faults(ids: Mapping[str, str]) -> dict[str, str]:
    faults = {}
    for name, value in ids.items():
        if has_lost_digits(value):
            faults[name] = f"{value}: {LOST_DIGITS}"
        elif value and not is_buildr_id(value):
            faults[name] = "must be digits"
    if not ids[ID]:
        faults[ID] = "is empty"
    elif ID not in faults and not is_buildr_call_id(ids[ID]):
        faults[ID] = "begins with a zero"
    return faults


def _read_numbers(
    row: CsvRow, columns: Columns, region: str, causes: dict[str, str]
) -> tuple[Number, ...]:
    numbers: dict[Number, None] = {}
    for place in columns.numbers:
        for text in SEPARATOR.split(row.cell(place)):
            if not text.strip():
                continue
            number = read_number(text, region=region)
            if number is not None:
                numbers[number] = None
            elif has_lost_digits(text.strip()):
                causes[NUMBERS] = LOST_DIGITS
            else:
                causes[NUMBERS] = f"no telephone number; without a country code it is of {region}"
    if not numbers and NUMBERS not in causes:
        causes[NUMBERS] = "is empty"
    if len(numbers) > MAX_NUMBERS:
        causes[NUMBERS] = f"at most {MAX_NUMBERS} numbers can be given"
    return tuple(numbers)


def _read_day(
    text: str, reading: Reading, causes: dict[str, str]
) -> tuple[datetime | None, datetime | None]:
    """When a day begins and ends (UTC); nothing for no day, for which the usual window counts."""
    if not text:
        return None, None
    day = _parse_day(text, reading)
    if day is None:
        causes["day"] = "no day; write it like 2026-11-02"
        return None, None
    opens_at = datetime.combine(day, time(), tzinfo=reading.zone).astimezone(UTC)
    closes_at = datetime.combine(day + DAY, time(), tzinfo=reading.zone).astimezone(UTC)
    if closes_at > reading.now + LONGEST_WINDOW:
        causes["day"] = f"is more than {LONGEST_WINDOW.days} days ahead"
    elif closes_at < reading.now - LONGEST_WINDOW:
        causes["day"] = f"is more than {LONGEST_WINDOW.days} days ago"
    return opens_at, closes_at


def _parse_day(text: str, reading: Reading) -> date | None:
    """A day like `2026-11-02`, `2.11.2026`, a moment of it, or `11/2/2026` as the region has it."""
    try:
        if dotted := DOTS.fullmatch(text):
            return date(int(dotted[3]), int(dotted[2]), int(dotted[1]))
        if slashed := SLASHES.match(text):
            first, second, year = map(int, slashed.groups())
            if reading.region not in MONTH_FIRST:
                first, second = second, first
            return date(year, first, second)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.date()
    return moment.astimezone(reading.zone).date()
