"""
What `links import` and `expect import` share: nothing is set unless every row is right, or the
wrong ones are to be skipped.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Generic, TypeVar

import click
from msgspec import Struct, field
from msgspec.structs import replace

from workers.cli.csv_file import CsvFile, CsvFileError, CsvRow, Fault, read_csv
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, progress

T = TypeVar("T")
STDIN: Final = "-"
MOST_SHOWN: Final = 20
# Rows in one round trip: Redis is held some milliseconds, and webhooks use the same one.
ROWS_AT_ONCE: Final = 250

FILE: Final = click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
DRY_RUN: Final = click.option("--dry-run", "is_dry_run", is_flag=True, help="Only check the file.")
SKIP_INVALID: Final = click.option(
    "--skip-invalid", "skips", is_flag=True, help="Set the rows that are right, skip the others."
)
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON, all faults.")


class Import(Struct, Generic[T], kw_only=True):
    """
    The rows of a file: what is right of them, with its line, and what is wrong.

    `unused` are columns that are not read. `done` is how many rows were set, `new` how many of them
    were not there before, `woken` how many calls go on because of it.
    """

    values: list[tuple[int, T]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    unused: tuple[str, ...] = ()
    done: int = 0
    new: int = 0
    woken: int = 0

    def add(self, row: CsvRow, value: T | None, faults: Sequence[Fault]) -> None:
        """One more row: a value, or what is wrong with it."""
        self.faults += faults
        if value is not None and not faults:
            self.values.append((row.line, value))

    def as_dict(self, *, is_dry_run: bool) -> dict[str, object]:
        """For JSON: counts by name, unused_columns, faults as objects with line, column, cause."""
        wrong_lines = {fault.line for fault in self.faults}
        # A row may be right by itself, and refused when it is set.
        valid_lines = {line for line, _ in self.values} - wrong_lines
        return {
            "is_dry_run": is_dry_run,
            "rows": len(valid_lines) + len(wrong_lines),
            "valid": len(valid_lines),
            "invalid": len(wrong_lines),
            "set": self.done,
            "new": self.new,
            "calls_woken": self.woken,
            "unused_columns": list(self.unused),
            "faults": [
                {"line": fault.line, "column": fault.column or None, "cause": fault.cause}
                for fault in self.faults
            ],
        }


def open_csv(file: str) -> CsvFile:
    """
    A file, or standard input for `-`; its rows can be read once. Ends the command if it cannot be
    read.
    """
    try:
        raw = _read_bytes(file)
    except OSError as err:
        raise Failure(f"cannot read {os.fspath(file)}: {err.strerror}") from err
    try:
        csv_file = read_csv(raw)
    except CsvFileError as err:
        raise Failure(f"nothing was set: {err}") from err
    return replace(csv_file, rows=_with_bar(csv_file.rows))


def _read_bytes(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read()
    return Path(file).read_bytes()


def _with_bar(rows: Iterable[CsvRow]) -> Iterator[CsvRow]:
    """The rows, with a bar on a terminal for how many of them were read."""
    with progress(is_transient=True) as bar:
        yield from bar.track(list(rows), description="Checking rows")


def check_rows(result: Import[T], *, skips: bool, is_dry_run: bool, as_json: bool) -> None:
    """
    Show what is wrong with the rows; ends the command with exit code 1 if nothing may be set
    because of it.
    """
    must_stop = bool(result.faults) and not skips
    if as_json:
        if must_stop:
            print_json(result.as_dict(is_dry_run=is_dry_run))
            raise SystemExit(1)
        return
    if result.unused:
        echo(f"columns that are not read: {', '.join(result.unused)}", is_error=True)
    print_faults(result.faults)
    if must_stop:
        raise Failure(
            "nothing was set; correct the lines above, or leave them out with --skip-invalid"
        )


def print_faults(faults: Sequence[Fault]) -> None:
    """Print what is wrong with rows to stderr, a line for each, as far as a screen holds them."""
    for fault in faults[:MOST_SHOWN]:
        echo(f"  {fault.as_text()}", is_error=True)
    more = len(faults) - MOST_SHOWN
    if more > 0:
        echo(f"  and {more} more; --json lists all", is_error=True)


def report(result: Import[T], *, is_dry_run: bool, as_json: bool) -> None:
    """Show what was set. Ends the command with exit code 1 if rows were skipped."""
    skipped = len({fault.line for fault in result.faults})
    if as_json:
        print_json(result.as_dict(is_dry_run=is_dry_run))
    elif is_dry_run:
        echo(f"would set: {len(result.values)}")
    else:
        text = f"set: {result.done}, {result.new} of them new"
        if result.woken:
            text += f"; calls that go on now: {result.woken}"
        echo(text)
    if skipped and not as_json:
        echo(f"skipped: {skipped}", is_error=True)
    if skipped:
        raise SystemExit(1)


@contextmanager
def in_batches(title: str, values: Sequence[T]) -> Iterator[Iterable[Sequence[T]]]:
    """The values in batches, with a bar on a terminal."""
    starts = range(0, len(values), ROWS_AT_ONCE)
    with progress(is_transient=True) as bar:
        batches = [values[start : start + ROWS_AT_ONCE] for start in starts]
        yield bar.track(batches, description=title)
