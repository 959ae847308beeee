"""
CSV files as they come out of spreadsheets and other programs: in any usual encoding, with any usual
delimiter, row by row, so that one that is broken keeps no other out.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from workers.cli.people_csv import DECIMAL, DELIMITERS, Fault

# UTF-16 as spreadsheets write it as "Unicode text"; Latin-1, as Windows extends it, is what a file
# is in that is not UTF-8. Python's own Latin-1 has a meaning for every byte.
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
ENCODINGS: Final = ("utf-8-sig", "cp1252")
ZIP: Final = b"PK\x03\x04"
# A row that goes on over more lines than this has an open quote.
MOST_LINES: Final = 100
SEPARATOR_LINE: Final = re.compile(r"sep=.?", re.IGNORECASE)
# `7.41241E+18`, `7,41241E+18`: digits are lost for good.
EXPONENT: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?E\+[0-9]+", re.ASCII | re.IGNORECASE)
LOST_DIGITS: Final = (
    "digits were lost in a spreadsheet; format the column as text and export it again"
)
# How digits are written as a text in a spreadsheet: `'0110` and `="0110"`.
TEXT_SIGNS: Final = ("'", '"', "=")
AS_TEXT: Final = re.compile(r"""=?"(.*)"|'(.*)""", re.DOTALL)
OPEN_QUOTE: Final = "a quotation mark is not closed, or is inside a cell and not doubled"
TOO_MANY_CELLS: Final = "more cells than the first line has columns; is one not quoted?"


class CsvFileError(ValueError):
    """Raised when a file cannot be read at all; the text says what to do."""


class CsvRow(Struct, frozen=True, kw_only=True):
    """One row that is not blank; `fault` says why its cells cannot be read."""

    line: int
    cells: tuple[str, ...] = ()
    fault: Fault | None = None

    def cell(self, place: int | None) -> str:
        """A cell without blanks around it; empty where there is none."""
        if place is None or place >= len(self.cells):
            return ""
        text = self.cells[place].strip()
        if not text.startswith(TEXT_SIGNS):
            return text
        marked = AS_TEXT.fullmatch(text)
        if marked is None:
            return text
        return (marked[1] or marked[2] or "").strip()

    def id_cell(self, place: int | None) -> str:
        """A cell that holds an id: without the decimal place that a spreadsheet has added."""
        text = self.cell(place)
        if not text.endswith(".0"):
            return text
        decimal = DECIMAL.fullmatch(text)
        if decimal is None:
            return text
        return decimal[1]


class CsvFile(Struct, frozen=True):
    """The columns of a file, and its rows."""

    header: tuple[str, ...]
    rows: Iterable[CsvRow]

    def column(self, names: Sequence[str]) -> int | None:
        """
        The place of the first column that has one of some names, which are compared without case,
        blanks and punctuation.
        """
        compact_header = [compact(name) for name in self.header]
        for name in names:
            if compact(name) in compact_header:
                return compact_header.index(compact(name))
        return None

    def mapped_columns(self, mapping: Mapping[str, Sequence[str]], field: str) -> tuple[int, ...]:
        """The places of the columns that are named for a field. Raises `CsvFileError`."""
        places = []
        for name in mapping.get(field, ()):
            place = self.column([name])
            if place is None:
                raise CsvFileError(
                    f"there is no column {name!r}; the columns are: {', '.join(self.header)}"
                )
            places.append(place)
        return tuple(places)


def has_lost_digits(text: str) -> bool:
    """Whether a number is written with an exponent, as a spreadsheet does with a long one."""
    return "+" in text and EXPONENT.fullmatch(text) is not None


def compact(name: str) -> str:
    """A column's name without case, blanks and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def read_csv(raw: bytes) -> CsvFile:
    """
    Read a whole file, whose first line names the columns. Raises `CsvFileError` for one that is no
    CSV file.
    """
    if raw.startswith(ZIP):
        raise CsvFileError("the file is no CSV file but a spreadsheet: save it as CSV")
    lines = list(io.StringIO(_decode(raw), newline=""))
    start = next((place for place, line in enumerate(lines) if _is_content(line)), None)
    if start is None:
        raise CsvFileError("the file is empty: its first line must name the columns")
    delimiter = max(DELIMITERS, key=lines[start].count)
    rows = _rows(lines, start, delimiter)
    first = next(rows)
    if first.fault is not None:
        raise CsvFileError(first.fault.as_text())
    header = tuple(name.strip() for name in first.cells)
    return CsvFile(header, tuple(_checked(row, len(header)) for row in rows))


def _decode(raw: bytes) -> str:
    encodings: tuple[str, ...] = ENCODINGS
    if raw.startswith(UTF_16):
        encodings = ("utf-16", *ENCODINGS)
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return raw.decode("latin-1")


def _is_content(line: str) -> bool:
    """Whether a line holds cells: neither blank nor a note to a spreadsheet."""
    text = line.strip()
    return bool(text) and SEPARATOR_LINE.fullmatch(text) is None


def _rows(lines: Sequence[str], start: int, delimiter: str) -> Iterator[CsvRow]:
    place = start
    while place < len(lines):
        reader = csv.reader(lines[place : place + MOST_LINES], delimiter=delimiter, strict=True)
        line = place + 1
        try:
            cells = next(reader)
        except csv.Error:
            # The rows behind it are read as if the quotation mark was not there.
            yield CsvRow(line=line, fault=Fault(line=line, column="", cause=OPEN_QUOTE))
            place += 1
            continue
        place += max(1, reader.line_num)
        if any(cell.strip() for cell in cells):
            yield CsvRow(line=line, cells=tuple(cells))


def _checked(row: CsvRow, width: int) -> CsvRow:
    """The row, with a fault if it has cells under no column."""
    if not any(cell.strip() for cell in row.cells[width:]):
        return row
    return CsvRow(line=row.line, fault=Fault(line=row.line, column="", cause=TOO_MANY_CELLS))
