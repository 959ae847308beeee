"""
People from a CSV file, for `buildr-calls phonebook import`: row by row, whatever its columns are
called.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, Protocol, TextIO

from msgspec import Struct, field

from service.buildr_ids import is_buildr_id
from service.listed_numbers import read_listed_number
from service.store.phone_book import PhoneBookEntry

PHONE: Final = "phone"
ID_FIELDS: Final = ("contact_id", "company_id", "project_id")
FIELDS: Final = (*ID_FIELDS, PHONE)
DELIMITERS: Final = ",;\t|"
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
# An id that a spreadsheet has made a number with a decimal place.
DECIMAL: Final = re.compile(r"([0-9]+)\.0", re.ASCII)


class PeopleCsvError(ValueError):
    """Raised when a file cannot be read at all; the text says what to do."""


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


class Fault(Struct, frozen=True, kw_only=True):
    """
    What of a line could not be read, and why; never the value, which is about somebody.

    `column` is its name, empty where the whole row is at fault.
    """

    line: int
    column: str
    cause: str

    def as_text(self) -> str:
        """The fault in a line."""
        place = f"line {self.line}"
        if self.column:
            place = f"{place}, {self.column}"
        return f"{place}: {self.cause}"


class PersonRow(Struct, frozen=True, kw_only=True):
    """One row that is not blank: an entry for each number, and what could not be read."""

    entries: tuple[PhoneBookEntry, ...] = ()
    faults: tuple[Fault, ...] = ()


class _CsvReader(Protocol):
    """The part of a reader of the module `csv` that is used."""

    line_num: int

    def __next__(self) -> list[str]:
        """The cells of the next row."""


class PeopleReader(Struct, frozen=True):
    """
    Reads the people of an open file, which is opened with `newline=""`.

    `mapping` names columns by field, in place of the usual names; `region` is of numbers without a
    country code. Without a `delimiter` that of the first line is guessed.
    """

    file: TextIO
    region: str
    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    delimiter: str | None = None

    def open(self) -> tuple[Columns, Iterator[PersonRow]]:
        """
        The columns, and the rows one after the other.

        Raises `PeopleCsvError`, also while the rows are read.
        """
        try:
            first_line = self.file.readline()
        except UnicodeDecodeError as err:
            raise _wrong_encoding(err) from err
        delimiter = self.delimiter or max(DELIMITERS, key=first_line.count)
        reader = csv.reader(chain([first_line], self.file), delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise PeopleCsvError("the file is empty: its first line must name the columns")
        columns = choose_columns(header, self.mapping)
        return columns, self._rows(reader, columns)

    def _rows(self, reader: _CsvReader, columns: Columns) -> Iterator[PersonRow]:
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as err:
                yield PersonRow(faults=(Fault(line=reader.line_num, column="", cause=str(err)),))
                continue
            except UnicodeDecodeError as err:
                raise _wrong_encoding(err) from err
            if any(cell.strip() for cell in cells):
                yield read_row(cells, columns, line=reader.line_num, region=self.region)


def choose_columns(header: Sequence[str], mapping: Mapping[str, Sequence[str]]) -> Columns:
    """
    The columns of a file: those that are named for a field, else those with a usual name.

    Raises `PeopleCsvError` if there is no column of numbers, or none of an id.
    """
    places = {name: _mapped_places(header, mapping.get(name, ())) for name in FIELDS}
    compact_names = [re.sub(r"[\W_]+", "", name.casefold()) for name in header]
    for name, usual_names in ID_NAMES.items():
        if name not in mapping:
            places[name] = _usual_places(compact_names, usual_names)
    if PHONE not in mapping:
        places[PHONE] = [
            place for place, name in enumerate(compact_names) if PHONE_NAME.fullmatch(name)
        ]
    ids = {name: places[name][0] for name in ID_FIELDS if places[name]}
    if not ids or not places[PHONE]:
        missing = "contact_id, company_id or project_id"
        if ids:
            missing = "a telephone number"
        raise PeopleCsvError(
            f"no column is {missing}; name it with --map, like --map phone='Mobile Phone'; "
            f"the columns are: {', '.join(header)}"
        )
    return Columns(names=tuple(header), ids=ids, phones=tuple(places[PHONE]))


def _mapped_places(header: Sequence[str], names: Sequence[str]) -> list[int]:
    folded_header = [name.casefold() for name in header]
    places = []
    for name in names:
        if name.strip().casefold() not in folded_header:
            raise PeopleCsvError(
                f"there is no column {name!r}; the columns are: {', '.join(header)}"
            )
        places.append(folded_header.index(name.strip().casefold()))
    return places


def _usual_places(compact_names: Sequence[str], usual_names: Sequence[str]) -> list[int]:
    for name in usual_names:
        if name in compact_names:
            return [compact_names.index(name)]
    return []


def read_row(cells: Sequence[str], columns: Columns, *, line: int, region: str) -> PersonRow:
    """One row; a number that cannot be read does not keep the others out."""
    if len(cells) > len(columns.names):
        cause = "more cells than the first line has columns; is one not quoted?"
        return PersonRow(faults=(Fault(line=line, column="", cause=cause),))
    ids = {name: _id_text(cells, place) for name, place in columns.ids.items()}
    faults = [
        Fault(line=line, column=columns.names[columns.ids[name]], cause="no id: digits are needed")
        for name, text in ids.items()
        if text and not is_buildr_id(text)
    ]
    if not faults and not any(ids.values()):
        faults.append(Fault(line=line, column="", cause="no contact, company or project"))
    if faults:
        return PersonRow(faults=tuple(faults))
    numbers: dict[str, None] = {}
    for place in columns.phones:
        for text in _number_texts(cells, place):
            number = read_listed_number(text, region=region)
            if number is None:
                cause = f"no telephone number; without a country code it is of {region}"
                faults.append(Fault(line=line, column=columns.names[place], cause=cause))
            else:
                numbers[number] = None
    entries = [_entry(number, ids) for number in numbers]
    return PersonRow(entries=tuple(entries), faults=tuple(faults))


def _entry(number: str, ids: Mapping[str, str]) -> PhoneBookEntry:
    return PhoneBookEntry(
        number=number,
        contact_id=ids.get("contact_id") or None,
        company_id=ids.get("company_id") or None,
        project_id=ids.get("project_id") or None,
    )


def _id_text(cells: Sequence[str], place: int) -> str:
    text = _cell(cells, place)
    decimal = DECIMAL.fullmatch(text)
    if decimal is not None:
        return decimal[1]
    return text


def _number_texts(cells: Sequence[str], place: int) -> list[str]:
    return [text for text in SEPARATOR.split(_cell(cells, place)) if text.strip()]


def _cell(cells: Sequence[str], place: int) -> str:
    """A cell without blanks around it; empty where the row is too short."""
    if place >= len(cells):
        return ""
    return cells[place].strip()


def _wrong_encoding(err: UnicodeDecodeError) -> PeopleCsvError:
    return PeopleCsvError(
        f"the file is not {err.encoding.upper()}; name its encoding, like --encoding cp1252"
    )
