"""
People from a CSV file, for `buildr-calls phonebook import`: row by row, whatever its columns are
called.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from service.buildr_ids import is_buildr_id
from service.listed_numbers import read_listed_number
from service.store.phone_book import PhoneBookEntry
from workers.cli.csv_file import (
    LOST_DIGITS,
    CsvFile,
    CsvFileError,
    CsvRow,
    Fault,
    compact,
    has_lost_digits,
    open_rows,
)

PHONE: Final = "phone"
ID_FIELDS: Final = ("contact_id", "company_id", "project_id")
FIELDS: Final = (*ID_FIELDS, PHONE)
# Usual names of the columns of ids, without case, blanks and punctuation; the first one counts.
ID_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "contact_id": ("contactid", "buildrcontactid", "personid", "id"),
    "company_id": ("companyid", "buildrcompanyid", "accountid", "organizationid"),
    "project_id": ("projectid", "buildrprojectid"),
}
# Those of telephone numbers: `Mobile Phone`, `office_phone`, `Phone 1 - Value`, `Cell`.
PHONE_NAME: Final = re.compile(
    r"(primary|main|mobile|cell|office|work|business|home|direct|other|company)?"
    r"(phone|telephone|tel|mobile|cell)(number|no)?\d*(value)?|numbers?"
)
# Several numbers in one cell; `;ext=12` belongs to its number.
SEPARATOR: Final = re.compile(r"[\n|]|;(?!\s*ext)", re.IGNORECASE)


class Columns(Struct, frozen=True, kw_only=True):
    """Where a row has its values: the place of each id's column, and those of the numbers."""

    names: tuple[str, ...]
    ids: Mapping[str, int]
    phones: tuple[int, ...]

    def as_text(self) -> str:
        """Which column is taken for what, for the operator."""
        texts = [f"{name} from {self.names[place]}" for name, place in self.ids.items()]
        phones = ", ".join(self.names[place] for place in self.phones)
        return f"{', '.join(texts)}; phone from {phones}"


class PersonRow(Struct, frozen=True, kw_only=True):
    """One row that is not blank: an entry for each number, and what could not be read."""

    entries: tuple[PhoneBookEntry, ...] = ()
    faults: tuple[Fault, ...] = ()


class PeopleReader(Struct, frozen=True):
    """
    Reads the people of a file's lines, each with its end.

    `mapping` names columns by field, in place of the usual names; `region` is of numbers without a
    country code. Without a `delimiter` that of the first line is guessed.
    """

    lines: Iterable[str]
    region: str
    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    delimiter: str | None = None

    def open(self) -> tuple[Columns, Iterator[PersonRow]]:
        """
        The columns, and the rows one after the other.

        Raises `CsvFileError`, also while the rows are read.
        """
        csv_file = open_rows(self.lines, delimiter=self.delimiter)
        columns = choose_columns(csv_file.header, self.mapping)
        return columns, (_read_row(row, columns, self.region) for row in csv_file.rows)


def choose_columns(header: Sequence[str], mapping: Mapping[str, Sequence[str]]) -> Columns:
    """
    The columns of a file: those that are named for a field, else those with a usual name.

    Raises `CsvFileError` if there is no column of numbers, or none of an id.
    """
    csv_file = CsvFile(tuple(header), ())
    places = {name: list(csv_file.mapped_columns(mapping, name)) for name in FIELDS}
    for name, usual_names in ID_NAMES.items():
        place = csv_file.column(usual_names)
        if name not in mapping and place is not None:
            places[name] = [place]
    if PHONE not in mapping:
        places[PHONE] = [
            place for place, name in enumerate(header) if PHONE_NAME.fullmatch(compact(name))
        ]
    ids = {name: places[name][0] for name in ID_FIELDS if places[name]}
    if not ids or not places[PHONE]:
        missing = "contact_id, company_id or project_id"
        if ids:
            missing = "a telephone number"
        raise CsvFileError(
            f"no column is {missing}; name it with --map, like --map phone='Mobile Phone'; "
            f"the columns are: {', '.join(header)}"
        )
    return Columns(names=tuple(header), ids=ids, phones=tuple(places[PHONE]))


def _read_row(row: CsvRow, columns: Columns, region: str) -> PersonRow:
    """One row; a number that cannot be read does not keep the others out."""
    if row.fault is not None:
        return PersonRow(faults=(row.fault,))
    ids = {name: row.id_cell(place) for name, place in columns.ids.items()}
    faults = [
        Fault(line=row.line, column=columns.names[columns.ids[name]], cause=_id_fault(text))
        for name, text in ids.items()
        if text and not is_buildr_id(text)
    ]
    if not faults and not any(ids.values()):
        faults.append(Fault(line=row.line, column="", cause="no contact, company or project"))
    if faults:
        return PersonRow(faults=tuple(faults))
    numbers: dict[str, None] = {}
    for place in columns.phones:
        for text in filter(str.strip, SEPARATOR.split(row.cell(place))):
            number = _number(text, region)
            if number is None:
                cause = _number_fault(text, region)
                faults.append(Fault(line=row.line, column=columns.names[place], cause=cause))
            else:
                numbers[number] = None
    entries = [_entry(number, ids) for number in numbers]
    return PersonRow(entries=tuple(entries), faults=tuple(faults))


def _number(text: str, region: str) -> str | None:
    if has_lost_digits(text.strip()):
        return None
    return read_listed_number(text, region=region)


def _number_fault(text: str, region: str) -> str:
    if has_lost_digits(text.strip()):
        return LOST_DIGITS
    return f"no telephone number; without a country code it is of {region}"


def _id_fault(text: str) -> str:
    if has_lost_digits(text):
        return LOST_DIGITS
    return "no id: digits are needed"


def _entry(number: str, ids: Mapping[str, str]) -> PhoneBookEntry:
    return PhoneBookEntry(
        number=number,
        contact_id=ids.get("contact_id") or None,
        company_id=ids.get("company_id") or None,
        project_id=ids.get("project_id") or None,
    )
