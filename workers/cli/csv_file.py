"""
CSV files as they come out of spreadsheets and other programs: in any usual encoding, with any usual
delimiter, row by row, so that one that is broken keeps no other out.
"""

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO, TextIOWrapper
from itertools import islice
from typing import BinaryIO, Final

from msgspec import Struct

DELIMITERS: Final = ",;\t|"
# An id that a spreadsheet has made a number with a decimal place.
DECIMAL: Final = re.compile(r"([0-9]+)\.0", re.ASCII)
# UTF-16 as spreadsheets write it as "Unicode text"; Latin-1, as Windows extends it, is what a file
# is in that is not UTF-8. Python's own Latin-1 has a meaning for every byte.
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
ENCODINGS: Final = ("utf-8-sig", "cp1252")
ANY_BYTES: Final = "latin-1"
CHUNK_BYTES: Final = 64 * 1024
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
    file = BytesIO(raw)
    csv_file = open_rows(TextIOWrapper(file, encoding=guess_encoding(file), newline=""))
    return CsvFile(csv_file.header, tuple(csv_file.rows))


def open_rows(lines: Iterable[str], *, delimiter: str | None = None) -> CsvFile:
    """
    A file of lines, each with its end; its rows are read one after the other, so that a large file
    needs little memory. Without a `delimiter` that of the first line is guessed.

    Raises `CsvFileError`, also while the rows are read.
    """
    numbered_lines = enumerate(_decoded(lines), 1)
    first_line = next((pair for pair in numbered_lines if _is_content(pair[1])), None)
    if first_line is None:
        raise CsvFileError("the file is empty: its first line must name the columns")
    number, line = first_line
    others = (other for _, other in numbered_lines)
    rows = _rows(line, others, number, delimiter or max(DELIMITERS, key=line.count))
    first = next(rows, CsvRow(line=number))
    if first.fault is not None:
        raise CsvFileError(first.fault.as_text())
    header = tuple(name.strip() for name in first.cells)
    return CsvFile(header, (_checked(row, len(header)) for row in rows))


def guess_encoding(file: BinaryIO) -> str:
    """
    The encoding in which the whole file can be read, which is at its beginning again then. Raises
    `CsvFileError` for a spreadsheet.
    """
    beginning = file.read(len(ZIP))
    if beginning.startswith(ZIP):
        raise CsvFileError("the file is no CSV file but a spreadsheet: save it as CSV")
    encodings: tuple[str, ...] = ENCODINGS
    if beginning.startswith(UTF_16):
        encodings = ("utf-16", *ENCODINGS)
    chosen = next((encoding for encoding in encodings if _is_in(file, encoding)), ANY_BYTES)
    file.seek(0)
    return chosen


def _is_in(file: BinaryIO, encoding: str) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while chunk := file.read(CHUNK_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as err:
        raise CsvFileError(
            f"the file is not {err.encoding.upper()}; name its encoding, like --encoding cp1252"
        ) from err


def _is_content(line: str) -> bool:
    """Whether a line holds cells: neither blank nor a note to a spreadsheet."""
    text = line.strip()
    return bool(text) and SEPARATOR_LINE.fullmatch(text) is None


def _rows(first_line: str, others: Iterator[str], number: int, delimiter: str) -> Iterator[CsvRow]:
    """The rows from the first line on, which is that of a number."""
    ahead = deque([first_line])
    while True:
        ahead.extend(islice(others, MOST_LINES - len(ahead)))
        if not ahead:
            return
        try:
            cells, used = _cells(ahead, delimiter)
            if any(map(str.strip, cells)):
                yield CsvRow(line=number, cells=tuple(cells))
        except csv.Error:
            # The rows behind it are read as if the quotation mark was not there.
            used = 1
            yield CsvRow(line=number, fault=Fault(line=number, column="", cause=OPEN_QUOTE))
        for _ in range(used):
            ahead.popleft()
        number += used


def _cells(lines: Sequence[str], delimiter: str) -> tuple[list[str], int]:
    """The cells of the first row, and how many lines it has. Raises `csv.Error`."""
    # Most rows have no quotation mark; making a reader for each takes several times as long.
    if '"' not in lines[0]:
        return lines[0].rstrip("\r\n").split(delimiter), 1
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    return next(reader), max(1, reader.line_num)


def _checked(row: CsvRow, width: int) -> CsvRow:
    """The row, with a fault if it has cells under no column."""
    if not any(cell.strip() for cell in row.cells[width:]):
        return row
    return CsvRow(line=row.line, fault=Fault(line=row.line, column="", cause=TOO_MANY_CELLS))
