"""
`buildr-calls phonebook import`: people from a CSV file into the phone book.
"""

import codecs
import csv
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import click
from msgspec import Struct, field
from phonenumbers import SUPPORTED_REGIONS

from service.clock import utc_now
from service.counts import counted
from service.settings import Settings
from service.store.connection import Store
from service.store.phone_book import Origin, PhoneBook, PhoneBookEntry
from workers.cli.accounts import load_settings
from workers.cli.csv_file import DELIMITERS, CsvFileError, Fault, guess_encoding
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, progress
from workers.cli.people_csv import FIELDS, Columns, PeopleReader, PersonRow
from workers.cli.session import run_with_store

STDIN: Final = "-"
MAX_SHOWN: Final = 20
ENTRIES_AT_ONCE: Final = 1000


class ImportReport(Struct):
    """What an import has read; `first_faults` are at most 20, `removed` is None if none are."""

    rows: int = 0
    people: int = 0
    entries: int = 0
    without_number: int = 0
    faults: int = 0
    first_faults: list[Fault] = field(default_factory=list)
    removed: int | None = None

    def add(self, row: PersonRow) -> None:
        """Count one row."""
        self.rows += 1
        self.entries += len(row.entries)
        self.faults += len(row.faults)
        # Only so many are kept: a file may have a million rows, and all of them wrong.
        self.first_faults += row.faults[: MAX_SHOWN - len(self.first_faults)]
        if row.entries:
            self.people += 1
        elif not row.faults:
            self.without_number += 1

    def as_dict(self, *, is_dry_run: bool) -> dict[str, object]:
        """For JSON: the counts by name, first_faults as objects with line, column and cause."""
        return {
            "is_dry_run": is_dry_run,
            "rows": self.rows,
            "people": self.people,
            "entries": self.entries,
            "without_number": self.without_number,
            "faults": self.faults,
            "first_faults": [
                {"line": fault.line, "column": fault.column or None, "cause": fault.cause}
                for fault in self.first_faults
            ],
            "removed": self.removed,
        }


class ColumnMap(click.ParamType[tuple[str, str]]):
    """A field of the phone book and the column that holds it: `phone=Mobile Phone`."""

    name = "field=column"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read it. Raises click's usage error."""
        name, equals, column = str(value).partition("=")
        if not equals or name not in FIELDS or not column.strip():
            self.fail(f"{value!r} is no field and column; fields: {', '.join(FIELDS)}", param, ctx)
        return name, column


class RegionName(click.ParamType[str]):
    """A country of two letters."""

    name = "region"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it. Raises click's usage error."""
        region = str(value).upper()
        if region not in SUPPORTED_REGIONS:
            self.fail(f"{value!r} is no country of two letters, like US or GB", param, ctx)
        return region


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--map",
    "column_maps",
    type=ColumnMap(),
    multiple=True,
    help="Which column holds contact_id, company_id, project_id or phone; phone several times.",
)
@click.option("--region", type=RegionName(), help="Country of numbers without a country code.")
@click.option("--encoding", help="Encoding of the file; guessed if not given.")
@click.option("--delimiter", type=click.Choice(list(DELIMITERS)), help="Guessed if not given.")
@click.option("--replace", "is_replacing", is_flag=True, help="Make the book equal to the file.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only read the file.")
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="List all faults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_people(
    *,
    file: str,
    column_maps: tuple[tuple[str, str], ...],
    region: str | None,
    encoding: str | None,
    delimiter: str | None,
    is_replacing: bool,
    is_dry_run: bool,
    report_path: Path | None,
    as_json: bool,
) -> None:
    """
    Read people from a CSV file whose first line names its columns.

    Usual names of columns are known; others are named with --map. Numbers may be in any form, and
    several in a cell. What cannot be read is listed, and the rest is imported.

    \b
    Examples:
      buildr-calls phonebook import people.csv --dry-run
      buildr-calls phonebook import people.csv --map contact_id=Id --map phone="Mobile Phone"
    """
    mapping: dict[str, list[str]] = {}
    for name, column in column_maps:
        mapping.setdefault(name, []).append(column)
    report = ImportReport()
    try:
        with _opened(file, encoding) as text, _listed_faults(report_path) as fault_list:
            settings = load_settings(is_local=True)
            reader = PeopleReader(text, region or settings.default_region, mapping, delimiter)
            columns, rows = reader.open()
            _print_columns(columns)
            entries = _entries(_progressing(rows, text), report, fault_list)
            # Rows are read while they are written, so that a large file needs little memory.
            if is_dry_run:
                for _ in entries:
                    pass
            else:
                report.removed = _write(entries, report, is_replacing=is_replacing)
    except CsvFileError as err:
        raise Failure(str(err)) from err
    _print_report(report, is_dry_run=is_dry_run, as_json=as_json)
    if report.faults:
        raise SystemExit(1)


def _write(
    entries: Iterator[PhoneBookEntry], report: ImportReport, *, is_replacing: bool
) -> int | None:
    """Write entries as they are read; returns how many others were removed, None for not."""

    async def work(_: Settings, store: Store) -> int | None:
        book = store.phone_book
        batch = await book.begin()
        await _put(book, entries, batch)
        removed = None
        # A wrong column or encoding would otherwise empty the book.
        if is_replacing and report.entries == 0:
            raise Failure("no telephone number could be read, so that nothing was removed")
        if is_replacing:
            removed = await book.sweep(batch)
        await book.finish(Origin.IMPORT, utc_now())
        return removed

    return run_with_store(work)


async def _put(book: PhoneBook, entries: Iterator[PhoneBookEntry], batch: int) -> None:
    part: list[PhoneBookEntry] = []
    for entry in entries:
        part.append(entry)
        if len(part) >= ENTRIES_AT_ONCE:
            await book.put(part, batch=batch)
            part.clear()
    await book.put(part, batch=batch)


def _entries(
    rows: Iterator[PersonRow], report: ImportReport, fault_list: TextIO | None
) -> Iterator[PhoneBookEntry]:
    """The entries of all rows, which are counted on the way."""
    for row in rows:
        report.add(row)
        if fault_list is not None:
            writer = csv.writer(fault_list)
            writer.writerows((fault.line, fault.column, fault.cause) for fault in row.faults)
        yield from row.entries


def _progressing(rows: Iterator[PersonRow], text: TextIO) -> Iterator[PersonRow]:
    """The same rows, with a bar that shows how much of the file is read."""
    total = _size(text)
    with progress(is_transient=True) as bar:
        task = bar.add_task("Reading people", total=total)
        for row in rows:
            # In bytes: how many rows there are is not known before the end.
            if total is not None:
                bar.update(task, completed=text.buffer.tell())
            yield row


def _size(text: TextIO) -> int | None:
    """How many bytes a file has; None of a pipe."""
    try:
        return os.fstat(text.fileno()).st_size or None
    except OSError:
        return None


@contextmanager
def _opened(path: str, encoding: str | None) -> Iterator[TextIO]:
    """
    The file, or stdin. Raises `Failure` if it cannot be opened, `CsvFileError` for a spreadsheet.
    """
    with ExitStack() as stack:
        try:
            if encoding is not None:
                codecs.lookup(encoding)
            file: BinaryIO = sys.stdin.buffer
            if path != STDIN:
                file = stack.enter_context(Path(path).open("rb"))
            # To guess its encoding, all of it is read once before.
            if encoding is None and not file.seekable():
                file = BytesIO(file.read())
            text = TextIOWrapper(file, encoding=encoding or guess_encoding(file), newline="")
        except LookupError as err:
            raise Failure(f"{encoding} is no encoding; usual are utf-8 and cp1252") from err
        except OSError as err:
            raise Failure(f"{path}: {err.strerror}") from err
        yield stack.enter_context(text)


@contextmanager
def _listed_faults(path: Path | None) -> Iterator[TextIO | None]:
    """The file for all faults, with its header; None without a path."""
    if path is None:
        yield None
        return
    try:
        text = path.open("w", encoding="utf-8", newline="")
    except OSError as err:
        raise Failure(f"{path}: {err.strerror}") from err
    with text:
        csv.writer(text).writerow(("line", "column", "cause"))
        yield text


def _print_columns(columns: Columns) -> None:
    echo(f"columns: {columns.as_text()}", is_error=True)


def _print_report(report: ImportReport, *, is_dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(report.as_dict(is_dry_run=is_dry_run))
        return
    for fault in report.first_faults:
        echo(fault.as_text(), is_error=True)
    if report.faults > len(report.first_faults):
        echo(
            f"and {report.faults - len(report.first_faults)} more; --report FILE lists all",
            is_error=True,
        )
    step = "imported"
    if is_dry_run:
        step = "would import"
    numbers = counted(report.entries, "number", "numbers")
    texts = [f"{step}: {numbers} of {counted(report.people, 'person', 'people')}"]
    counts: Mapping[str, int] = {
        "rows without a number": report.without_number,
        "could not be read": report.faults,
    }
    texts += [f"{name}: {count}" for name, count in counts.items() if count]
    if report.removed is not None:
        texts.append(f"removed: {report.removed}")
    echo("; ".join(texts))
